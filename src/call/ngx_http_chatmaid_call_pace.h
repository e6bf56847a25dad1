
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The calls of this worker that wait for a place in the pace of their account
 * (chatmaid_rate).  docs/pace.md describes the whole scheme.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_PACE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_PACE_H_INCLUDED_


#include "ngx_http_chatmaid_pace_queue.h"


/* Called when waiter->rc is set.  The handler must not run the request, only
 * arrange that it is run by another event. */
typedef void (*ngx_http_chatmaid_call_pace_pt)(void *data);

typedef struct ngx_http_chatmaid_call_pace_s  ngx_http_chatmaid_call_pace_t;


/* A call that may have to wait.  The owner provides zeroed memory and sets
 * handler, data and ticket.again. */

typedef struct {
    ngx_queue_t                        queue;
    ngx_http_chatmaid_pace_ticket_t    ticket;
    ngx_http_chatmaid_call_pace_t     *pace;      /* if waiting or expected */
    ngx_msec_t                         began;     /* as ngx_current_msec */

    ngx_http_chatmaid_call_pace_pt     handler;
    void                              *data;

    ngx_int_t                          rc;        /* see pace_wait() */
    ngx_msec_t                         time;      /* see pace_wait() */

    unsigned                           waiting:1;
    unsigned                           expected:1;  /* see pace_expect() */
    unsigned                           beginning:1; /* within pace_wait() */
    unsigned                           called:1;  /* rc is set, not yet read */
} ngx_http_chatmaid_call_pace_waiter_t;


/* Whether the account of r's location has a pace. */
ngx_uint_t ngx_http_chatmaid_call_pace_is_set(ngx_http_request_t *r);

/* Announces a call that may follow when the store has answered.  If nobody
 * waits, a place is taken for it now: Redis gets both questions in one write.
 * "limit" is the longest wait for that place, in milliseconds. */
void ngx_http_chatmaid_call_pace_expect(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter, ngx_msec_t limit);

/* Withdraws the announcement, if there is one: the call will not be made, or
 * not yet. */
void ngx_http_chatmaid_call_pace_unexpect(
    ngx_http_chatmaid_call_pace_waiter_t *waiter);

/*
 * Asks for a place for a call that must begin within "left" milliseconds.
 * NGX_OK: the call has its place.  NGX_AGAIN: the handler will be called, and
 * the function has to be called again then.  NGX_DECLINED: there is no place in
 * time, or the zone has no room for one more waiting call; there may be a place
 * in waiter->time milliseconds.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_chatmaid_call_pace_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter,
    ngx_http_chatmaid_pace_kind_e kind, ngx_msec_t left);

/* Must be called before the waiter's memory is freed, in whatever state it is.
 * Ends the waiting; others can have the place. */
void ngx_http_chatmaid_call_pace_leave(
    ngx_http_chatmaid_call_pace_waiter_t *waiter);

/* Holds back the calls of r's account for "time" milliseconds, as Chatmaid has
 * asked; gateways that share Redis are told. */
void ngx_http_chatmaid_call_pace_hold(ngx_http_request_t *r, ngx_msec_t time);


#endif /* _NGX_HTTP_CHATMAID_CALL_PACE_H_INCLUDED_ */
