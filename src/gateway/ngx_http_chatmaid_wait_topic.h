
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the callers of this worker wait for: one topic for each message and
 * account, however many callers wait for it.  One of the waiting requests, the
 * poller, makes the call whose answer serves all of them.
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
    ngx_str_t                         sent;       /* after a send: the message
                                                   * in its answer */
    ngx_uint_t                        until;      /* see message_status.h */
    unsigned                          queued:1;
} ngx_http_chatmaid_waiter_t;


struct ngx_http_chatmaid_wait_topic_s {
    ngx_str_node_t                    sn;         /* account id and path */
    ngx_queue_t                       queue;      /* of all topics */
    ngx_queue_t                       waiters;    /* ..._waiter_t */
    ngx_pool_t                       *pool;

    ngx_http_chatmaid_main_conf_t    *mcf;
    u_char                           *account_id;
    u_char                            note_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_http_chatmaid_waiter_t       *poller;     /* the waiter that calls or
                                                   * is about to; or NULL */
    ngx_str_t                         text;       /* if "seen": the message,
                                                   * by ngx_alloc() */
    ngx_uint_t                        status;     /* of that message, or 0 */
    ngx_msec_t                        asked;      /* when its last call began */
    ngx_uint_t                        call;       /* see account_limits.h */
    ngx_msec_t                        due;        /* time of the next poll */
    ngx_msec_t                        step;       /* grows with each poll */

    ngx_http_chatmaid_notes_look_t    look;       /* before the first call */
    uint64_t                          stamps[2];  /* of the notes seen last */
    ngx_uint_t                        looks;      /* under way: these keep
                                                   * the topic alive */

    ngx_uint_t                        attempts;   /* of the first call */
    ngx_msec_t                        next_try;   /* of it, if postponed */
    ngx_http_chatmaid_problem_t       problem;    /* of a failed call */

    unsigned                          seen:1;     /* "text" is set */
    unsigned                          postponed:1;  /* the first call */
    unsigned                          looked:1;   /* "look" is done */
    unsigned                          noted:1;    /* there is a new note */
    unsigned                          permitted:1;  /* a poll, not begun yet */
    unsigned                          skipped:1;  /* the last permitted poll */
    unsigned                          failed:1;   /* with the problem */
};


/* All topics of this worker.  The topic whose last call began the longest time
 * ago comes first. */

extern ngx_queue_t  ngx_http_chatmaid_wait_topic_queue;


/* What a waiter is to do next. */

typedef enum {
    NGX_HTTP_CHATMAID_TURN_IDLE = 0,    /* nothing: it will be resumed */
    NGX_HTTP_CHATMAID_TURN_READ,        /* the same; no message is seen yet */
    NGX_HTTP_CHATMAID_TURN_POLL,        /* make the call: it is the poller */
    NGX_HTTP_CHATMAID_TURN_ANSWER,      /* the status waited for is reached */
    NGX_HTTP_CHATMAID_TURN_FAIL         /* reply->problem says why */
} ngx_http_chatmaid_wait_topic_turn_e;


/* Joins the topic of the waiter's message; creates the topic if there is none.
 * NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_join(ngx_http_chatmaid_waiter_t *waiter);

/* Takes waiter->sent, which Chatmaid has just answered to a send, as the result
 * of the first read, unless another waiter has begun that read.  NGX_OK,
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_sent(ngx_http_chatmaid_waiter_t *waiter);

/* What the waiter is to do next.  A waiter of a topic without a poller becomes
 * the poller if no message is seen yet. */
ngx_http_chatmaid_wait_topic_turn_e ngx_http_chatmaid_wait_topic_turn(
    ngx_http_chatmaid_waiter_t *waiter);

/* Called by the poller before a first call: looks for the notes that are there
 * already.  NGX_OK: the call may begin; NGX_AGAIN: the flow will be resumed and
 * must call this again. */
ngx_int_t ngx_http_chatmaid_wait_topic_look(
    ngx_http_chatmaid_wait_topic_t *topic);

/* Called by the poller: its call begins; its call has ended.  "again": the call
 * is made again because a kept connection was closed, and is not counted
 * twice. */
void ngx_http_chatmaid_wait_topic_asked(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_uint_t again);
void ngx_http_chatmaid_wait_topic_ended(ngx_http_chatmaid_wait_topic_t *topic);

/* Called by the poller, which then stops being the poller: the message has come
 * as Chatmaid's "data", which is copied (NGX_OK, NGX_ERROR); or the call has
 * failed with reply->problem and is not tried again. */
ngx_int_t ngx_http_chatmaid_wait_topic_answered(
    ngx_http_chatmaid_waiter_t *waiter, ngx_str_t *data);
void ngx_http_chatmaid_wait_topic_failed(ngx_http_chatmaid_waiter_t *waiter);

/* Called by the poller, which then stops being the poller: its poll is not made
 * now. */
void ngx_http_chatmaid_wait_topic_skip(ngx_http_chatmaid_wait_topic_t *topic);

/* Called by the poller after a first call that failed with reply->problem:
 * there is a further try, not before flow->next_try.  The waiter stays the
 * poller if it is "pausing", that is, if it makes that try itself. */
void ngx_http_chatmaid_wait_topic_postpone(ngx_http_chatmaid_waiter_t *waiter,
    ngx_uint_t pausing);

/* Copies the message as it was last seen to the pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_topic_text(
    ngx_http_chatmaid_wait_topic_t *topic, ngx_pool_t *pool, ngx_str_t *text);

/* The waiter does not wait any more, but it may still be the poller. */
void ngx_http_chatmaid_wait_topic_unqueue(ngx_http_chatmaid_waiter_t *waiter);

/* To be called before the waiter's memory is freed, whatever its state.  If it
 * is the poller, another waiter takes over. */
void ngx_http_chatmaid_wait_topic_leave(ngx_http_chatmaid_waiter_t *waiter);

/* For wait_poll.c: returns the best waiter to make a poll, or NULL; resumes a
 * waiter in an event of its own; frees the topic if nothing holds it any more,
 * to be called after topic->looks was decremented. */
ngx_http_chatmaid_waiter_t *ngx_http_chatmaid_wait_topic_longest(
    ngx_http_chatmaid_wait_topic_t *topic);
void ngx_http_chatmaid_wait_topic_wake(ngx_http_chatmaid_waiter_t *waiter);
void ngx_http_chatmaid_wait_topic_release(
    ngx_http_chatmaid_wait_topic_t *topic);


#endif /* _NGX_HTTP_CHATMAID_WAIT_TOPIC_H_INCLUDED_ */
