
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * An error as a caller sees it: a problem (RFC 9457) with a code of ours.
 */


#ifndef _NGX_HTTP_CHATMAID_PROBLEM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PROBLEM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>


/* ngx_http_chatmaid_problem_t.code, in the order of the table in problem.c */

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
    NGX_HTTP_CHATMAID_DELIVERY_IN_FLIGHT,

    NGX_HTTP_CHATMAID_CODES                  /* how many there are */
};


typedef struct {
    ngx_uint_t    code;
    ngx_uint_t    status;              /* 0: the code's own */
    ngx_str_t     detail;
    json_t       *errors;              /* an array, or NULL */
    time_t        retry_after;         /* seconds; 0: not known */
    ngx_str_t     error;               /* Chatmaid's own name, or empty */
    json_t       *messages;            /* Chatmaid's own, or NULL */
    unsigned      may_be_accepted:1;   /* the outcome of a send */
    unsigned      retryable:1;         /* a further try may do better */
    unsigned      limited:1;           /* by Chatmaid's rate limit */
    unsigned      for_sdk:1;           /* has the members it reads */
} ngx_http_chatmaid_problem_t;


/* Makes the problem anew, with a code and a sentence for the caller.  Always
 * returns NGX_DECLINED, for a step to return. */
ngx_int_t ngx_http_chatmaid_problem_set(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem, ngx_uint_t code, const char *fmt,
    ...);

/* A copy whose detail is in the pool, without what is Chatmaid's own. */
void ngx_http_chatmaid_problem_copy(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *to, ngx_http_chatmaid_problem_t *from);

/* The problem as JSON text in the pool; "outcome" may be NULL.  NGX_OK,
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_problem_text(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *request_id,
    const char *outcome, ngx_str_t *text);

/* A code's name, and its status. */
const char *ngx_http_chatmaid_problem_name(ngx_uint_t code);
ngx_uint_t ngx_http_chatmaid_problem_status(ngx_uint_t code);

/* The code of an error of nginx's own with this status. */
ngx_uint_t ngx_http_chatmaid_problem_code(ngx_uint_t status);

/* What a status is called. */
const char *ngx_http_chatmaid_problem_title(ngx_uint_t status);


#endif /* _NGX_HTTP_CHATMAID_PROBLEM_H_INCLUDED_ */
