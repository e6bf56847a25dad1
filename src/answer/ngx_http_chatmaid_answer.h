
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a caller gets: JSON, or a problem, with the headers of both.
 */


#ifndef _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_facts.h"
#include "ngx_http_chatmaid_problem.h"


/*
 * The module's context of a request to a gateway or webhook location: what its
 * answer depends on.  nginx zeroes r->ctx on an internal redirect.
 */

typedef struct {
    ngx_http_chatmaid_facts_t    *facts;
    ngx_str_t                     request_id;
    ngx_str_t                    *key;       /* of the operation, or NULL */
    ngx_str_t                     path;      /* of the call; or empty */
    const char                   *allow;     /* methods of the endpoint, or
                                              * NULL: it takes this one */

    ngx_http_chatmaid_problem_t   problem;

    ngx_uint_t                    entry_status;  /* see error_page.c */
    ngx_chain_t                  *page;      /* a problem for nginx's page */

    ngx_http_chatmaid_flow_t     *flow;      /* of a gateway; not used here */

    unsigned                      native:1;  /* Chatmaid's own face */
    unsigned                      is_send:1; /* its problems have an outcome */
    unsigned                      tried:1;   /* the message may have been sent,
                                              * by this send or another one */
    unsigned                      replayed:1;
    unsigned                      sent:1;    /* the answer */
} ngx_http_chatmaid_reply_t;


/* The reply of a request, made if there is none.  NULL without memory. */
ngx_http_chatmaid_reply_t *ngx_http_chatmaid_answer_get_reply(
    ngx_http_request_t *r);

/* The X-Request-Id of a request's answer, the same whenever it is asked for:
 * the caller's if it is well-formed, else $request_id.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_answer_request_id(ngx_http_request_t *r,
    ngx_str_t *id);

/* The answers.  Each returns what the output filter returned, for nginx or
 * ngx_http_finalize_request().  A request is answered once. */

/* With JSON; the text must live as long as the request. */
ngx_int_t ngx_http_chatmaid_answer_json(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_uint_t status, ngx_str_t *text);

/* With 200 and no body. */
ngx_int_t ngx_http_chatmaid_answer_empty(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);

/* With reply->problem; logs nothing. */
ngx_int_t ngx_http_chatmaid_answer_problem(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);

/* After a step has failed: see below; then with reply->problem. */
ngx_int_t ngx_http_chatmaid_answer_failure(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_int_t rc);

/* Logs the failure of a step.  With NGX_DECLINED reply->problem describes it;
 * with another rc it becomes an internal error. */
void ngx_http_chatmaid_answer_log_failure(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_int_t rc);

/* A problem as JSON text in r->pool, in the form of the request's face; NGX_OK,
 * NGX_ERROR; and the media type of that text. */
ngx_int_t ngx_http_chatmaid_answer_problem_text(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_problem_t *problem,
    const char *outcome, ngx_str_t *text);
ngx_str_t *ngx_http_chatmaid_answer_problem_type(
    ngx_http_chatmaid_reply_t *reply);

/* A text as the whole body of an answer: one buffer, the last; the text must
 * live as long as the request.  NULL without memory. */
ngx_chain_t *ngx_http_chatmaid_answer_chain(ngx_http_request_t *r,
    ngx_str_t *text);

/* Adds a response header; name and value are not copied.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_answer_add_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);


#endif /* _NGX_HTTP_CHATMAID_ANSWER_H_INCLUDED_ */
