
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The last steps of a webhook: where does its event go, and has it been there?
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_DELIVER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_DELIVER_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_request.h"


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
