
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * chatmaid_sender: the sender for callers that name none, and whether they may
 * name another one.
 */


#ifndef _NGX_HTTP_CHATMAID_SENDER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SENDER_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_problem.h"


typedef struct {
    ngx_str_t    value;          /* empty: callers must name one */
    ngx_uint_t   fixed;          /* callers may name no other */
} ngx_http_chatmaid_sender_t;


/* The sender of the request's location.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_sender_get(ngx_http_request_t *r,
    ngx_http_chatmaid_sender_t *sender);

/* Whether a caller may use the sender that it names; "same" is 1 if that is the
 * location's sender.  With "same" 1 it also says whether a caller that names
 * none may send. */
ngx_uint_t ngx_http_chatmaid_sender_permits(ngx_http_chatmaid_sender_t *sender,
    ngx_uint_t same);

/* Sets the problem of a caller that may not.  Returns NGX_DECLINED. */
ngx_int_t ngx_http_chatmaid_sender_deny(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem);


#endif /* _NGX_HTTP_CHATMAID_SENDER_H_INCLUDED_ */
