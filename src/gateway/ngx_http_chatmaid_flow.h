
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A request to a gateway: runs its steps, parks and resumes them, makes its
 * calls, and answers at its deadline.  A caller that leaves does not stop what
 * is under way.
 */


#ifndef _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_call_pace.h"
#include "ngx_http_chatmaid_steps.h"


/*
 * A step returns NGX_OK (go on), NGX_AGAIN (parked: what it waits for resumes
 * the flow with the next step), NGX_DONE (the flow has ended, its memory may be
 * gone), NGX_DECLINED (refused: reply->problem says how) or NGX_ERROR (our own
 * fault).
 */

struct ngx_http_chatmaid_flow_s {
    ngx_http_request_t          *request;
    ngx_http_chatmaid_reply_t   *reply;
    ngx_http_chatmaid_steps_t    steps;
    ngx_str_t                    id;         /* in the path, as it came */

    ngx_http_chatmaid_call_t    *call;       /* the latest one */
    ngx_uint_t                   attempts;   /* calls that count as a try */
    ngx_uint_t                   kept_closed;  /* those that do not */
    ngx_event_t                  pause;      /* before the next call */
    ngx_msec_t                   next_try;   /* its time, when postponed */
    ngx_http_chatmaid_call_pace_waiter_t
                                 pace;       /* for the next call's place */
    ngx_http_chatmaid_pace_kind_e  kind;     /* of the calls */

    ngx_msec_t                   timeout;    /* of the whole flow */
    ngx_event_t                  deadline;
    ngx_int_t                    answer_rc;  /* of the output filter */

    /* these get the data of the steps, and may be NULL: */
    ngx_int_t                  (*expire)(void *data);  /* answers at the
                                              * deadline; NULL: with 504 */
    ngx_int_t                  (*fail)(void *data, ngx_int_t rc);
                                             /* answers, if one is awaited,
                                              * after a step has failed; NULL:
                                              * with the problem */
    void                       (*leave)(void *data);   /* at the end, before
                                              * the memory is freed */

    unsigned                     gone:1;     /* the caller has left */
    unsigned                     answered:1; /* at the deadline */
    unsigned                     idle:1;     /* parked: nothing is under way */
    unsigned                     waiting:1;  /* parked: for another send */
    unsigned                     single:1;   /* no call is tried again */
    unsigned                     exists:1;   /* Chatmaid always has the path */
    unsigned                     postponed:1;
    unsigned                     has_place:1;  /* the next call */
};


/* A flow of this request, without steps.  NULL without memory. */
ngx_http_chatmaid_flow_t *ngx_http_chatmaid_flow_create(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);

/* Begins its steps, when the whole request has been read.  The request's
 * reference that was counted for reading is given back by the flow's end. */
void ngx_http_chatmaid_flow_start(ngx_http_request_t *r);

/* Goes on with this step of its table. */
void ngx_http_chatmaid_flow_go(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt step);

/* For the last step of a table, with nothing under way: goes on with another
 * one, which has so many milliseconds from now on. */
void ngx_http_chatmaid_flow_follow(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt *table, void *data, ngx_msec_t time);

/* Starts a call of reply->path, a POST if there is a body (which must outlive
 * the call).  NGX_AGAIN: the flow is resumed when flow->call is done;
 * NGX_ERROR: nothing was started. */
ngx_int_t ngx_http_chatmaid_flow_call(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *body);

/* Parks the flow until an event resumes it with this step.  Meanwhile nothing
 * is under way and nothing is to be settled: a caller that leaves ends it.  For
 * a step to return. */
ngx_int_t ngx_http_chatmaid_flow_idle(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt step);

/* Resumes a parked flow from an event of our own.  Its memory may be gone after
 * it.  The other is a handler for a timer that does only this. */
void ngx_http_chatmaid_flow_resume(ngx_http_chatmaid_flow_t *flow);
void ngx_http_chatmaid_flow_resume_handler(ngx_event_t *ev);

/* Whether somebody still waits for an answer: the caller is there, and was not
 * answered at the deadline. */
ngx_uint_t ngx_http_chatmaid_flow_is_awaited(ngx_http_chatmaid_flow_t *flow);

/* Ends the flow with an answer, if one is awaited.  Returns NGX_DONE. */
ngx_int_t ngx_http_chatmaid_flow_answer(ngx_http_chatmaid_flow_t *flow,
    ngx_uint_t status, ngx_str_t *text);

/* Ends the flow as it is answered.  Returns NGX_DONE. */
ngx_int_t ngx_http_chatmaid_flow_end(ngx_http_chatmaid_flow_t *flow);

/* Milliseconds until the deadline, which is still to come. */
ngx_msec_int_t ngx_http_chatmaid_flow_left(ngx_http_chatmaid_flow_t *flow);

/* Moves the deadline so that at most this time is left. */
void ngx_http_chatmaid_flow_hurry(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);

/* Arms a timer of the flow's; its owner disarms it when the flow is left. */
void ngx_http_chatmaid_flow_timer(ngx_http_chatmaid_flow_t *flow,
    ngx_event_t *ev, ngx_event_handler_pt handler, void *data,
    ngx_msec_t time);

/* Finds the reply of a request's flow again, after a filter that replaces the
 * answer has made nginx zero r->ctx. */
void ngx_http_chatmaid_flow_restore(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_ */
