
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * JSON that we build, by jansson.  A json_t that json_keep() returns belongs to
 * the pool and is released with it.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>


/* Hands a reference over to the pool.  NULL, without a reference left: it was
 * NULL, or there is no memory. */
json_t *ngx_http_chatmaid_json_keep(ngx_pool_t *pool, json_t *json);

/* Writes compact JSON to the pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_dump(ngx_pool_t *pool, const json_t *json,
    ngx_str_t *text);

/* A new string (the caller's reference).  If "text" is not UTF-8, each byte
 * outside ASCII becomes "?".  NULL without memory. */
json_t *ngx_http_chatmaid_json_string(ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_ */
