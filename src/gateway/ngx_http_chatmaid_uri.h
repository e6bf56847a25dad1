
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The request target below a gateway location, byte for byte.  r->uri is
 * decoded, and no escaping gives the caller's bytes back.
 */


#ifndef _NGX_HTTP_CHATMAID_URI_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_URI_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_CHATMAID_MAX_SEGMENTS  4


typedef struct {
    ngx_str_t    raw[NGX_HTTP_CHATMAID_MAX_SEGMENTS];
    ngx_str_t    decoded[NGX_HTTP_CHATMAID_MAX_SEGMENTS];
    ngx_uint_t   n;              /* may be more than the maximum: such a path is
                                  * no endpoint, but it has been checked */
    const char  *danger;         /* why a segment is dangerous to pass on, or
                                  * NULL: it is not */
} ngx_http_chatmaid_uri_t;


/* Cuts "prefix" off the path and splits the rest.  NGX_OK; NGX_DECLINED: it
 * does not begin with it, *reason (static) says more; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_uri_parse(ngx_http_request_t *r,
    ngx_str_t *prefix, ngx_http_chatmaid_uri_t *uri, const char **reason);

/* Splits a path that is decoded already, as it is. */
void ngx_http_chatmaid_uri_split(ngx_str_t *path, ngx_http_chatmaid_uri_t *uri);

/* Decodes one segment; *danger is as in the type above.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_uri_segment(ngx_pool_t *pool, ngx_str_t *raw,
    ngx_str_t *decoded, const char **danger);

/* Whether the i-th segment, from 0 on, is this text. */
ngx_uint_t ngx_http_chatmaid_uri_segment_is(ngx_http_chatmaid_uri_t *uri,
    ngx_uint_t i, const char *text);

/* Whether the URI has the form of "path", in which "*" is any segment; *id is
 * the raw segment in its place. */
ngx_uint_t ngx_http_chatmaid_uri_match(ngx_http_chatmaid_uri_t *uri,
    const char *path, ngx_str_t *id);


#endif /* _NGX_HTTP_CHATMAID_URI_H_INCLUDED_ */
