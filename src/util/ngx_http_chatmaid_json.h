
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * JSON that the module builds, with jansson.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>


/* Passes the caller's reference to "json" to the pool, which releases it, and
 * returns "json".  NULL: "json" was NULL, or there is no memory; then the
 * reference has been released. */
json_t *ngx_http_chatmaid_json_keep(ngx_pool_t *pool, json_t *json);

/* Writes compact JSON to the pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_dump(ngx_pool_t *pool, const json_t *json,
    ngx_str_t *text);

/* Returns a new string; the caller owns the reference.  If "text" is not UTF-8,
 * each byte outside ASCII becomes "?".  NULL: no memory. */
json_t *ngx_http_chatmaid_json_string(ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_JSON_H_INCLUDED_ */
