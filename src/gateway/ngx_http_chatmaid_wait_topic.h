
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the callers of this worker wait for: one topic for each message and
 * account, however many wait for it.  It is asked for by a call of one of the
 * waiting requests, its poller, whose answer serves all of them.
 *
 * Whoever waits joins a topic, goes on as ngx_http_chatmaid_wait_topic_turn() says
 * whenever it is resumed, and leaves the topic when its request ends.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_problem.h"
#include "ngx_http_chatmaid_notes.h"


/* ngx_http_chatmaid_wait_t.until, and what a topic has reached.  A failed
 * message goes no further; an unknown status is none of these. */

#define NGX_HTTP_CHATMAID_PENDING    1
#define NGX_HTTP_CHATMAID_SENT       2
#define NGX_HTTP_CHATMAID_DELIVERED  3
#define NGX_HTTP_CHATMAID_MESSAGE_READ  4
#define NGX_HTTP_CHATMAID_FAILED     5


struct ngx_http_chatmaid_wait_topic_s {
    ngx_str_node_t               sn;         /* by account and path */
    ngx_queue_t                  queue;      /* longest unasked first */
    ngx_queue_t                  waiters;    /* ngx_http_chatmaid_flow_t */
    ngx_pool_t                  *pool;

    ngx_http_chatmaid_main_conf_t  *mcf;
    u_char                      *account_id;
    u_char                       note_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_http_chatmaid_flow_t     *poller;    /* who asks, or is to */
    ngx_str_t                    text;       /* as last seen; on the heap */
    ngx_uint_t                   status;
    ngx_msec_t                   asked;      /* when its last call began */
    ngx_uint_t                   call;       /* its name; see account.h */
    ngx_msec_t                   due;        /* time of the next poll */
    ngx_msec_t                   step;

    ngx_http_chatmaid_notes_look_t  look;       /* the first one */
    uint64_t                     stamps[2];  /* of the notes seen last */

    ngx_uint_t                   attempts;   /* of the first call */
    ngx_msec_t                   next_try;   /* of it; 0: at any time */

    ngx_uint_t                   looks;      /* that hold it */

    ngx_http_chatmaid_problem_t  problem;    /* of a call; in pool */

    unsigned                     looked:1;   /* before the first call */
    unsigned                     noted:1;    /* something has happened to it */
    unsigned                     permitted:1;  /* a poll that hasn't begun */
    unsigned                     failed:1;   /* with the problem */
};


/* All topics of this worker, the longest unasked first. */

extern ngx_queue_t  ngx_http_chatmaid_wait_topic_queue;


/* What is to be done next by one that waits. */

enum {
    NGX_HTTP_CHATMAID_TURN_IDLE = 0,    /* nothing: it will be resumed */
    NGX_HTTP_CHATMAID_TURN_READ,        /* the same, and nothing is known yet */
    NGX_HTTP_CHATMAID_TURN_POLL,       /* it is the poller */
    NGX_HTTP_CHATMAID_TURN_ANSWER,      /* the message has got so far */
    NGX_HTTP_CHATMAID_TURN_FAIL         /* flow->reply->problem says why */
};


/* Joins the topic of the flow's message, made anew where nobody waits for it.
 * NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_join(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* One of the above. */
ngx_uint_t ngx_http_chatmaid_wait_topic_turn(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* By the poller, before its call: whether it is a topic's first, which is a
 * read like any other, and what waits for no budget. */
ngx_uint_t ngx_http_chatmaid_wait_topic_is_first(ngx_http_chatmaid_flow_t *flow);

/* By the poller, before a first call: NGX_OK, it may begin; NGX_AGAIN, the
 * flow is to be parked, and this asked again. */
ngx_int_t ngx_http_chatmaid_wait_topic_look(ngx_http_chatmaid_flow_t *flow);

/* By the poller: its call begins, and has ended. */
void ngx_http_chatmaid_wait_topic_asked(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
void ngx_http_chatmaid_wait_topic_ended(ngx_http_chatmaid_flow_t *flow);

/* By the poller, which it ceases to be: what came (the message as Chatmaid's
 * "data"; NGX_OK, NGX_ERROR), or a failure (flow->reply->problem) of which there are no
 * further tries. */
ngx_int_t ngx_http_chatmaid_wait_topic_answered(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, json_t *data);
void ngx_http_chatmaid_wait_topic_failed(ngx_http_chatmaid_flow_t *flow);

/* By the poller, after a first call that failed with flow->reply->problem: there is
 * another try, not before flow->next_try.  Unless it is in that pause itself it
 * ceases to be the poller. */
void ngx_http_chatmaid_wait_topic_put_off(ngx_http_chatmaid_flow_t *flow);

/* The message as it was last seen, copied to r->pool: NGX_OK; NGX_DECLINED, it
 * has not been seen; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_text(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *text);

/* Does not wait any more; as the poller it still may be. */
void ngx_http_chatmaid_wait_topic_unqueue(ngx_http_chatmaid_flow_t *flow);

/* For polls: the waiter that is to carry one; resumes it, in an event of its
 * own; lets go of a topic that was held by topic->looks. */
ngx_http_chatmaid_flow_t *ngx_http_chatmaid_wait_topic_longest(
    ngx_http_chatmaid_wait_topic_t *topic);
void ngx_http_chatmaid_wait_topic_wake(ngx_http_chatmaid_flow_t *flow);
void ngx_http_chatmaid_wait_topic_release(ngx_http_chatmaid_wait_topic_t *topic);


#endif /* _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_ */
