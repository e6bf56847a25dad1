
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


#define NGX_HTTP_CHATMAID_CALL_MAX_ANSWER  (4 * 1024 * 1024)   /* bytes */


/* How a call ended. */

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
    NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM,     /* not by Chatmaid */
    NGX_HTTP_CHATMAID_CALL_TOO_LARGE,
    NGX_HTTP_CHATMAID_CALL_NO_MEMORY,
    NGX_HTTP_CHATMAID_CALL_CUT_SHORT,

    NGX_HTTP_CHATMAID_CALL_ANSWERED
} ngx_http_chatmaid_call_result_e;


typedef struct ngx_http_chatmaid_call_s  ngx_http_chatmaid_call_t;

typedef void (*ngx_http_chatmaid_call_pt)(ngx_http_chatmaid_call_t *call);


struct ngx_http_chatmaid_call_s {

    /* set by the owner; the rest is zeroed memory */

    ngx_str_t                         path;      /* after "/", with the query */
    ngx_str_t                         request_id;
    ngx_str_t                        *body;      /* of a POST; NULL: a GET */
    unsigned                          fresh:1;   /* on a new connection */
    unsigned                          exists:1;  /* 404: the path is wrong */
    unsigned                          further:1; /* not the request's first */

    /* Called once, when the call is done; the request's write_event_handler
     * runs soon after it.  The handler must only store what it needs, because
     * nginx is still finalizing the subrequest. */
    ngx_http_chatmaid_call_pt         handler;
    void                             *data;

    /* valid when the handler is called */

    ngx_http_chatmaid_call_result_e   result;
    ngx_uint_t                        status;    /* Chatmaid's; 0: no answer */
    ngx_msec_t                        time;      /* milliseconds */
    ngx_str_t                         answer;    /* the body, in r->pool */
    ngx_http_chatmaid_outcome_e       outcome;   /* set by call_result() */
    ngx_int_t                         rc;        /* nginx's status if LIMITED */
    const char                       *reason;    /* for the log if NOT_MADE */

    ngx_http_chatmaid_loc_conf_t     *conf;
    ngx_http_upstream_t              *upstream;  /* that got the key, or NULL */

    unsigned                          gone:1;    /* the caller has left */

    /* private */

    unsigned                          aimed:1;   /* has its real path */
    unsigned                          whole:1;   /* captured to its end */
    unsigned                          kept_closed:1;  /* see CALL_KEPT_CLOSED */

    /* nginx's own handlers of the upstream, see call_head */
    ngx_int_t                       (*reinit_request)(ngx_http_request_t *r);
    ngx_int_t                       (*process_header)(ngx_http_request_t *r);

    ngx_http_chatmaid_call_result_e   fault;     /* found while it runs */
    ngx_http_request_t               *request;   /* NULL when it is done */
    ngx_uint_t                        state;     /* index of its first state */
    ngx_msec_t                        started;   /* as ngx_current_msec */
    size_t                            size;      /* allocated for the answer */
};


/* Starts a call through the internal location of r's gateway.  The call and its
 * body must live as long as r.  NGX_AGAIN: the handler will be called, never
 * before this function has returned; NGX_ERROR: nothing was started. */
ngx_int_t ngx_http_chatmaid_call_start(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);

/* Frees call->answer, which may be large, when it is not needed any more. */
void ngx_http_chatmaid_call_free_answer(ngx_pool_t *pool,
    ngx_http_chatmaid_call_t *call);

/* Passes on a write event of the caller's connection to the call's subrequest,
 * which waits for that event if limit_req delays it. */
void ngx_http_chatmaid_call_wake(ngx_http_chatmaid_call_t *call);

/* The call that r is the subrequest of, or NULL. */
ngx_http_chatmaid_call_t *ngx_http_chatmaid_call_get(ngx_http_request_t *r);

/* Capture the answer to the subrequest r of a call; it goes to no other filter.
 * NGX_OK; the body filter also NGX_ERROR: the answer is too large, or there is
 * no memory. */
ngx_int_t ngx_http_chatmaid_call_header_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
ngx_int_t ngx_http_chatmaid_call_body_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_chain_t *in);

/* The handler of the PRECONTENT phase: gives the subrequest of a call its real
 * path.  NGX_DECLINED: go on; NGX_HTTP_INTERNAL_SERVER_ERROR: the call must not
 * be made. */
ngx_int_t ngx_http_chatmaid_call_precontent_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_ */
