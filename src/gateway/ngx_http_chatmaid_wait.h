
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * GET messages/ID?wait= and POST send?wait=: the answer comes when the message
 * has reached the status that the caller waits for.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_H_INCLUDED_


#include "ngx_http_chatmaid_wait_query.h"


/* Takes "wait" and "until" out of "args", the query of messages/ID.  If they
 * ask for a wait, the flow becomes a wait.  NGX_OK; NGX_DECLINED:
 * reply->problem says what is wrong; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_init(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *id, ngx_str_t *args);

/* For a step of a send whose record is settled: the flow goes on as a wait for
 * "message", the "data" of Chatmaid's answer, which is copied.  If the wait
 * fails, this message is the answer.  NGX_OK; NGX_DECLINED: the message has no
 * ID that could be asked for; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_follow(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_wait_query_t *query, ngx_str_t *message);


#endif /* _NGX_HTTP_CHATMAID_WAIT_H_INCLUDED_ */
