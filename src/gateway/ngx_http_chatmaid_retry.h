
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Further tries of a call, and the pauses before them.
 */


#ifndef _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* NGX_OK: the account is held back for *left milliseconds, or (0) it is not;
 * NGX_DECLINED, that does not fit into the flow's time: see flow->problem. */
ngx_int_t ngx_http_chatmaid_retry_held(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_msec_t *left);

/* Before any call: NGX_OK, one may begin; NGX_AGAIN, the account is held back
 * for now: the flow is to be parked, and this asked again; NGX_DECLINED, that
 * does not fit into chatmaid_timeout: flow->problem says so. */
ngx_int_t ngx_http_chatmaid_retry_hold(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* After a call that failed with flow->problem: holds the account's calls back
 * where Chatmaid said so.  NGX_AGAIN, the flow is to be parked, and to try
 * again when it is resumed; NGX_DECLINED, that was the last try, or, where
 * flow->next_try is set, only the flow's time does not suffice. */
ngx_int_t ngx_http_chatmaid_retry_pause(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* Whether a pause of "time" milliseconds ends before the flow's deadline. */
ngx_uint_t ngx_http_chatmaid_retry_fits(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);


#endif /* _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_ */
