
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The calls of an account that wait for a place in its pace.  The calls of all
 * workers of this nginx are in one queue.  docs/pace.md explains the scheme.
 *
 * Each waiting call has a ticket.  Its worker calls pace_queue_next() to learn
 * what to do, whenever something has happened and when the time after which it
 * was told to look again has passed.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_


#include "ngx_http_chatmaid_pace_places.h"


#define NGX_HTTP_CHATMAID_PACE_CALLER_LEN  16


/* The kinds of calls, in the order in which they go. */

typedef enum {
    NGX_HTTP_CHATMAID_PACE_SEND = 0,
    NGX_HTTP_CHATMAID_PACE_READ,
    NGX_HTTP_CHATMAID_PACE_POLL
} ngx_http_chatmaid_pace_kind_e;


/* The caller sets kind, caller, deadline and again. */

typedef struct {
    uint64_t                          number;    /* set by pace_queue_add() */
    uint64_t                          epoch;     /* see pace_queue_next() */
    ngx_http_chatmaid_pace_kind_e     kind;
    u_char                            caller[NGX_HTTP_CHATMAID_PACE_CALLER_LEN];
    ngx_msec_t                        deadline;  /* in ngx_current_msec */
    unsigned                          again:1;   /* a further try of a call */
} ngx_http_chatmaid_pace_ticket_t;


/* What a worker is to do. */

typedef enum {
    NGX_HTTP_CHATMAID_PACE_NONE = 0,  /* nothing */
    NGX_HTTP_CHATMAID_PACE_LOOK,      /* call next() again after "time" */
    NGX_HTTP_CHATMAID_PACE_GO,        /* make the call of ticket "number": it
                                       * has its place */
    NGX_HTTP_CHATMAID_PACE_LATE,      /* give up the call of ticket "number":
                                       * it can have no place before its
                                       * deadline, only after "time" */
    NGX_HTTP_CHATMAID_PACE_TAKE,      /* take "places" places */
    NGX_HTTP_CHATMAID_PACE_RETURN     /* give "places" places back, nobody wants
                                       * them */
} ngx_http_chatmaid_pace_turn_e;


typedef struct {
    ngx_http_chatmaid_pace_turn_e     turn;
    uint64_t                          epoch;
    uint64_t                          number;    /* for GO and LATE */
    ngx_msec_t                        time;      /* milliseconds from now */
    ngx_uint_t                        places;    /* for TAKE and RETURN */
    ngx_msec_t                        limit;     /* for TAKE: the longest wait,
                                                  * in milliseconds */
    uint64_t                          clock;     /* for RETURN: the shared clock
                                                  * after they were taken */
} ngx_http_chatmaid_pace_next_t;


/* Numbers the ticket and puts it into the queue: sends before reads before
 * polls; the callers of sends take turns.  The zone has a copy of the ticket.
 * NGX_OK, or NGX_ERROR: there is no room in the zone. */
ngx_int_t ngx_http_chatmaid_pace_queue_add(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_ticket_t *ticket);

/* Removes the ticket of a call of this worker that no longer waits. */
void ngx_http_chatmaid_pace_queue_remove(
    ngx_http_chatmaid_pace_account_t *account, uint64_t number);

/* Sets *next to what this worker must do next.  After GO and LATE the ticket is
 * out of the queue.  After TAKE, pace_places_taken() or pace_places_take_own()
 * must be called within "timeout" milliseconds.  If next->epoch has changed,
 * the zone has lost its contents: tickets with another epoch must be added
 * again. */
void ngx_http_chatmaid_pace_queue_next(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t timeout,
    ngx_http_chatmaid_pace_next_t *next);

/* Returns how many calls wait for the account with this id, or for all accounts
 * if "id" is NULL. */
ngx_uint_t ngx_http_chatmaid_pace_queue_waiting(ngx_shm_zone_t *zone,
    u_char *id);


#endif /* _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_ */
