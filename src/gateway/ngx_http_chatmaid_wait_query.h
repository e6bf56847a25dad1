
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * "wait" and "until" in a query: how long the caller waits, and for which
 * status.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_QUERY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_QUERY_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


typedef struct {
    ngx_uint_t    waits;         /* how often "wait" is given */
    ngx_uint_t    untils;        /* how often "until" is given */
    ngx_msec_t    time;          /* 0: no wait is asked for */
    ngx_uint_t    until;         /* see message_status.h */
} ngx_http_chatmaid_wait_query_t;


/* Takes both out of "args" and leaves the other arguments there.  NGX_OK;
 * NGX_DECLINED: reply->problem says what is wrong; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_query(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *args, ngx_http_chatmaid_wait_query_t *query);


#endif /* _NGX_HTTP_CHATMAID_WAIT_QUERY_H_INCLUDED_ */
