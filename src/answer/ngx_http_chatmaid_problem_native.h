
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The native face: Chatmaid's own paths and envelopes below "v1/", for its
 * official clients.
 */


#ifndef _NGX_HTTP_CHATMAID_PROBLEM_NATIVE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PROBLEM_NATIVE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Whether the request is to a gateway location, and for its native face. */
ngx_uint_t ngx_http_chatmaid_is_native(ngx_http_request_t *r);

/* The problem as Chatmaid's envelope, JSON text in r->pool; "reason" is what
 * its status means.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_problem_native_text(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_http_chatmaid_problem_t *problem,
    const char *reason, ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_PROBLEM_NATIVE_H_INCLUDED_ */
