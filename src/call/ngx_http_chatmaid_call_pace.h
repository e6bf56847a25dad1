
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The calls of this worker that wait for a place in the pace of their account
 * (chatmaid_rate).
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_PACE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_PACE_H_INCLUDED_


#include "ngx_http_chatmaid_pace_queue.h"


/* A call is told that it has its place (NGX_OK), or that it can't have one
 * before its deadline (NGX_DECLINED).  It must only take notes. */
typedef void (*ngx_http_chatmaid_call_pace_pt)(void *data);

typedef struct ngx_http_chatmaid_call_pace_s  ngx_http_chatmaid_call_pace_t;


/* A call that may have to wait; on zeroed memory. */

typedef struct {
    ngx_queue_t                        queue;
    ngx_http_chatmaid_pace_ticket_t    ticket;
    ngx_http_chatmaid_call_pace_t     *pace;      /* when waiting, expected */
    ngx_msec_t                         began;

    ngx_http_chatmaid_call_pace_pt     handler;
    void                              *data;

    ngx_int_t                          rc;        /* after the handler */
    ngx_msec_t                         time;      /* until a place, when late */

    unsigned                           waiting:1;
    unsigned                           expected:1;  /* it may follow */
    unsigned                           beginning:1; /* within pace_wait() */
    unsigned                           called:1;  /* rc is there, not read */
} ngx_http_chatmaid_call_pace_waiter_t;


/* Whether calls of r's location keep a pace. */
ngx_uint_t ngx_http_chatmaid_call_pace_is_set(ngx_http_request_t *r);

/* A call of r's location may follow, once the store has been asked: a place is
 * taken for it by the same write. */
void ngx_http_chatmaid_call_pace_expect(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter, ngx_msec_t limit);

/* That call will not be made, or not yet. */
void ngx_http_chatmaid_call_pace_unexpect(
    ngx_http_chatmaid_call_pace_waiter_t *waiter);

/*
 * The call is to be made, by a deadline in "left" milliseconds.  NGX_OK: it has
 * its place; NGX_AGAIN: the handler will be called, and then this is called
 * again; NGX_DECLINED: it can't have one in time, but in waiter->time, or the
 * zone has no room for one that waits; NGX_ERROR.
 */
ngx_int_t ngx_http_chatmaid_call_pace_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter,
    ngx_http_chatmaid_pace_kind_e kind, ngx_msec_t left);

/* Before the waiter's memory is freed, in whatever state it is: its place is
 * free for others. */
void ngx_http_chatmaid_call_pace_leave(
    ngx_http_chatmaid_call_pace_waiter_t *waiter);

/* Chatmaid wants no calls of the account for this many milliseconds. */
void ngx_http_chatmaid_call_pace_hold(ngx_http_request_t *r, ngx_msec_t time);


#endif /* _NGX_HTTP_CHATMAID_CALL_PACE_H_INCLUDED_ */
