
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_send_claim.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_answer.h"


/* Another worker's or gateway's end is seen by asking, in growing steps. */
#define NGX_HTTP_CHATMAID_FIRST_LOOK  20        /* milliseconds */
#define NGX_HTTP_CHATMAID_LAST_LOOK   250


static void ngx_http_chatmaid_send_claim_handler(ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_send_claim_renew_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_send_claim_look_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_send_claim_abandon(ngx_http_chatmaid_flow_t *flow);


/* The sends of this worker that wait for another one. */

static ngx_queue_t  ngx_http_chatmaid_waiting = {
    &ngx_http_chatmaid_waiting,
    &ngx_http_chatmaid_waiting
};


ngx_int_t
ngx_http_chatmaid_send_claim_ask(ngx_http_request_t *r, ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_claim_t      *claim;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    claim = &flow->claim;

    if (claim->pool == NULL) {

        if (ngx_http_chatmaid_crypto_random(r->connection->log, claim->owner,
                                            NGX_HTTP_CHATMAID_OWNER_LEN)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        flow->leave = ngx_http_chatmaid_send_claim_abandon;

        flow->reply->tried = 1;
        claim->pool = r->pool;
        claim->lease_time = NGX_HTTP_CHATMAID_LEASE;
        claim->handler = ngx_http_chatmaid_send_claim_handler;
        claim->data = r;
    }

    claim->may_be_accepted = 0;
    claim->local = 0;

    if (!claim->waited) {
        claim->use_previous = 0;
    }

    return mcf->store->claim(mcf->store_data, claim);
}


static void
ngx_http_chatmaid_send_claim_handler(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_flow_resume(claim->data);
}


void
ngx_http_chatmaid_send_claim_keep(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    flow->claimed = 1;

    ngx_http_chatmaid_flow_timer(r, &flow->renewal,
                                 ngx_http_chatmaid_send_claim_renew_handler,
                                 NGX_HTTP_CHATMAID_RENEWAL);
}


static void
ngx_http_chatmaid_send_claim_renew_handler(ngx_event_t *ev)
{
    ngx_http_request_t             *r = ev->data;

    ngx_http_chatmaid_flow_t        *flow;
    ngx_http_chatmaid_main_conf_t  *mcf;

    flow = ((ngx_http_chatmaid_reply_t *) ngx_http_get_module_ctx(r, ngx_http_chatmaid_module))->flow;
    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    /* a worker that was stopped for longer than its lease does not revive it */

    if (!flow->stale && !ngx_http_chatmaid_send_claim_is_ours(flow)) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "chatmaid lost the lease of a send under way");
        flow->stale = 1;
    }

    mcf->store->renew(mcf->store_data, &flow->claim);

    ngx_add_timer(ev, NGX_HTTP_CHATMAID_RENEWAL);
}


ngx_uint_t
ngx_http_chatmaid_send_claim_is_ours(ngx_http_chatmaid_flow_t *flow)
{
    ngx_time_update();          /* the worker may just have been stopped */

    return !flow->stale
           && (ngx_msec_int_t) (flow->claim.lease - ngx_current_msec) > 0;
}


ngx_int_t
ngx_http_chatmaid_send_claim_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_msec_int_t                 left;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (!flow->claim.waited) {
        flow->claim.waited = 1;
        flow->look = NGX_HTTP_CHATMAID_FIRST_LOOK;
        flow->wait_end = ngx_current_msec + conf->wait;
    }

    left = (ngx_msec_int_t) (flow->wait_end - ngx_current_msec);

    if (left <= 0) {
        return NGX_DECLINED;
    }

    ngx_http_chatmaid_flow_timer(r, &flow->wait,
                                 ngx_http_chatmaid_send_claim_look_handler,
                                 ngx_min(flow->look, (ngx_msec_t) left));

    flow->look = ngx_min(2 * flow->look, NGX_HTTP_CHATMAID_LAST_LOOK);

    ngx_queue_insert_tail(&ngx_http_chatmaid_waiting, &flow->waiting);

    return NGX_AGAIN;
}


static void
ngx_http_chatmaid_send_claim_look_handler(ngx_event_t *ev)
{
    ngx_http_request_t       *r = ev->data;

    ngx_http_chatmaid_flow_t  *flow;

    flow = ((ngx_http_chatmaid_reply_t *) ngx_http_get_module_ctx(r, ngx_http_chatmaid_module))->flow;

    ngx_queue_remove(&flow->waiting);

    ngx_http_chatmaid_flow_resume(r);
}


ngx_int_t
ngx_http_chatmaid_send_claim_finish(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    flow->claim.answer = *answer;
    flow->claim.status = flow->call->status;

    return mcf->store->finish(mcf->store_data, &flow->claim);
}


ngx_int_t
ngx_http_chatmaid_send_claim_ambiguous(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    return mcf->store->ambiguous(mcf->store_data, &flow->claim);
}


ngx_int_t
ngx_http_chatmaid_send_claim_remove(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    return mcf->store->remove(mcf->store_data, &flow->claim);
}


void
ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_flow_t *flow)
{
    ngx_queue_t              *q;
    ngx_http_chatmaid_flow_t  *other;

    flow->claimed = 0;

    if (flow->renewal.timer_set) {
        ngx_del_timer(&flow->renewal);
    }

    for (q = ngx_queue_head(&ngx_http_chatmaid_waiting);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_waiting);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_flow_t, waiting);

        if (ngx_memcmp(ngx_http_chatmaid_claim_id(&other->claim),
                       ngx_http_chatmaid_claim_id(&flow->claim),
                       NGX_HTTP_CHATMAID_ID_LEN)
            == 0)
        {
            /* soon, but not here: its flow is not to run within ours; a timer
             * that is moved a little only would stay where it was */
            ngx_del_timer(&other->wait);
            ngx_add_timer(&other->wait, 0);
            other->look = NGX_HTTP_CHATMAID_FIRST_LOOK;
        }
    }
}


/* Before the request's memory goes, in whatever state the claim is. */

static void
ngx_http_chatmaid_send_claim_abandon(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (flow->renewal.timer_set) {
        ngx_del_timer(&flow->renewal);
    }

    if (flow->wait.timer_set) {
        ngx_del_timer(&flow->wait);
        ngx_queue_remove(&flow->waiting);
    }

    mcf = ngx_http_get_module_main_conf(flow->request, ngx_http_chatmaid_module);

    mcf->store->abandon(mcf->store_data, &flow->claim);
}
