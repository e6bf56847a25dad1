
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The request target below a gateway location, byte for byte.  r->uri can't be
 * used: it is decoded, and encoding it does not give the caller's bytes back.
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
                                  * NULL */
} ngx_http_chatmaid_uri_t;


/* Cuts "prefix" off the request's path and splits the rest; the segments live
 * as long as the request.  NGX_OK; NGX_DECLINED: the path does not begin with
 * the prefix or has a "#", and *reason (static) says so; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_uri_parse(ngx_http_request_t *r,
    ngx_str_t *prefix, ngx_http_chatmaid_uri_t *uri, const char **reason);

/* Splits a path that is already decoded.  The segments point into it; "danger"
 * is not set. */
void ngx_http_chatmaid_uri_split(ngx_str_t *path, ngx_http_chatmaid_uri_t *uri);

/* Decodes one segment; *danger is as in the type above.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_uri_segment(ngx_pool_t *pool, ngx_str_t *raw,
    ngx_str_t *decoded, const char **danger);

/* Whether the i-th segment, from 0 on, is this text. */
ngx_uint_t ngx_http_chatmaid_uri_segment_is(ngx_http_chatmaid_uri_t *uri,
    ngx_uint_t i, const char *text);

/* Whether the URI has the form of "path", in which "*" stands for any segment
 * that is not empty.  *id is set to the raw segment in that place. */
ngx_uint_t ngx_http_chatmaid_uri_match(ngx_http_chatmaid_uri_t *uri,
    const char *path, ngx_str_t *id);


#endif /* _NGX_HTTP_CHATMAID_URI_H_INCLUDED_ */
