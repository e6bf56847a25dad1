
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The request target below a gateway location, byte for byte: what nginx keeps
 * of it in r->uri is decoded, and no escaping gives the caller's bytes back.
 */


#ifndef _NGX_HTTP_CHATMAID_URI_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_URI_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_CHATMAID_MAX_SEGMENTS  4


typedef struct {
    ngx_str_t   raw[NGX_HTTP_CHATMAID_MAX_SEGMENTS];
    ngx_str_t   decoded[NGX_HTTP_CHATMAID_MAX_SEGMENTS];
    ngx_uint_t  n;             /* may be more than fit: such a path is none of
                                  ours, but its segments have been checked */
} ngx_http_chatmaid_uri_t;


/* Cuts "prefix" off the path, with "slashes" those after it too, whatever
 * merge_slashes says, and splits the rest.  NGX_OK; NGX_DECLINED with *reason
 * (static) where a segment is dangerous to pass on; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_uri_parse(ngx_http_request_t *r,
    ngx_str_t *prefix, ngx_uint_t slashes, ngx_http_chatmaid_uri_t *target,
    const char **reason);

/* Whether the target has the form of "path", in which "*" is any segment; then
 * *id is the raw segment it stood for. */
ngx_uint_t ngx_http_chatmaid_uri_match(ngx_http_chatmaid_uri_t *target,
    const char *path, ngx_str_t *id);


#endif /* _NGX_HTTP_CHATMAID_URI_H_INCLUDED_ */
