
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The first steps of a webhook: the signature is verified, and the event is
 * read from the body.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_VERIFY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_VERIFY_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_request.h"


/* These are steps (see steps.h); data is an ngx_http_chatmaid_webhook_t, whose
 * comment says what a step returns. */

ngx_int_t ngx_http_chatmaid_webhook_verify_method(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_verify_signature(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_verify_time(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_verify_body(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_verify_hmac(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_verify_event(ngx_http_request_t *r,
    void *data);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_VERIFY_H_INCLUDED_ */
