
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The answers to a caller: JSON or a problem, with their headers.
 */


#ifndef _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_facts.h"
#include "ngx_http_chatmaid_problem.h"


/*
 * The module's context of a request to a gateway or webhook location: what the
 * answer depends on.  It is lost on an internal redirect, because nginx zeroes
 * r->ctx.
 */

typedef struct {
    ngx_http_chatmaid_facts_t    *facts;
    ngx_str_t                     request_id;
    ngx_str_t                    *key;       /* of the operation, or NULL */
    ngx_str_t                     path;      /* of the call; or empty */
    const char                   *allow;     /* for the header Allow, or
                                              * NULL */

    ngx_http_chatmaid_problem_t   problem;

    ngx_uint_t                    entry_status;  /* see error_page.c */
    ngx_chain_t                  *page;      /* replaces nginx's page */

    ngx_http_chatmaid_flow_t     *flow;      /* the gateway's; not used here */

    unsigned                      native:1;  /* Chatmaid's own face */
    unsigned                      is_send:1; /* its problems have an outcome */
    unsigned                      tried:1;   /* the message may have been sent,
                                              * by this send or another one */
    unsigned                      replayed:1;
    unsigned                      sent:1;    /* the answer has been sent */
} ngx_http_chatmaid_reply_t;


/* The reply of a request, created in r->pool if there is none.  NULL: no
 * memory, or no random bytes. */
ngx_http_chatmaid_reply_t *ngx_http_chatmaid_answer_get_reply(
    ngx_http_request_t *r);

/* The X-Request-Id of a request's answer, always the same for one request: the
 * caller's if it is well-formed, else $request_id.  It lives as long as the
 * request.  NGX_OK; NGX_ERROR: no memory, or no random bytes. */
ngx_int_t ngx_http_chatmaid_answer_request_id(ngx_http_request_t *r,
    ngx_str_t *id);

/* The functions that answer.  Each returns what the output filter returned, for
 * nginx or ngx_http_finalize_request().  A request is answered only once: a
 * second answer is an alert and NGX_ERROR. */

/* Answers with JSON; the text must live as long as the request. */
ngx_int_t ngx_http_chatmaid_answer_json(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_uint_t status, ngx_str_t *text);

/* Answers with 200 and no body. */
ngx_int_t ngx_http_chatmaid_answer_empty(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);

/* Answers with reply->problem; logs nothing. */
ngx_int_t ngx_http_chatmaid_answer_problem(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);

/* Logs the failure of a step, as log_failure() does, and answers with
 * reply->problem. */
ngx_int_t ngx_http_chatmaid_answer_failure(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_int_t rc);

/* Logs the failure of a step that returned rc.  With NGX_DECLINED the step has
 * set reply->problem; with any other rc it is set to an internal error here. */
void ngx_http_chatmaid_answer_log_failure(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_int_t rc);

/* Writes a problem as JSON text to r->pool, in the form of the request's face;
 * "outcome" may be NULL.  NGX_OK; NGX_ERROR: no memory.  The second function
 * gives the media type of that text. */
ngx_int_t ngx_http_chatmaid_answer_problem_text(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_problem_t *problem,
    const char *outcome, ngx_str_t *text);
ngx_str_t *ngx_http_chatmaid_answer_problem_type(
    ngx_http_chatmaid_reply_t *reply);

/* The text as the whole body of an answer: one buffer, marked as the last.  The
 * text must live as long as the request.  NULL: no memory. */
ngx_chain_t *ngx_http_chatmaid_answer_chain(ngx_http_request_t *r,
    ngx_str_t *text);

/* Adds a response header; the bytes of its name and value are not copied.
 * NGX_OK; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_answer_add_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);


#endif /* _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_ */
