
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_send_claim.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_answer.h"


#define NGX_HTTP_CHATMAID_SEND_LEASE_TIME    8000   /* milliseconds */
#define NGX_HTTP_CHATMAID_SEND_RENEWAL_TIME  2000

/* Only by asking does a send learn that another worker's or another gateway's
 * send has ended; the pauses grow. */
#define NGX_HTTP_CHATMAID_FIRST_PAUSE        20     /* milliseconds */
#define NGX_HTTP_CHATMAID_LAST_PAUSE         250


static void ngx_http_chatmaid_send_claim_handler(void *data);
static void ngx_http_chatmaid_send_claim_wait_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_send_claim_leave(ngx_http_chatmaid_flow_t *flow);


/* The sends of this worker that wait for another one. */

static ngx_queue_t  ngx_http_chatmaid_waiting = {
    &ngx_http_chatmaid_waiting,
    &ngx_http_chatmaid_waiting
};


ngx_int_t
ngx_http_chatmaid_send_claim_ask(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_lease_t  *lease;

    lease = &flow->lease;

    if (!lease->asked) {
        lease->renewal_time = NGX_HTTP_CHATMAID_SEND_RENEWAL_TIME;
        lease->claim.lease_time = NGX_HTTP_CHATMAID_SEND_LEASE_TIME;
        flow->reply->tried = 1;
        lease->claim.pool = r->pool;
        lease->claim.mcf = ngx_http_get_module_main_conf(r,
                                                     ngx_http_chatmaid_module);
        lease->claim.handler = ngx_http_chatmaid_send_claim_handler;
        lease->claim.data = r;

        flow->leave = ngx_http_chatmaid_send_claim_leave;
    }

    return ngx_http_chatmaid_lease_ask(lease);
}


static void
ngx_http_chatmaid_send_claim_handler(void *data)
{
    ngx_http_chatmaid_flow_resume(data);
}


ngx_int_t
ngx_http_chatmaid_send_claim_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_msec_int_t                 left;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (!flow->lease.claim.waited) {
        flow->lease.claim.waited = 1;
        flow->wait_pause = NGX_HTTP_CHATMAID_FIRST_PAUSE;
        flow->wait_end = ngx_current_msec + conf->wait;
    }

    left = (ngx_msec_int_t) (flow->wait_end - ngx_current_msec);

    if (left <= 0) {
        return NGX_DECLINED;
    }

    ngx_http_chatmaid_flow_timer(r, &flow->wait,
                                 ngx_http_chatmaid_send_claim_wait_handler,
                                 ngx_min(flow->wait_pause, (ngx_msec_t) left));

    flow->wait_pause = ngx_min(2 * flow->wait_pause,
                              NGX_HTTP_CHATMAID_LAST_PAUSE);

    ngx_queue_insert_tail(&ngx_http_chatmaid_waiting, &flow->waiting);

    return NGX_AGAIN;
}


static void
ngx_http_chatmaid_send_claim_wait_handler(ngx_event_t *ev)
{
    ngx_http_request_t       *r = ev->data;

    ngx_http_chatmaid_flow_t  *flow;

    flow = ((ngx_http_chatmaid_reply_t *) ngx_http_get_module_ctx(r, ngx_http_chatmaid_module))->flow;

    ngx_queue_remove(&flow->waiting);

    ngx_http_chatmaid_flow_resume(r);
}


void
ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_flow_t *flow)
{
    ngx_queue_t              *q;
    ngx_http_chatmaid_flow_t  *other;

    ngx_http_chatmaid_lease_end(&flow->lease);

    for (q = ngx_queue_head(&ngx_http_chatmaid_waiting);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_waiting);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_flow_t, waiting);

        if (ngx_memcmp(ngx_http_chatmaid_claim_id(&other->lease.claim),
                       ngx_http_chatmaid_claim_id(&flow->lease.claim),
                       NGX_HTTP_CHATMAID_ID_LEN)
            == 0)
        {
            /* by a timer, so that its flow does not run within ours; it is
             * deleted first because nginx ignores small changes of one that
             * is set */
            ngx_del_timer(&other->wait);
            ngx_add_timer(&other->wait, 0);
            other->wait_pause = NGX_HTTP_CHATMAID_FIRST_PAUSE;
        }
    }
}


/* Before the request's memory is freed, in whatever state the lease is. */

static void
ngx_http_chatmaid_send_claim_leave(ngx_http_chatmaid_flow_t *flow)
{
    if (flow->wait.timer_set) {
        ngx_del_timer(&flow->wait);
        ngx_queue_remove(&flow->waiting);
    }

    ngx_http_chatmaid_lease_abandon(&flow->lease);
}
