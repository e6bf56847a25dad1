
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * jansson at the border: from nginx's buffers and back.  A json_t that these
 * functions return belongs to the pool and is released with it; take a
 * reference (json_incref) to keep it longer.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>


/* Parses a request body, from memory or file: one JSON text, no member twice,
 * no \u0000.  NGX_OK; NGX_DECLINED: not that, "reason" (in the pool) says where
 * and why, without a byte of the body; NGX_ERROR: no memory, a read failed. */
ngx_int_t ngx_http_chatmaid_json_body(ngx_http_request_t *r, json_t **json,
    ngx_str_t *reason);

/* Why a text is not JSON, without a byte of it. */
const char *ngx_http_chatmaid_json_reason(json_error_t *error);

/* Hands a reference over to the pool; takes NULL as a failure of what made it,
 * and releases the reference itself where it fails.  Returns json or NULL. */
json_t *ngx_http_chatmaid_json_keep(ngx_pool_t *pool, json_t *json);

/* Writes compact JSON to the pool, "flags" are jansson's.  NGX_OK,
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_dump(ngx_pool_t *pool, const json_t *json,
    size_t flags, ngx_str_t *text);

/* A new string (the caller's reference), with "?" for each byte outside ASCII
 * where "text" is not UTF-8; NULL without memory. */
json_t *ngx_http_chatmaid_json_string(ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_ */
