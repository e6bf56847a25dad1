
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The steps of a webhook, and what they call back.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_STEP_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_STEP_H_INCLUDED_


#include "ngx_http_chatmaid_webhook.h"


/* webhook_verify.c: whether it is Chatmaid's, and what it says. */
ngx_int_t ngx_http_chatmaid_webhook_verify_method(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_verify_signature(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_verify_time(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_verify_body(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_verify_hmac(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_verify_event(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);

/* webhook_deliver.c: whether and where it is to go. */
ngx_int_t ngx_http_chatmaid_webhook_deliver_note(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_deliver_add(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_deliver_added(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_deliver_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);
ngx_int_t ngx_http_chatmaid_webhook_deliver_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);

/* A step that was waited for is done: goes on with the next one.  Called in an
 * event of its own. */
void ngx_http_chatmaid_webhook_resume(ngx_http_chatmaid_webhook_t *wh);

/* For a step to return: answers 200, and nothing is handed on. */
ngx_int_t ngx_http_chatmaid_webhook_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_STEP_H_INCLUDED_ */
