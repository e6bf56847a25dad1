
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a caller gets: JSON, or a problem (RFC 9457), with the headers of both.
 */


#ifndef _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_chatmaid_problem_t.code, in the order of the table in answer.c */

enum {
    NGX_HTTP_CHATMAID_INVALID_JSON = 0,
    NGX_HTTP_CHATMAID_INVALID_REQUEST,
    NGX_HTTP_CHATMAID_INVALID_IDEMPOTENCY_KEY,
    NGX_HTTP_CHATMAID_UNAUTHORIZED,
    NGX_HTTP_CHATMAID_SCOPE_DENIED,
    NGX_HTTP_CHATMAID_SENDER_DENIED,
    NGX_HTTP_CHATMAID_FORBIDDEN,
    NGX_HTTP_CHATMAID_NOT_FOUND,
    NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED,
    NGX_HTTP_CHATMAID_IDEMPOTENCY_IN_FLIGHT,
    NGX_HTTP_CHATMAID_BODY_TOO_LARGE,
    NGX_HTTP_CHATMAID_UNSUPPORTED_MEDIA_TYPE,
    NGX_HTTP_CHATMAID_IDEMPOTENCY_KEY_REUSED,
    NGX_HTTP_CHATMAID_RATE_LIMITED,
    NGX_HTTP_CHATMAID_INTERNAL_ERROR,
    NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
    NGX_HTTP_CHATMAID_UPSTREAM_AUTH,
    NGX_HTTP_CHATMAID_UPSTREAM_INVALID_RESPONSE,
    NGX_HTTP_CHATMAID_UNAVAILABLE,
    NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
    NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,

    /* of webhooks */
    NGX_HTTP_CHATMAID_MISSING_SIGNATURE,
    NGX_HTTP_CHATMAID_MALFORMED_SIGNATURE,
    NGX_HTTP_CHATMAID_TIMESTAMP_OUT_OF_TOLERANCE,
    NGX_HTTP_CHATMAID_SIGNATURE_MISMATCH,
    NGX_HTTP_CHATMAID_INVALID_EVENT,
    NGX_HTTP_CHATMAID_DELIVERY_IN_FLIGHT
};


/* The context of a request to a gateway location, with its request ID: found,
 * or made anew.  NULL without memory. */
ngx_http_chatmaid_ctx_t *ngx_http_chatmaid_create_ctx(ngx_http_request_t *r);

/* Fills in ctx->problem: a code and a sentence for the caller.  Always returns
 * NGX_DECLINED, for a step to return. */
ngx_int_t ngx_http_chatmaid_problem(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_uint_t code, const char *fmt, ...);

/* Answers a step's NGX_DECLINED with ctx->problem, its NGX_ERROR with 500.
 * Returns what the output filter did, for nginx or
 * ngx_http_chatmaid_flow_end(). */
ngx_int_t ngx_http_chatmaid_refuse(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_int_t rc);

/* Answers with ctx->problem, and logs nothing.  Returns the same. */
ngx_int_t ngx_http_chatmaid_problem_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);

/* Answers 200 without a body. */
ngx_int_t ngx_http_chatmaid_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);

/* Answers with JSON.  "text" must live as long as the request. */
ngx_int_t ngx_http_chatmaid_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_uint_t status, ngx_str_t *text);

/* A problem as JSON text in r->pool, as the request's face has it: NGX_OK,
 * NGX_ERROR; and the media type of it. */
ngx_int_t ngx_http_chatmaid_problem_text(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_http_chatmaid_problem_t *problem,
    const char *outcome, ngx_str_t *text);
ngx_str_t *ngx_http_chatmaid_problem_type(ngx_http_chatmaid_ctx_t *ctx);

/* A text as the whole body of a response: one buffer, the last; it must live as
 * long as the request.  NULL without memory. */
ngx_chain_t *ngx_http_chatmaid_answer_body_chain(ngx_http_request_t *r, ngx_str_t *text);

/* A code as problems have it. */
const char *ngx_http_chatmaid_code_name(ngx_uint_t code);

/* The code that nginx's own error of this status has. */
ngx_uint_t ngx_http_chatmaid_code(ngx_uint_t status);

/* The methods of a route as an Allow header has them: a static text. */
const char *ngx_http_chatmaid_allow(ngx_http_chatmaid_ctx_t *ctx);

/* Adds a response header; name and value are not copied. */
ngx_int_t ngx_http_chatmaid_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);


#endif /* _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_ */
