
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Reads Chatmaid's error answers.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_ERROR_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_ERROR_H_INCLUDED_


#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_problem.h"


/* Makes a problem of an error answer with its status, messages and retryAfter.
 * "answer" is the body after json_text_check().  NGX_DECLINED: the problem is
 * set; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_call_error(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    ngx_str_t *answer);

/* The time after which Chatmaid wants the next try, in seconds: the body's
 * retryAfter ("answer" is checked JSON, or empty), else the header Retry-After
 * (RFC 9110, section 10.2.3).  At least 1 second and at most 30 days; 0:
 * neither is given. */
time_t ngx_http_chatmaid_call_error_retry_after(ngx_http_chatmaid_call_t *call,
    ngx_str_t *answer);

/* Whether this status means that Chatmaid has created no message. */
ngx_uint_t ngx_http_chatmaid_call_error_is_refusal(ngx_uint_t status);

/* Logs that a 404 is about the path itself, and how proxy_pass must be set. */
void ngx_http_chatmaid_call_error_log_path(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);


#endif /* _NGX_HTTP_CHATMAID_CALL_ERROR_H_INCLUDED_ */
