
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


/* The steps are in the order that docs/webhooks.md promises.  A request for
 * which all of them return NGX_OK is handed on to the location's handler. */

static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_webhook_steps[] = {
    ngx_http_chatmaid_webhook_verify_method,
    ngx_http_chatmaid_webhook_verify_signature,  /* present and well-formed */
    ngx_http_chatmaid_webhook_verify_time,       /* within the tolerance */
    ngx_http_chatmaid_webhook_verify_body,
    ngx_http_chatmaid_webhook_verify_time,       /* again, after a slow body */
    ngx_http_chatmaid_webhook_verify_hmac,
    ngx_http_chatmaid_webhook_verify_event,
    ngx_http_chatmaid_webhook_deliver_note,      /* for ?wait= requests */
    ngx_http_chatmaid_webhook_deliver_add,       /* to the inbox, if any */
    ngx_http_chatmaid_webhook_deliver_added,
    ngx_http_chatmaid_webhook_deliver_claim,     /* if there is no inbox */
    ngx_http_chatmaid_webhook_deliver_claimed,
    NULL
};


/* The steps for a request that was handed on and that an error_page has then
 * led to a location with an inbox. */

static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_webhook_inbox_steps[] = {
    ngx_http_chatmaid_webhook_verify_event,      /* if it has no id yet */
    ngx_http_chatmaid_webhook_deliver_add,
    ngx_http_chatmaid_webhook_deliver_added,
    NULL
};


/*
 * nginx runs this handler again when a parked step is resumed, when the body
 * has been read, and after an internal redirect.
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
        return NGX_DONE;            /* woken by the sender's socket alone */
    }

    switch (wh->state) {

    /*
     * A post_action or an error_page has led here after the request had been
     * answered, or because nginx could not read its body.
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
 * Here the status is final: if an error_page takes over, nginx sends only the
 * header of that page.  The delivery is settled before the first byte of the
 * answer is sent, because the sender may send a repeat as soon as it has the
 * answer.  If the sender leaves or the body is cut off later, that does not
 * change how the location answered.
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


/* If the request ended without an answer, the event was not delivered. */

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
