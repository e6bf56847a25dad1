
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A request to a gateway.  Its flow runs the steps, parks and resumes them,
 * makes calls to Chatmaid, and answers at the deadline.  If the caller leaves,
 * what is under way still finishes.
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
 * gone), NGX_DECLINED (refused: reply->problem says why) or NGX_ERROR (a
 * failure of the module or of nginx, such as no memory).
 */

struct ngx_http_chatmaid_flow_s {
    ngx_http_request_t          *request;
    ngx_http_chatmaid_reply_t   *reply;
    ngx_http_chatmaid_steps_t    steps;
    ngx_str_t                    id;         /* in the path, not decoded */

    ngx_http_chatmaid_call_t    *call;       /* the latest, or NULL */
    ngx_uint_t                   attempts;   /* calls that count as tries */
    ngx_uint_t                   kept_closed;  /* calls that do not count */
    ngx_event_t                  pause;      /* before the next call */
    ngx_msec_t                   next_try;   /* valid if "postponed" is set */
    ngx_http_chatmaid_call_pace_waiter_t
                                 pace;       /* for the next call's place */
    ngx_http_chatmaid_pace_kind_e  kind;     /* of the calls */

    ngx_msec_t                   timeout;    /* of the whole flow */
    ngx_event_t                  deadline;
    ngx_int_t                    answer_rc;  /* returned by the output filter */

    /* These are called with steps.data, and may be NULL.  expire() and fail()
     * return what the output filter returned. */
    ngx_int_t                  (*expire)(void *data);  /* answers at the
                                              * deadline; NULL: with 504 */
    ngx_int_t                  (*fail)(void *data, ngx_int_t rc);
                                             /* answers, if an answer is
                                              * awaited, after a step has
                                              * returned rc; NULL: with
                                              * reply->problem */
    void                       (*leave)(void *data);   /* once, before the
                                              * steps' memory is freed */

    unsigned                     gone:1;     /* the caller has left */
    unsigned                     answered:1; /* at the deadline */
    unsigned                     idle:1;     /* parked: nothing is under way */
    unsigned                     waiting:1;  /* parked: for another send */
    unsigned                     single:1;   /* no call is tried again */
    unsigned                     exists:1;   /* the path exists at Chatmaid */
    unsigned                     postponed:1;  /* a further try is planned */
    unsigned                     has_place:1;  /* for the next call */
};


/* Creates the flow of a request in r->pool, without steps, and sets
 * reply->flow.  NULL without memory. */
ngx_http_chatmaid_flow_t *ngx_http_chatmaid_flow_create(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);

/* Starts the steps.  To be called when the whole request has been read; the
 * reference to r that nginx counted for reading is released at the end of the
 * flow. */
void ngx_http_chatmaid_flow_start(ngx_http_request_t *r);

/* Makes this step of the table the next one. */
void ngx_http_chatmaid_flow_go(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt step);

/* For a step that ends its table, while nothing is under way: calls
 * flow->leave(), and the flow goes on with another table, whose deadline is
 * "time" milliseconds from now. */
void ngx_http_chatmaid_flow_follow(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt *table, void *data, ngx_msec_t time);

/* Starts a call of reply->path: a POST of "body", which must outlive the call,
 * or a GET if "body" is NULL.  NGX_AGAIN: the flow is resumed when flow->call
 * is done; NGX_ERROR: nothing was started. */
ngx_int_t ngx_http_chatmaid_flow_call(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *body);

/* Parks the flow until an event resumes it with this step.  Nothing may be
 * under way or left to be settled, because a caller that leaves ends the flow.
 * Returns NGX_AGAIN, or NGX_DONE if the caller has left already; the calling
 * step returns the same. */
ngx_int_t ngx_http_chatmaid_flow_idle(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt step);

/* Resumes a parked flow from an event of the module's own; the flow's memory
 * may be gone afterwards.  The second function does this as the handler of a
 * timer whose data is the flow. */
void ngx_http_chatmaid_flow_resume(ngx_http_chatmaid_flow_t *flow);
void ngx_http_chatmaid_flow_resume_handler(ngx_event_t *ev);

/* Whether the caller still waits for an answer: it has not left, and was not
 * answered at the deadline. */
ngx_uint_t ngx_http_chatmaid_flow_is_awaited(ngx_http_chatmaid_flow_t *flow);

/* Answers with a status and a JSON text, which must live as long as the
 * request, if an answer is awaited.  Ends the flow and returns NGX_DONE. */
ngx_int_t ngx_http_chatmaid_flow_answer(ngx_http_chatmaid_flow_t *flow,
    ngx_uint_t status, ngx_str_t *text);

/* Ends the flow and finalizes the request with flow->answer_rc.  Returns
 * NGX_DONE: the flow's memory may be gone. */
ngx_int_t ngx_http_chatmaid_flow_end(ngx_http_chatmaid_flow_t *flow);

/* Milliseconds until the deadline; 0 or less once it has passed. */
ngx_msec_int_t ngx_http_chatmaid_flow_left(ngx_http_chatmaid_flow_t *flow);

/* Moves the deadline so that at most "time" milliseconds are left. */
void ngx_http_chatmaid_flow_hurry(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);

/* Starts a timer of "time" milliseconds.  The owner of "ev" must delete the
 * timer when the flow ends, at the latest. */
void ngx_http_chatmaid_flow_timer(ngx_http_chatmaid_flow_t *flow,
    ngx_event_t *ev, ngx_event_handler_pt handler, void *data,
    ngx_msec_t time);

/* Restores the module's context of a request, its flow's reply, after a filter
 * that replaces the answer has made nginx zero r->ctx. */
void ngx_http_chatmaid_flow_restore(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_FLOW_H_INCLUDED_ */
