
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The last steps of a webhook: the event is added to the inbox or handed on to
 * the location's handler, unless it has been delivered before.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_DELIVER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_DELIVER_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_request.h"


/* These are steps (see steps.h); data is an ngx_http_chatmaid_webhook_t, whose
 * comment says what a step returns. */

ngx_int_t ngx_http_chatmaid_webhook_deliver_note(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_deliver_add(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_deliver_added(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_deliver_claim(ngx_http_request_t *r,
    void *data);
ngx_int_t ngx_http_chatmaid_webhook_deliver_claimed(ngx_http_request_t *r,
    void *data);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_DELIVER_H_INCLUDED_ */
