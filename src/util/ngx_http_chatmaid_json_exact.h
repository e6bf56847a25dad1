
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * JSON of others, taken as it is.  jansson refuses, or changes, some of what
 * JSON allows: integers beyond 64 bits, reals beyond a double, half a surrogate
 * pair, \u0000 in a name.  A signed event must not be lost for it.  So each
 * number, and each character of that kind, is first put into a form of its own
 * in which jansson takes them; two values are equal just where their forms are.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_EXACT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_EXACT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <jansson.h>


/* Parses one JSON text with no member twice.  NGX_OK: "json" is the caller's
 * reference, its numbers are strings that only these functions understand;
 * NGX_DECLINED: not that, "reason" says why, without a byte of it; NGX_ERROR:
 * no memory. */
ngx_int_t ngx_http_chatmaid_json_exact_parse(ngx_log_t *log, ngx_str_t *text,
    json_t **json, const char **reason);

/* What a string holds, in the pool, with control characters as JSON writes them
 * ("\u000a").  NGX_OK; NGX_DECLINED: no string, or NULL; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_exact_string(ngx_pool_t *pool, json_t *json,
    ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_JSON_EXACT_H_INCLUDED_ */
