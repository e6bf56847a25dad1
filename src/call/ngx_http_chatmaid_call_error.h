
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What Chatmaid's own errors say.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_ERROR_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_ERROR_H_INCLUDED_


#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_problem.h"


/* Makes a problem of an error that is JSON, "answer": its status, message and
 * retryAfter are kept.  NGX_DECLINED: see the problem; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_call_error(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    ngx_str_t *answer);

/* The body's retryAfter ("answer" is JSON, or empty), else Retry-After (RFC
 * 9110, section 10.2.3), in seconds: at least 1, or 0 if there is neither. */
time_t ngx_http_chatmaid_call_error_retry_after(ngx_http_chatmaid_call_t *call,
    ngx_str_t *answer);

/* Whether Chatmaid says by this status that it has made no message. */
ngx_uint_t ngx_http_chatmaid_call_error_is_refusal(ngx_uint_t status);

/* Logs that it is the path of the call that was answered 404. */
void ngx_http_chatmaid_call_error_log_path(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);


#endif /* _NGX_HTTP_CHATMAID_CALL_ERROR_H_INCLUDED_ */
