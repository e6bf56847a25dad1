
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * chatmaid_sender: the sender of a caller that names none, and which others it
 * may name.
 */


#ifndef _NGX_HTTP_CHATMAID_SENDER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SENDER_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_problem.h"


typedef struct {
    ngx_str_t    value;          /* empty: callers must name one */
    ngx_uint_t   fixed;          /* they may name no other */
} ngx_http_chatmaid_sender_t;


/* That of the request's location.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_sender_get(ngx_http_request_t *r,
    ngx_http_chatmaid_sender_t *sender);

/* Whether a caller may name the sender it names ("same": it is this one) or, if
 * it names none, send at all ("same" is 1 then). */
ngx_uint_t ngx_http_chatmaid_sender_permits(ngx_http_chatmaid_sender_t *sender,
    ngx_uint_t same);

/* The problem of a caller that may not.  Returns NGX_DECLINED. */
ngx_int_t ngx_http_chatmaid_sender_deny(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem);


#endif /* _NGX_HTTP_CHATMAID_SENDER_H_INCLUDED_ */
