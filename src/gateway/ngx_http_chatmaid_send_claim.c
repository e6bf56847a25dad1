
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_send_claim.h"


#define NGX_HTTP_CHATMAID_SEND_LEASE_TIME    8000   /* milliseconds */
#define NGX_HTTP_CHATMAID_SEND_RENEWAL_TIME  2000

/* A send learns only by asking the store that a send of another worker or of
 * another gateway has ended.  The pauses between the questions grow. */
#define NGX_HTTP_CHATMAID_SEND_FIRST_PAUSE   20     /* milliseconds */
#define NGX_HTTP_CHATMAID_SEND_LAST_PAUSE    250


static void ngx_http_chatmaid_send_claim_handler(void *data);
static void ngx_http_chatmaid_send_claim_wait_handler(ngx_event_t *ev);


/* The sends of this worker that wait for another send. */

static ngx_queue_t  ngx_http_chatmaid_send_claim_queue = {
    &ngx_http_chatmaid_send_claim_queue,
    &ngx_http_chatmaid_send_claim_queue
};


ngx_int_t
ngx_http_chatmaid_send_claim_ask(ngx_http_chatmaid_send_claim_t *claim)
{
    ngx_http_request_t         *r;
    ngx_http_chatmaid_lease_t  *lease;

    r = claim->flow->request;
    lease = &claim->lease;

    if (!lease->asked) {
        lease->renewal_time = NGX_HTTP_CHATMAID_SEND_RENEWAL_TIME;
        lease->claim.lease_time = NGX_HTTP_CHATMAID_SEND_LEASE_TIME;
        lease->claim.pool = r->pool;
        lease->claim.mcf = ngx_http_get_module_main_conf(r,
                                                     ngx_http_chatmaid_module);
        lease->claim.handler = ngx_http_chatmaid_send_claim_handler;
        lease->claim.data = claim->flow;

        /* an earlier send of the operation may have sent the message */
        claim->flow->reply->tried = 1;
    }

    return ngx_http_chatmaid_lease_ask(lease);
}


static void
ngx_http_chatmaid_send_claim_handler(void *data)
{
    ngx_http_chatmaid_flow_resume(data);
}


ngx_int_t
ngx_http_chatmaid_send_claim_wait(ngx_http_chatmaid_send_claim_t *claim)
{
    ngx_msec_int_t                 left;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(claim->flow->request,
                                        ngx_http_chatmaid_module);

    if (!claim->lease.claim.waited) {
        claim->lease.claim.waited = 1;
        claim->wait_pause = NGX_HTTP_CHATMAID_SEND_FIRST_PAUSE;
        claim->wait_end = ngx_current_msec + conf->wait;
    }

    left = (ngx_msec_int_t) (claim->wait_end - ngx_current_msec);

    if (left <= 0) {
        return NGX_DECLINED;
    }

    ngx_http_chatmaid_flow_timer(claim->flow, &claim->wait,
                                 ngx_http_chatmaid_send_claim_wait_handler,
                                 claim,
                                 ngx_min(claim->wait_pause, (ngx_msec_t) left));

    claim->wait_pause = ngx_min(2 * claim->wait_pause,
                                NGX_HTTP_CHATMAID_SEND_LAST_PAUSE);

    claim->flow->waiting = 1;

    ngx_queue_insert_tail(&ngx_http_chatmaid_send_claim_queue, &claim->queue);

    return NGX_AGAIN;
}


static void
ngx_http_chatmaid_send_claim_wait_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_send_claim_t *claim = ev->data;

    claim->flow->waiting = 0;

    ngx_queue_remove(&claim->queue);

    ngx_http_chatmaid_flow_resume(claim->flow);
}


void
ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_send_claim_t *claim)
{
    u_char                          *id;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_send_claim_t  *other;

    ngx_http_chatmaid_lease_end(&claim->lease);

    id = ngx_http_chatmaid_claim_id(&claim->lease.claim);

    for (q = ngx_queue_head(&ngx_http_chatmaid_send_claim_queue);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_send_claim_queue);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_send_claim_t, queue);

        if (ngx_memcmp(ngx_http_chatmaid_claim_id(&other->lease.claim), id,
                       NGX_HTTP_CHATMAID_ID_LEN)
            == 0)
        {
            /* by the timer, so that the other flow does not run within this
             * one; it is deleted first because nginx ignores small changes of
             * a timer that is set */
            ngx_del_timer(&other->wait);
            ngx_add_timer(&other->wait, 0);
            other->wait_pause = NGX_HTTP_CHATMAID_SEND_FIRST_PAUSE;
        }
    }
}


void
ngx_http_chatmaid_send_claim_leave(ngx_http_chatmaid_send_claim_t *claim)
{
    if (claim->flow->waiting) {
        claim->flow->waiting = 0;
        ngx_del_timer(&claim->wait);
        ngx_queue_remove(&claim->queue);
    }

    if (claim->lease.asked) {
        ngx_http_chatmaid_lease_abandon(&claim->lease);
    }
}
