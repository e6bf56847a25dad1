
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_note.h"
#include "ngx_http_chatmaid_reader.h"
#include "ngx_http_chatmaid_stream.h"


/* A clock may be ahead of ours by this much, or by the tolerance if less. */
#define NGX_HTTP_CHATMAID_WEBHOOK_FUTURE       300     /* seconds */

#define NGX_HTTP_CHATMAID_WEBHOOK_RETRY_AFTER  5


static ngx_int_t ngx_http_chatmaid_webhook_method(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_signature(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_time(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_body(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static void ngx_http_chatmaid_webhook_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_webhook_verify(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_event(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_note(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_stream(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static void ngx_http_chatmaid_webhook_stream_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_webhook_streamed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static void ngx_http_chatmaid_webhook_claim_handler(void *data);
static ngx_int_t ngx_http_chatmaid_webhook_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_create(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_webhook_run(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
static void ngx_http_chatmaid_webhook_resume(ngx_http_chatmaid_webhook_t *wh);
static ngx_int_t ngx_http_chatmaid_webhook_busy(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_uint_t code, const char *detail);
static ngx_int_t ngx_http_chatmaid_webhook_refuse(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_int_t rc);
static ngx_int_t ngx_http_chatmaid_webhook_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result);
static void ngx_http_chatmaid_webhook_cleanup(void *data);


/* SPEC's order; whoever comes through all of them is handed on. */

static ngx_http_chatmaid_webhook_step_pt  ngx_http_chatmaid_webhook_steps[] = {
    ngx_http_chatmaid_webhook_method,
    ngx_http_chatmaid_webhook_signature,    /* present and well-formed */
    ngx_http_chatmaid_webhook_time,         /* within the tolerance */
    ngx_http_chatmaid_webhook_body,
    ngx_http_chatmaid_webhook_verify,       /* the signature is its own */
    ngx_http_chatmaid_webhook_event,        /* what it says */
    ngx_http_chatmaid_webhook_note,         /* who waits for that message */
    ngx_http_chatmaid_webhook_stream,       /* the inbox, if that is wanted */
    ngx_http_chatmaid_webhook_streamed,
    ngx_http_chatmaid_webhook_claim,        /* else: has it been delivered? */
    ngx_http_chatmaid_webhook_claimed,
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

    if (wh && wh->passed) {
        return NGX_DECLINED;
    }

    if (r != r->main) {
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

    if (wh->reading) {

        /* an error_page took it here after nginx could not read its body */

        return NGX_HTTP_BAD_REQUEST;
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
        ngx_http_finalize_request(r,
                                  ngx_http_chatmaid_webhook_refuse(r, wh, rc));
        return NGX_DONE;
    }

    return rc;                      /* the request may be gone */
}


/* A completion, in an event of its own. */

static void
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


static ngx_int_t
ngx_http_chatmaid_webhook_method(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    static ngx_str_t  post = ngx_string("POST");

    if (r->method == NGX_HTTP_POST) {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_add_header(r, "Allow", &post) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_problem(r, wh->ctx,
                                       NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED,
                                       "webhooks are sent by POST");
}


static ngx_int_t
ngx_http_chatmaid_webhook_signature(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    const char       *reason;
    ngx_table_elt_t  *h, *other;

    h = ngx_http_chatmaid_header(&r->headers_in.headers.part,
                                 "x-chatmaid-signature", NULL);
    if (h == NULL) {
        goto missing;
    }

    other = ngx_http_chatmaid_header(&r->headers_in.headers.part,
                                     "x-chatmaid-signature", h);
    if (other) {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                        NGX_HTTP_CHATMAID_MALFORMED_SIGNATURE,
                                        "X-Chatmaid-Signature is given twice");
    }

    if (h->value.len == 0) {
        goto missing;
    }

    if (ngx_http_chatmaid_signature_parse(&h->value, &wh->signature, &reason)
        != NGX_OK)
    {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                       NGX_HTTP_CHATMAID_MALFORMED_SIGNATURE,
                                       "X-Chatmaid-Signature is malformed: %s",
                                       reason);
    }

    return NGX_OK;

missing:

    return ngx_http_chatmaid_problem(r, wh->ctx,
                                          NGX_HTTP_CHATMAID_MISSING_SIGNATURE,
                                          "there is no X-Chatmaid-Signature");
}


static ngx_int_t
ngx_http_chatmaid_webhook_time(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    int64_t                        age;
    time_t                         future;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    age = ngx_time() - wh->signature.time;
    future = ngx_min(conf->webhook_tolerance, NGX_HTTP_CHATMAID_WEBHOOK_FUTURE);

    if (age > conf->webhook_tolerance) {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                NGX_HTTP_CHATMAID_TIMESTAMP_OUT_OF_TOLERANCE,
                                "the signature is %L s old", age);
    }

    if (age < -future) {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                NGX_HTTP_CHATMAID_TIMESTAMP_OUT_OF_TOLERANCE,
                                "the signature is of %L s from now", -age);
    }

    return NGX_OK;
}


/* Reads it, and ends this run: the phase is entered again when it has come, be
 * it from within this call. */

static ngx_int_t
ngx_http_chatmaid_webhook_body(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_int_t  rc;

    wh->reading = 1;

    rc = ngx_http_read_client_request_body(r,
                                       ngx_http_chatmaid_webhook_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_chatmaid_webhook_body_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_get(r);
    wh->reading = 0;

    r->preserve_body = 1;       /* for an error_page's handler too */

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


static ngx_int_t
ngx_http_chatmaid_webhook_verify(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_int_t                      rc;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    rc = ngx_http_chatmaid_signature_check(r, &wh->signature,
                                           conf->webhook_secrets);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                      NGX_HTTP_CHATMAID_SIGNATURE_MISMATCH,
                                      "the signature is not of this body, or "
                                      "not by a secret known here");
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_webhook_event(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_int_t                      rc;
    const char                    *reason;
    ngx_http_core_loc_conf_t      *clcf;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (ngx_http_chatmaid_reader_all(r, &wh->body) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_chatmaid_event_read(r->pool, &wh->body, &conf->account_name,
                                      &clcf->name, &wh->event, &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                              NGX_HTTP_CHATMAID_INVALID_JSON,
                                              "the body is no JSON text: %s",
                                              reason);
    }

    if (rc == NGX_ABORT) {
        return ngx_http_chatmaid_problem(r, wh->ctx,
                                              NGX_HTTP_CHATMAID_INVALID_EVENT,
                                              "the body is no event: %s",
                                              reason);
    }

    wh->authentic = (rc == NGX_OK);

    return rc;
}


/* A message has changed: those who wait for it ask at once. */

static ngx_int_t
ngx_http_chatmaid_webhook_note(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    u_char                          id[NGX_HTTP_CHATMAID_ID_LEN];
    uint64_t                        stamp;
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (wh->event.message_id.len == 0
        || !ngx_http_chatmaid_event_of_message(&wh->event))
    {
        return NGX_OK;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (ngx_http_chatmaid_note_id(r->pool, &conf->account_name,
                                  &wh->event.message_id, id)
        != NGX_OK
        || ngx_http_chatmaid_random(r->connection->log, (u_char *) &stamp,
                                    sizeof(stamp))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    mcf->store->note(mcf->store_data, id, stamp ? stamp : 1);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_webhook_stream(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_stream == NULL) {
        return NGX_OK;
    }

    wh->command = ngx_http_chatmaid_stream_add(mcf, conf->webhook_stream,
                                     &wh->event, &wh->body,
                                     conf->webhook_dedup,
                                     ngx_http_chatmaid_webhook_stream_handler,
                                     wh);

    return wh->command ? NGX_AGAIN : NGX_ERROR;
}


static void
ngx_http_chatmaid_webhook_stream_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    wh->command = NULL;
    wh->added = ngx_http_chatmaid_stream_added(error, reply);

    ngx_http_chatmaid_webhook_resume(wh);
}


static ngx_int_t
ngx_http_chatmaid_webhook_streamed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_stream == NULL) {
        return NGX_OK;
    }

    switch (wh->added) {

    case NGX_OK:
        return ngx_http_chatmaid_webhook_acknowledge(r, wh, "verified");

    case NGX_DECLINED:
        return ngx_http_chatmaid_webhook_acknowledge(r, wh, "duplicate");
    }

    return ngx_http_chatmaid_webhook_busy(r, wh,
                                       NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                       "Redis did not take the event");
}


/* An event is never refused for want of a store: it is handed on unmarked. */

static ngx_int_t
ngx_http_chatmaid_webhook_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_dedup == 0) {
        return NGX_OK;
    }

    wh->delivery = ngx_http_chatmaid_delivery_create(mcf, wh->event.id,
                                                     conf->webhook_dedup);
    if (wh->delivery == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_delivery_claim(wh->delivery,
                                     ngx_http_chatmaid_webhook_claim_handler,
                                     wh);
}


static void
ngx_http_chatmaid_webhook_claim_handler(void *data)
{
    ngx_http_chatmaid_webhook_resume(data);
}


static ngx_int_t
ngx_http_chatmaid_webhook_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_uint_t                     result;
    const char                    *reason;
    ngx_http_chatmaid_delivery_t  *delivery;

    delivery = wh->delivery;

    if (delivery == NULL) {
        return NGX_OK;
    }

    result = delivery->claim.result;

    if (result == NGX_HTTP_CHATMAID_CLAIMED) {
        ngx_http_chatmaid_delivery_keep(delivery);
        return NGX_OK;
    }

    reason = delivery->claim.reason;

    wh->delivery = NULL;
    ngx_http_chatmaid_delivery_abandon(delivery);

    switch (result) {

    case NGX_HTTP_CHATMAID_DONE:
        return ngx_http_chatmaid_webhook_acknowledge(r, wh, "duplicate");

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
        return ngx_http_chatmaid_webhook_busy(r, wh,
                                          NGX_HTTP_CHATMAID_DELIVERY_IN_FLIGHT,
                                          "the event is being delivered");
    }

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "chatmaid webhook is handed on without a mark, %s",
                  reason ? reason : "the store does not say");

    return NGX_OK;
}


/* By what the sender was answered, or would have been, had it not left. */

ngx_int_t
ngx_http_chatmaid_webhook_log_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t   *wh;
    ngx_http_chatmaid_delivery_t  *delivery;

    if (r != r->main) {
        return NGX_OK;
    }

    wh = ngx_http_chatmaid_webhook_get(r);

    if (wh == NULL || !wh->passed || wh->delivery == NULL) {
        return NGX_OK;
    }

    delivery = wh->delivery;
    wh->delivery = NULL;

    ngx_http_chatmaid_delivery_settle(delivery,
                                      wh->status >= NGX_HTTP_OK
                                      && wh->status
                                         < NGX_HTTP_SPECIAL_RESPONSE);

    return NGX_OK;
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


static ngx_int_t
ngx_http_chatmaid_webhook_busy(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_uint_t code, const char *detail)
{
    ngx_http_chatmaid_problem(r, wh->ctx, code, "%s", detail);
    wh->ctx->problem.retry_after = NGX_HTTP_CHATMAID_WEBHOOK_RETRY_AFTER;

    return NGX_DECLINED;
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


static ngx_int_t
ngx_http_chatmaid_webhook_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result)
{
    wh->result = result;

    ngx_http_finalize_request(r, ngx_http_chatmaid_acknowledge(r, wh->ctx));

    return NGX_DONE;
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
        ngx_http_chatmaid_delivery_abandon(wh->delivery);
    }
}
