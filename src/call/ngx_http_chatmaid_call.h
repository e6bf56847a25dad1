
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One try to reach Chatmaid: a background subrequest to the internal location,
 * whose answer is captured instead of sent to the caller.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_counters.h"


#define NGX_HTTP_CHATMAID_CALL_MAX_ANSWER  (4 * 1024 * 1024)


/* What became of a call. */

typedef enum {
    NGX_HTTP_CHATMAID_CALL_RUNNING = 0,

    /* nothing was handed to an upstream: */
    NGX_HTTP_CHATMAID_CALL_LIMITED,          /* by limit_req or limit_conn */
    NGX_HTTP_CHATMAID_CALL_NOT_MADE,         /* call->reason says why */

    /* no answer, and no byte can have arrived: */
    NGX_HTTP_CHATMAID_CALL_NOT_CONNECTED,
    NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT,

    /* no answer, but the call may have arrived: */
    NGX_HTTP_CHATMAID_CALL_NO_ANSWER,
    NGX_HTTP_CHATMAID_CALL_TIMEOUT,
    NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED,      /* a kept connection was closed */

    /* an answer that can't be used: */
    NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM,     /* by something else */
    NGX_HTTP_CHATMAID_CALL_TOO_LARGE,
    NGX_HTTP_CHATMAID_CALL_NO_MEMORY,
    NGX_HTTP_CHATMAID_CALL_CUT_SHORT,

    NGX_HTTP_CHATMAID_CALL_ANSWERED
} ngx_http_chatmaid_call_result_e;


typedef struct ngx_http_chatmaid_call_s  ngx_http_chatmaid_call_t;

typedef void (*ngx_http_chatmaid_call_pt)(ngx_http_chatmaid_call_t *call);


struct ngx_http_chatmaid_call_s {

    /* set by the owner, zeroed the rest */

    ngx_str_t                         path;      /* with its query */
    ngx_str_t                         request_id;
    ngx_str_t                        *body;      /* of a POST; NULL: a GET */
    unsigned                          fresh:1;   /* on a new connection */
    unsigned                          exists:1;  /* Chatmaid always has it */
    unsigned                          further:1; /* one more of the request */

    /* Called when the call is done, just before the request goes on by its
     * write_event_handler.  It must only take notes: nginx is still finalizing
     * the subrequest. */
    ngx_http_chatmaid_call_pt         handler;
    void                             *data;

    /* known when the call is done */

    ngx_http_chatmaid_call_result_e   result;
    ngx_uint_t                        status;    /* Chatmaid's; 0: no answer */
    ngx_msec_t                        time;      /* milliseconds */
    ngx_str_t                         answer;    /* the body */
    ngx_http_chatmaid_outcome_e       outcome;   /* set by call_result() */
    ngx_int_t                         rc;        /* nginx's, when LIMITED */
    const char                       *reason;    /* when NOT_MADE */

    ngx_http_chatmaid_loc_conf_t     *conf;
    ngx_http_upstream_t              *upstream;  /* that got the key, or NULL */

    unsigned                          gone:1;    /* the caller, meanwhile */

    /* of the call itself */

    unsigned                          aimed:1;   /* at its real target */
    unsigned                          whole:1;   /* the end was captured */
    unsigned                          kept_closed:1;  /* its connection */

    /* nginx's own handlers of the upstream, see call_head */
    ngx_int_t                       (*reinit_request)(ngx_http_request_t *r);
    ngx_int_t                       (*process_header)(ngx_http_request_t *r);

    ngx_http_chatmaid_call_result_e   fault;     /* seen while it runs */
    ngx_http_request_t               *request;   /* NULL when it is done */
    ngx_uint_t                        state;     /* its first upstream state */
    ngx_msec_t                        started;   /* its time */
    size_t                            size;      /* allocated for the answer */
};


/* Starts a call of r's location.  The body must outlive it.  NGX_AGAIN: the
 * handler will be called; NGX_ERROR: nothing was started. */
ngx_int_t ngx_http_chatmaid_call_start(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);

/* The answer is not read any more; it may be large. */
void ngx_http_chatmaid_call_free_answer(ngx_pool_t *pool,
    ngx_http_chatmaid_call_t *call);

/* Passes on a wake-up of the caller's connection to a subrequest that waits for
 * it, as one delayed by limit_req does. */
void ngx_http_chatmaid_call_wake(ngx_http_chatmaid_call_t *call);

/* The call whose subrequest r is, or NULL. */
ngx_http_chatmaid_call_t *ngx_http_chatmaid_call_get(ngx_http_request_t *r);

/* The capture, for such an r: the answer goes no further. */
ngx_int_t ngx_http_chatmaid_call_header_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
ngx_int_t ngx_http_chatmaid_call_body_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_chain_t *in);

/* ngx_http_handler_pt: gives the subrequest its real target. */
ngx_int_t ngx_http_chatmaid_call_precontent_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_ */
