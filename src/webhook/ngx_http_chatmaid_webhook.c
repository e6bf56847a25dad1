
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook.h"
#include "ngx_http_chatmaid_webhook_deliver.h"
#include "ngx_http_chatmaid_webhook_request.h"
#include "ngx_http_chatmaid_webhook_verify.h"
#include "ngx_http_chatmaid_answer.h"


static void ngx_http_chatmaid_webhook_settle(ngx_http_chatmaid_webhook_t *wh,
    ngx_uint_t status);


/* In the order that docs/webhooks.md promises.  A request that passes all of
 * them is handed on. */

static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_webhook_steps[] = {
    ngx_http_chatmaid_webhook_verify_method,
    ngx_http_chatmaid_webhook_verify_signature,  /* present and well-formed */
    ngx_http_chatmaid_webhook_verify_time,       /* within the tolerance */
    ngx_http_chatmaid_webhook_verify_body,
    ngx_http_chatmaid_webhook_verify_time,       /* still, after a slow body */
    ngx_http_chatmaid_webhook_verify_hmac,
    ngx_http_chatmaid_webhook_verify_event,
    ngx_http_chatmaid_webhook_deliver_note,      /* who waits for the message */
    ngx_http_chatmaid_webhook_deliver_add,       /* to the inbox, if any */
    ngx_http_chatmaid_webhook_deliver_added,
    ngx_http_chatmaid_webhook_deliver_claim,     /* else: is it delivered? */
    ngx_http_chatmaid_webhook_deliver_claimed,
    NULL
};


/* Of a request that passed, and that an error_page leads to a location with an
 * inbox. */

static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_webhook_inbox_steps[] = {
    ngx_http_chatmaid_webhook_verify_event,      /* if it has no id yet */
    ngx_http_chatmaid_webhook_deliver_add,
    ngx_http_chatmaid_webhook_deliver_added,
    NULL
};


/*
 * nginx enters the phase again after each step that was waited for, and after
 * an internal redirect.
 */

ngx_int_t
ngx_http_chatmaid_webhook_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t   *wh;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (!conf->webhook) {
        return NGX_DECLINED;
    }

    wh = ngx_http_chatmaid_webhook_request_get(r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid webhook handler, known:%ui state:%ui",
                   (ngx_uint_t) (wh != NULL), wh ? wh->state : 0);

    if (r != r->main) {

        if (wh && wh->handed_on) {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid webhook location reached by a subrequest of "
                      "a request that has not been verified");
        return NGX_HTTP_FORBIDDEN;
    }

    if (wh == NULL) {
        wh = ngx_http_chatmaid_webhook_request_create(r,
                                             ngx_http_chatmaid_webhook_steps);
        if (wh == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (wh->steps.parked) {
        return NGX_DONE;            /* only the sender's socket is writable */
    }

    switch (wh->state) {

    /*
     * A post_action or an error_page has led here: the request was answered, or
     * nginx could not read its body.
     */

    case NGX_HTTP_CHATMAID_WEBHOOK_ANSWERED:
    case NGX_HTTP_CHATMAID_WEBHOOK_READING:
        return NGX_HTTP_FORBIDDEN;

    case NGX_HTTP_CHATMAID_WEBHOOK_PASSED:
        if (conf->webhook_inbox == NULL) {
            return NGX_DECLINED;
        }

        ngx_http_chatmaid_steps_init(&wh->steps,
                                     ngx_http_chatmaid_webhook_inbox_steps,
                                     wh);
        wh->state = NGX_HTTP_CHATMAID_WEBHOOK_RUNNING;
    }

    return ngx_http_chatmaid_webhook_request_run(r, wh);
}


/*
 * Here the status is final: where an error_page takes over, nginx does not send
 * the header before it.  The first byte of the answer follows, so this is the
 * last moment at which the event's mark is sure to be there before a repeat.
 * What becomes of the answer later, if the sender leaves or the body is cut
 * off, does not change what the location said.
 */

void
ngx_http_chatmaid_webhook_header_filter(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t   *wh;
    ngx_http_chatmaid_loc_conf_t  *conf;

    if (r != r->main) {
        return;
    }

    wh = ngx_http_chatmaid_webhook_request_get(r);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (wh == NULL && conf->webhook && r->err_status >= NGX_HTTP_BAD_REQUEST) {
        wh = ngx_http_chatmaid_webhook_request_create(r,
                                             ngx_http_chatmaid_webhook_steps);
    }

    if (wh == NULL) {
        return;
    }

    if (wh->result == NULL && r->err_status >= NGX_HTTP_BAD_REQUEST) {
        wh->result = ngx_http_chatmaid_problem_name(
                              ngx_http_chatmaid_problem_code(r->err_status));

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "chatmaid webhook refused: %s", wh->result);
    }

    ngx_http_chatmaid_webhook_settle(wh, r->headers_out.status);
}


/* A request that ended without an answer has not been delivered. */

ngx_int_t
ngx_http_chatmaid_webhook_log_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t  *wh;

    if (r != r->main) {
        return NGX_OK;
    }

    wh = ngx_http_chatmaid_webhook_request_get(r);

    if (wh) {
        ngx_http_chatmaid_webhook_settle(wh, 0);
    }

    return NGX_OK;
}


static void
ngx_http_chatmaid_webhook_settle(ngx_http_chatmaid_webhook_t *wh,
    ngx_uint_t status)
{
    ngx_http_chatmaid_webhook_delivery_t  *delivery;

    delivery = wh->delivery;

    if (delivery == NULL || !delivery->lease.held) {
        return;
    }

    wh->delivery = NULL;

    ngx_http_chatmaid_webhook_delivery_settle(delivery,
                                              status >= NGX_HTTP_OK
                                              && status
                                                 < NGX_HTTP_SPECIAL_RESPONSE);
}
