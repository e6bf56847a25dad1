
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * An error as a caller sees it: a problem (RFC 9457) with a code of the module.
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
    ngx_uint_t    status;              /* 0: the status of the code */
    ngx_str_t     detail;
    json_t       *errors;              /* an array, or NULL */
    time_t        retry_after;         /* seconds; 0: not known */
    ngx_str_t     error;               /* "error" of Chatmaid, or empty */
    json_t       *messages;            /* "message" of Chatmaid, or NULL */
    unsigned      may_be_accepted:1;   /* the outcome of a send is unknown */
    unsigned      retryable:1;         /* a further try may do better */
    unsigned      limited:1;           /* by Chatmaid's rate limit */
    unsigned      for_sdk:1;           /* add what Chatmaid's SDK reads */
} ngx_http_chatmaid_problem_t;


/* Sets the problem to a code and a detail for the caller, which is copied to
 * the pool; all other members are cleared.  Always returns NGX_DECLINED, for a
 * step to return; without memory the detail is empty. */
ngx_int_t ngx_http_chatmaid_problem_set(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem, ngx_uint_t code, const char *fmt,
    ...);

/* Copies a problem; its detail is copied to the pool, and "errors", "error" and
 * "messages" are left out. */
void ngx_http_chatmaid_problem_copy(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *to, ngx_http_chatmaid_problem_t *from);

/* Writes the problem as JSON text to the pool; "outcome" may be NULL.
 * problem->status must be set.  NGX_OK; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_problem_text(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *request_id,
    const char *outcome, ngx_str_t *text);

/* The name of a code, and its HTTP status. */
const char *ngx_http_chatmaid_problem_name(ngx_uint_t code);
ngx_uint_t ngx_http_chatmaid_problem_status(ngx_uint_t code);

/* The code for nginx's own error with this status. */
ngx_uint_t ngx_http_chatmaid_problem_code(ngx_uint_t status);

/* The reason phrase of a status, or "Error". */
const char *ngx_http_chatmaid_problem_title(ngx_uint_t status);


#endif /* _NGX_HTTP_CHATMAID_PROBLEM_H_INCLUDED_ */
