
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What runs the steps of a request's flow: parks and resumes it, whatever
 * becomes of its caller, and answers at its deadline.
 */


#ifndef _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Begins flow->steps, once the whole request is here.  The caller
 * has counted a reference for it (r->main->count), which its end gives back. */
void ngx_http_chatmaid_flow_start(ngx_http_request_t *r);

/* The step with which the flow goes on, one of its own. */
void ngx_http_chatmaid_flow_go(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_flow_step_pt step);

/* Goes on with a parked flow, from an event of our own (not from a subrequest,
 * which posts its parent instead).  r may be gone after it. */
void ngx_http_chatmaid_flow_resume(ngx_http_request_t *r);

/* Ends the flow with an answer, unless its caller has left or has been answered
 * at the deadline.  Returns NGX_DONE. */
ngx_int_t ngx_http_chatmaid_flow_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_uint_t status, ngx_str_t *text);

/* Ends the request with what answering returned.  r and flow must not be used
 * after it. */
void ngx_http_chatmaid_flow_end(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_int_t rc);

/* What a step returns that parks, to go on with "step", while nothing of the
 * request's own is under way, and nothing is to be settled: a caller that
 * leaves ends it. */
ngx_int_t ngx_http_chatmaid_flow_idle(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_http_chatmaid_flow_step_pt step);

/* Finds the context of a flow again, where a filter that replaces the answer
 * has made nginx forget all contexts. */
void ngx_http_chatmaid_flow_restore(ngx_http_request_t *r);

/* A handler for a timer that only resumes its flow. */
void ngx_http_chatmaid_flow_resume_handler(ngx_event_t *ev);

/* Arms a timer (an event in flow) whose handler gets r as its data.  What is
 * still armed when the request ends is taken off. */
void ngx_http_chatmaid_flow_timer(ngx_http_request_t *r, ngx_event_t *ev,
    ngx_event_handler_pt handler, ngx_msec_t time);


#endif /* _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_ */
