
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Problems on the native face, which has Chatmaid's own paths and envelopes
 * below "v1/" for its official clients.
 */


#ifndef _NGX_HTTP_CHATMAID_PROBLEM_NATIVE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PROBLEM_NATIVE_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_problem.h"


/* Whether the request is to a gateway location and asks for its native face. */
ngx_uint_t ngx_http_chatmaid_problem_native_is_asked(ngx_http_request_t *r);

/* Writes the problem as Chatmaid's error envelope, JSON text in r->pool.  It
 * shows "path", the path of the call, without the query, or the request's own
 * path if "path" is empty.  NGX_OK; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_problem_native_text(ngx_http_request_t *r,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *path, ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_PROBLEM_NATIVE_H_INCLUDED_ */
