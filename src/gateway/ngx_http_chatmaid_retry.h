
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Further tries of a call, and the pauses before them.
 */


#ifndef _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* How long the next call must wait because Chatmaid holds the account back, or
 * because the flow is postponed.  NGX_OK: for *left milliseconds, 0 if it may
 * begin now; NGX_DECLINED: until after the flow's deadline, and reply->problem
 * says so. */
ngx_int_t ngx_http_chatmaid_retry_held(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t *left);

/* To be called before each call except polls.  NGX_OK: the call may begin;
 * NGX_AGAIN: it must wait, as above or for its place in the account's pace; the
 * flow will be resumed and must call this again; NGX_DECLINED: it can't begin
 * before the deadline, and reply->problem says so; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_retry_hold(ngx_http_chatmaid_flow_t *flow);

/* The same for a poll: asks for a place in the account's pace, if it has one.
 * A poll is not permitted in the first place while the account is held back. */
ngx_int_t ngx_http_chatmaid_retry_place(ngx_http_chatmaid_flow_t *flow);

/* To be called after a call that failed with reply->problem.  Holds the
 * account's calls back if Chatmaid says so.  NGX_AGAIN: a timer resumes the
 * flow for a further try; NGX_DECLINED: there is no further try or, if
 * flow->postponed is set, it would come after the flow's deadline. */
ngx_int_t ngx_http_chatmaid_retry_pause(ngx_http_chatmaid_flow_t *flow);

/* Whether a pause of "time" milliseconds ends before the flow's deadline. */
ngx_uint_t ngx_http_chatmaid_retry_fits(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);


#endif /* _NGX_HTTP_CHATMAID_RETRY_H_INCLUDED_ */
