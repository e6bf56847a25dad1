
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a finished call means: Chatmaid's answer, or the problem to answer with.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_


#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_call_envelope.h"
#include "ngx_http_chatmaid_problem.h"


/* What a successful answer must be. */

typedef enum {
    NGX_HTTP_CHATMAID_EXPECT_DATA = 0,   /* an envelope that has "data" */
    NGX_HTTP_CHATMAID_EXPECT_MESSAGE,    /* the same, with data.id */
    NGX_HTTP_CHATMAID_EXPECT_JSON        /* any JSON, passed on unchanged */
} ngx_http_chatmaid_call_result_expect_e;


/* Judges a call that is done, counts it and sets call->outcome.  NGX_OK: the
 * answer is a success, and "envelope" points into call->answer (it is not set
 * with EXPECT_JSON).  NGX_DECLINED: "problem" is set; it also says whether a
 * message may have been accepted.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope,
    ngx_http_chatmaid_problem_t *problem);

/* Whether an envelope is a success and has what is expected.  With EXPECT_JSON
 * only "data" is required. */
ngx_uint_t ngx_http_chatmaid_call_result_is_success(
    ngx_http_chatmaid_call_envelope_t *envelope,
    ngx_http_chatmaid_call_result_expect_e expect);


#endif /* _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_ */
