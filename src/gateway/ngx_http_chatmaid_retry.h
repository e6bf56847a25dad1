
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Further tries of a call, and the pauses before them.
 */


#ifndef _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* NGX_OK: the account is held back for *left milliseconds; 0: it is not held
 * back.  NGX_DECLINED: for longer than the flow has time; reply->problem says
 * so. */
ngx_int_t ngx_http_chatmaid_retry_held(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t *left);

/* Before any call.  NGX_OK: it may begin; NGX_AGAIN: the account is held back,
 * or the call waits for its place in the account's pace, and the flow will be
 * resumed to ask again; NGX_DECLINED: as above; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_retry_hold(ngx_http_chatmaid_flow_t *flow);

/* The same for a poll, which is not made while the account is held back: asks
 * for its place in the account's pace, if there is one. */
ngx_int_t ngx_http_chatmaid_retry_place(ngx_http_chatmaid_flow_t *flow);

/* After a call that failed with reply->problem: holds the account's calls back
 * if Chatmaid says so.  NGX_AGAIN: a timer resumes the flow for another try;
 * NGX_DECLINED: that was the last one, or, if the flow is postponed, its time
 * is too short for another. */
ngx_int_t ngx_http_chatmaid_retry_pause(ngx_http_chatmaid_flow_t *flow);

/* Whether a pause of so many milliseconds ends before the flow's deadline. */
ngx_uint_t ngx_http_chatmaid_retry_fits(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);


#endif /* _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_ */
