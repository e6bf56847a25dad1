
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the callers of this worker wait for: one topic for each message and
 * account, however many wait for it.  One of the waiting requests, the poller,
 * makes the call whose answer serves all of them.
 *
 * A waiter joins a topic, asks wait_topic_turn() what to do whenever it is
 * resumed, and leaves the topic when its request ends.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_message_status.h"
#include "ngx_http_chatmaid_notes.h"


typedef struct ngx_http_chatmaid_wait_topic_s  ngx_http_chatmaid_wait_topic_t;


/* One request that waits. */

typedef struct {
    ngx_http_chatmaid_flow_t         *flow;
    ngx_http_chatmaid_wait_topic_t   *topic;
    ngx_queue_t                       queue;      /* of the topic's waiters */
    ngx_event_t                       wake;
    ngx_str_t                         message_id;
    ngx_str_t                         sent;       /* after a send: what that
                                                   * has answered */
    ngx_uint_t                        until;
    unsigned                          queued:1;
} ngx_http_chatmaid_waiter_t;


struct ngx_http_chatmaid_wait_topic_s {
    ngx_str_node_t                    sn;         /* by account and path */
    ngx_queue_t                       queue;      /* longest unasked first */
    ngx_queue_t                       waiters;    /* ..._waiter_t */
    ngx_pool_t                       *pool;

    ngx_http_chatmaid_main_conf_t    *mcf;
    u_char                           *account_id;
    u_char                            note_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_http_chatmaid_waiter_t       *poller;     /* asks, or is to; or NULL */
    ngx_str_t                         text;       /* when seen; on the heap */
    ngx_uint_t                        status;     /* when seen */
    ngx_msec_t                        asked;      /* when its last call began */
    ngx_uint_t                        call;       /* see account_limits.h */
    ngx_msec_t                        due;        /* time of the next poll */
    ngx_msec_t                        step;

    ngx_http_chatmaid_notes_look_t    look;       /* the first one */
    uint64_t                          stamps[2];  /* of the notes seen last */
    ngx_uint_t                        looks;      /* that hold the topic */

    ngx_uint_t                        attempts;   /* of the first call */
    ngx_msec_t                        next_try;   /* of it, when postponed */
    ngx_http_chatmaid_problem_t       problem;    /* of a call; in pool */

    unsigned                          seen:1;     /* the message, once */
    unsigned                          postponed:1;  /* the first call */
    unsigned                          looked:1;   /* before the first call */
    unsigned                          noted:1;    /* something has happened */
    unsigned                          permitted:1;  /* a poll; not begun yet */
    unsigned                          skipped:1;  /* the last one permitted */
    unsigned                          failed:1;   /* with the problem */
};


/* All topics of this worker, the longest unasked first. */

extern ngx_queue_t  ngx_http_chatmaid_wait_topic_queue;


/* What a waiter is to do next. */

typedef enum {
    NGX_HTTP_CHATMAID_TURN_IDLE = 0,    /* nothing: it will be resumed */
    NGX_HTTP_CHATMAID_TURN_READ,        /* the same, and nothing is seen yet */
    NGX_HTTP_CHATMAID_TURN_POLL,        /* it is the poller */
    NGX_HTTP_CHATMAID_TURN_ANSWER,      /* the message has got so far */
    NGX_HTTP_CHATMAID_TURN_FAIL         /* reply->problem says why */
} ngx_http_chatmaid_wait_topic_turn_e;


/* Joins the topic of the waiter's message, made if nobody waits for it.
 * NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_join(ngx_http_chatmaid_waiter_t *waiter);

/* What Chatmaid has just answered a send, waiter->sent, does for a first read,
 * unless others have begun one.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_sent(ngx_http_chatmaid_waiter_t *waiter);

ngx_http_chatmaid_wait_topic_turn_e ngx_http_chatmaid_wait_topic_turn(
    ngx_http_chatmaid_waiter_t *waiter);

/* By the poller, before a first call.  NGX_OK: it may begin; NGX_AGAIN: the
 * flow will be resumed, and asks again. */
ngx_int_t ngx_http_chatmaid_wait_topic_look(
    ngx_http_chatmaid_wait_topic_t *topic);

/* By the poller: its call begins, or begins again without counting twice, and
 * has ended. */
void ngx_http_chatmaid_wait_topic_asked(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_uint_t again);
void ngx_http_chatmaid_wait_topic_ended(ngx_http_chatmaid_wait_topic_t *topic);

/* By the poller, which is none any more: the message came (as Chatmaid's
 * "data"; NGX_OK, NGX_ERROR), or the call failed with reply->problem, and there
 * are no further tries. */
ngx_int_t ngx_http_chatmaid_wait_topic_answered(
    ngx_http_chatmaid_waiter_t *waiter, ngx_str_t *data);
void ngx_http_chatmaid_wait_topic_failed(ngx_http_chatmaid_waiter_t *waiter);

/* By the poller, which is none any more: its poll is not made now. */
void ngx_http_chatmaid_wait_topic_skip(ngx_http_chatmaid_wait_topic_t *topic);

/* By the poller, after a first call that failed with reply->problem: there is
 * another try, not before flow->next_try.  It stays the poller if it is in that
 * pause itself. */
void ngx_http_chatmaid_wait_topic_postpone(ngx_http_chatmaid_waiter_t *waiter,
    ngx_uint_t pausing);

/* A copy of the message as it was last seen.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_text(
    ngx_http_chatmaid_wait_topic_t *topic, ngx_pool_t *pool, ngx_str_t *text);

/* It does not wait any more, but it may still be the poller. */
void ngx_http_chatmaid_wait_topic_unqueue(ngx_http_chatmaid_waiter_t *waiter);

/* Before the waiter's memory is freed, in whatever state it is. */
void ngx_http_chatmaid_wait_topic_leave(ngx_http_chatmaid_waiter_t *waiter);

/* For polls: the waiter that is to make one; resumes it in an event of its own;
 * lets go of a topic that topic->looks held. */
ngx_http_chatmaid_waiter_t *ngx_http_chatmaid_wait_topic_longest(
    ngx_http_chatmaid_wait_topic_t *topic);
void ngx_http_chatmaid_wait_topic_wake(ngx_http_chatmaid_waiter_t *waiter);
void ngx_http_chatmaid_wait_topic_release(
    ngx_http_chatmaid_wait_topic_t *topic);


#endif /* _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_ */
