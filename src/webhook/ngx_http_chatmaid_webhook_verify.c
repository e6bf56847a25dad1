
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_verify.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_body.h"
#include "ngx_http_chatmaid_request.h"


/* How far the sender's clock may be ahead, unless the tolerance is less. */
#define NGX_HTTP_CHATMAID_WEBHOOK_FUTURE  300     /* seconds */


static void ngx_http_chatmaid_webhook_verify_body_handler(
    ngx_http_request_t *r);


ngx_int_t
ngx_http_chatmaid_webhook_verify_method(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    static ngx_str_t  post = ngx_string("POST");

    if (r->method == NGX_HTTP_POST) {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_answer_add_header(r, "Allow", &post) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                     NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED,
                                     "webhooks are sent by POST");
}


ngx_int_t
ngx_http_chatmaid_webhook_verify_signature(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    const char       *reason;
    ngx_table_elt_t  *h, *other;

    h = ngx_http_chatmaid_request_header(&r->headers_in.headers.part,
                                         "x-chatmaid-signature", NULL);
    if (h == NULL) {
        goto missing;
    }

    other = ngx_http_chatmaid_request_header(&r->headers_in.headers.part,
                                             "x-chatmaid-signature", h);
    if (other) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                        NGX_HTTP_CHATMAID_MALFORMED_SIGNATURE,
                                        "X-Chatmaid-Signature is given twice");
    }

    if (h->value.len == 0) {
        goto missing;
    }

    if (ngx_http_chatmaid_webhook_signature_parse(&h->value, &wh->signature,
                                                  &reason)
        != NGX_OK)
    {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                        NGX_HTTP_CHATMAID_MALFORMED_SIGNATURE,
                                        "X-Chatmaid-Signature is malformed: "
                                        "%s", reason);
    }

    return NGX_OK;

missing:

    return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                     NGX_HTTP_CHATMAID_MISSING_SIGNATURE,
                                     "there is no X-Chatmaid-Signature");
}


ngx_int_t
ngx_http_chatmaid_webhook_verify_time(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    int64_t                        age;
    time_t                         future;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    age = ngx_time() - wh->signature.time;
    future = ngx_min(conf->webhook_tolerance, NGX_HTTP_CHATMAID_WEBHOOK_FUTURE);

    if (age > conf->webhook_tolerance) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                NGX_HTTP_CHATMAID_TIMESTAMP_OUT_OF_TOLERANCE,
                                "the signature is %L s old", age);
    }

    if (age < -future) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                NGX_HTTP_CHATMAID_TIMESTAMP_OUT_OF_TOLERANCE,
                                "the signature is dated %L s in the future: "
                                "check this clock", -age);
    }

    return NGX_OK;
}


/* Ends this run of the steps: the phase is run again when the body has arrived,
 * which may be before ngx_http_read_client_request_body() returns. */

ngx_int_t
ngx_http_chatmaid_webhook_verify_body(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_int_t  rc;

    wh->state = NGX_HTTP_CHATMAID_WEBHOOK_READING;

    rc = ngx_http_read_client_request_body(r,
                               ngx_http_chatmaid_webhook_verify_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_chatmaid_webhook_verify_body_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_request_get(r);
    wh->state = NGX_HTTP_CHATMAID_WEBHOOK_RUNNING;

    r->preserve_body = 1;       /* an error_page's handler may need it, too */

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


ngx_int_t
ngx_http_chatmaid_webhook_verify_hmac(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_int_t                      rc;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (r->reading_body) {
        /* an error_page may have led here while an unbuffered body is being
         * read: its bytes can't be verified */
        rc = NGX_DECLINED;

    } else {
        rc = ngx_http_chatmaid_webhook_signature_check(r, &wh->signature,
                                                       conf->webhook_secrets);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                      NGX_HTTP_CHATMAID_SIGNATURE_MISMATCH,
                                      "the signature is not of this body, or "
                                      "not by a secret known here");
    }

    return rc;
}


ngx_int_t
ngx_http_chatmaid_webhook_verify_event(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_int_t                           rc;
    ngx_str_t                           reason;
    ngx_uint_t                          marked;
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_chatmaid_loc_conf_t       *conf;
    ngx_http_chatmaid_webhook_scope_t   scope;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    marked = (conf->webhook_dedup != 0 || conf->webhook_inbox != NULL);

    /* the location that an error_page has led here from may keep no marks */

    if (wh->authentic && (wh->event.identified || !marked)) {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_body_all(r, &wh->body) != NGX_OK) {
        return NGX_ERROR;
    }

    scope.account_name = conf->account_name;
    scope.location = clcf->name;

    rc = ngx_http_chatmaid_webhook_event_read(r->pool, &wh->body,
                                              marked ? &scope : NULL,
                                              &wh->event, &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_JSON,
                                         "the body is no JSON text: %V",
                                         &reason);
    }

    if (rc == NGX_ABORT) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_EVENT,
                                         "the body is no event: %V", &reason);
    }

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        return ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem,
                                         NGX_HTTP_CHATMAID_BODY_TOO_LARGE,
                                         "the event would take too much "
                                         "memory");
    }

    wh->authentic = (rc == NGX_OK);

    return rc;
}
