
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What makes two sends the same: the operation key, the fingerprint of the
 * message, and the key made of both that Chatmaid deduplicates by.  README,
 * "Keys", documents the exact bytes: changing them is a breaking change.
 */


#ifndef _NGX_HTTP_CHATMAID_IDEMPOTENCY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_IDEMPOTENCY_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The Idempotency-Key header's key, bare; of length 0 where there is none.
 * NGX_OK; NGX_DECLINED with *reason where it is wrong; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_header(ngx_http_request_t *r,
    ngx_str_t *key, const char **reason);

/* What is wrong with an operation key, or NULL. */
const char *ngx_http_chatmaid_idempotency_check(ngx_str_t *key);

/* Names the operation of flow->message: its fingerprint, its record
 * (flow->claim), and where flow->key is empty a key of a keyless send.  NGX_OK,
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_name(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* After a claim: a keyless send has the key of the window that it is of. */
void ngx_http_chatmaid_idempotency_claimed(ngx_http_chatmaid_flow_t *flow);

/* The key that is sent to Chatmaid, of account, scope, operation key and
 * fingerprint, 64 hex digits in r->pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_derive(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *key);


#endif /* _NGX_HTTP_CHATMAID_IDEMPOTENCY_H_INCLUDED_ */
