
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_step.h"
#include "ngx_http_chatmaid_answer.h"


static ngx_int_t ngx_http_chatmaid_webhook_run(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_refuse(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_int_t rc);
static ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_create(
    ngx_http_request_t *r);
static void ngx_http_chatmaid_webhook_cleanup(void *data);


/* SPEC's order; whoever comes through all of them is handed on. */

static ngx_http_chatmaid_webhook_step_pt  ngx_http_chatmaid_webhook_steps[] = {
    ngx_http_chatmaid_webhook_verify_method,
    ngx_http_chatmaid_webhook_verify_signature,    /* present and well-formed */
    ngx_http_chatmaid_webhook_verify_time,         /* within the tolerance */
    ngx_http_chatmaid_webhook_verify_body,
    ngx_http_chatmaid_webhook_verify_time,         /* still: a body may come slowly */
    ngx_http_chatmaid_webhook_verify_hmac,       /* the signature is its own */
    ngx_http_chatmaid_webhook_verify_event,        /* what it says */
    ngx_http_chatmaid_webhook_deliver_note,         /* who waits for that message */
    ngx_http_chatmaid_webhook_deliver_add,       /* the inbox, if that is wanted */
    ngx_http_chatmaid_webhook_deliver_added,
    ngx_http_chatmaid_webhook_deliver_claim,        /* else: has it been delivered? */
    ngx_http_chatmaid_webhook_deliver_claimed,
    NULL
};


/* Of one that comes to a stream's location by a way from its first. */

static ngx_http_chatmaid_webhook_step_pt  ngx_http_chatmaid_webhook_inbox_steps[] = {
    ngx_http_chatmaid_webhook_deliver_add,
    ngx_http_chatmaid_webhook_deliver_added,
    NULL
};


/*
 * nginx enters the phase anew whenever a step has been waited for, and after an
 * internal redirect.
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

    wh = ngx_http_chatmaid_webhook_get(r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid webhook handler, known:%ui passed:%ui",
                   (ngx_uint_t) (wh != NULL),
                   (ngx_uint_t) (wh ? wh->passed : 0));

    if (r != r->main) {

        if (wh && wh->passed) {
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid webhook location reached by a subrequest of "
                      "a request that has not been verified");
        return NGX_HTTP_FORBIDDEN;
    }

    if (wh == NULL) {
        wh = ngx_http_chatmaid_webhook_create(r);

        if (wh == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (wh->parked) {
        return NGX_DONE;
    }

    /*
     * A post_action or error_page of a request that was answered, or whose body
     * nginx could not read, has led here.
     */

    if (wh->answered || wh->reading) {
        return NGX_HTTP_FORBIDDEN;
    }

    if (wh->passed && *wh->next == NULL) {

        if (conf->webhook_stream == NULL) {
            return NGX_DECLINED;
        }

        wh->next = ngx_http_chatmaid_webhook_inbox_steps;
    }

    return ngx_http_chatmaid_webhook_run(r, wh);
}


static ngx_int_t
ngx_http_chatmaid_webhook_run(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_int_t  rc;

    wh->ctx = ngx_http_chatmaid_create_ctx(r);

    if (wh->ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = NGX_OK;

    while (rc == NGX_OK && *wh->next) {
        rc = (*wh->next++)(r, wh);
    }

    switch (rc) {

    case NGX_OK:
        wh->passed = 1;
        wh->result = "verified";
        return NGX_DECLINED;

    case NGX_AGAIN:
        wh->parked = 1;

        /* who leaves now has sent all that is needed */
        r->read_event_handler = ngx_http_block_reading;
        r->write_event_handler = ngx_http_request_empty_handler;
        return NGX_DONE;

    case NGX_DECLINED:
    case NGX_ERROR:
        wh->answered = 1;
        ngx_http_finalize_request(r,
                                  ngx_http_chatmaid_webhook_refuse(r, wh, rc));
        return NGX_DONE;
    }

    return rc;                      /* the request may be gone */
}


/* Returns what the output filter did. */

static ngx_int_t
ngx_http_chatmaid_webhook_refuse(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_int_t rc)
{
    if (rc == NGX_ERROR) {
        wh->result = ngx_http_chatmaid_code_name(
                                            NGX_HTTP_CHATMAID_INTERNAL_ERROR);

        return ngx_http_chatmaid_refuse(r, wh->ctx, rc);
    }

    wh->result = ngx_http_chatmaid_code_name(wh->ctx->problem.code);

    /* a detail of ours holds no byte of the request's */

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "chatmaid webhook refused: %s, %V", wh->result,
                  &wh->ctx->problem.detail);

    return ngx_http_chatmaid_problem_answer(r, wh->ctx);
}


void
ngx_http_chatmaid_webhook_resume(ngx_http_chatmaid_webhook_t *wh)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = wh->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    wh->parked = 0;

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);

    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_chatmaid_webhook_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result)
{
    wh->result = result;
    wh->answered = 1;

    ngx_http_finalize_request(r, ngx_http_chatmaid_acknowledge(r, wh->ctx));

    return NGX_DONE;
}


void
ngx_http_chatmaid_webhook_header_filter(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t   *wh;
    ngx_http_chatmaid_loc_conf_t  *conf;

    if (r != r->main) {
        return;
    }

    wh = ngx_http_chatmaid_webhook_get(r);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (wh == NULL && conf->webhook && r->err_status >= NGX_HTTP_BAD_REQUEST) {
        wh = ngx_http_chatmaid_webhook_create(r);
    }

    if (wh == NULL) {
        return;
    }

    if (wh->result == NULL && r->err_status >= NGX_HTTP_BAD_REQUEST) {
        wh->result = ngx_http_chatmaid_code_name(
                                      ngx_http_chatmaid_code(r->err_status));

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "chatmaid webhook refused: %s", wh->result);
    }

    wh->status = r->headers_out.status;
}


/* By what the sender was answered, or would have been, had it not left. */

ngx_int_t
ngx_http_chatmaid_webhook_log_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t           *wh;
    ngx_http_chatmaid_webhook_delivery_t  *delivery;

    if (r != r->main) {
        return NGX_OK;
    }

    wh = ngx_http_chatmaid_webhook_get(r);

    if (wh == NULL || !wh->passed || wh->delivery == NULL) {
        return NGX_OK;
    }

    delivery = wh->delivery;
    wh->delivery = NULL;

    ngx_http_chatmaid_webhook_delivery_settle(delivery,
                                              wh->status >= NGX_HTTP_OK
                                              && wh->status
                                         < NGX_HTTP_SPECIAL_RESPONSE);

    return NGX_OK;
}


static ngx_http_chatmaid_webhook_t *
ngx_http_chatmaid_webhook_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_chatmaid_webhook_t  *wh;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_chatmaid_webhook_t));
    if (cln == NULL) {
        return NULL;
    }

    wh = cln->data;
    ngx_memzero(wh, sizeof(ngx_http_chatmaid_webhook_t));

    wh->request = r;
    wh->next = ngx_http_chatmaid_webhook_steps;

    cln->handler = ngx_http_chatmaid_webhook_cleanup;

    return wh;
}


ngx_http_chatmaid_webhook_t *
ngx_http_chatmaid_webhook_get(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->main->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_chatmaid_webhook_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static void
ngx_http_chatmaid_webhook_cleanup(void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(wh->request, ngx_http_chatmaid_module);

    if (wh->command) {
        ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_get(mcf->redis),
                                       wh->command);
    }

    if (wh->delivery) {
        ngx_http_chatmaid_webhook_delivery_abandon(wh->delivery);
    }
}
