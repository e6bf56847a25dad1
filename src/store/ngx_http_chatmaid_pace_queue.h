
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The calls of an account that wait for their place in its pace, those of all
 * workers of this nginx in one queue.  docs/pace.md has the whole scheme.
 *
 * Each waiting call has a ticket.  Its worker asks by pace_queue_next() what to
 * do, whenever something has happened and whenever it was told to look again.
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


typedef struct {
    uint64_t                          number;
    uint64_t                          epoch;     /* see pace_queue_next() */
    ngx_http_chatmaid_pace_kind_e     kind;
    u_char                            caller[NGX_HTTP_CHATMAID_PACE_CALLER_LEN];
    ngx_msec_t                        deadline;  /* its last moment */
    unsigned                          again:1;   /* a further try */
} ngx_http_chatmaid_pace_ticket_t;


/* What a worker is to do. */

typedef enum {
    NGX_HTTP_CHATMAID_PACE_NONE = 0,  /* nothing */
    NGX_HTTP_CHATMAID_PACE_LOOK,      /* ask again in "time" */
    NGX_HTTP_CHATMAID_PACE_GO,        /* ticket "number" has its place */
    NGX_HTTP_CHATMAID_PACE_LATE,      /* "number" can't have one before its
                                       * deadline, but in "time" */
    NGX_HTTP_CHATMAID_PACE_TAKE,      /* take places, by this worker */
    NGX_HTTP_CHATMAID_PACE_RETURN     /* give places back, nobody wants them */
} ngx_http_chatmaid_pace_turn_e;


typedef struct {
    ngx_http_chatmaid_pace_turn_e     turn;
    uint64_t                          epoch;
    uint64_t                          number;
    ngx_msec_t                        time;      /* milliseconds */
    ngx_uint_t                        places;    /* of TAKE and RETURN */
    ngx_msec_t                        limit;     /* the longest wait */
    uint64_t                          clock;     /* the shared one when the
                                                  * places had been taken */
} ngx_http_chatmaid_pace_next_t;


/* Numbers the ticket and puts it in its place: sends before reads before polls,
 * the callers of sends by turns.  NGX_ERROR: there is no room. */
ngx_int_t ngx_http_chatmaid_pace_queue_add(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_ticket_t *ticket);

/* Takes out a ticket whose call does not wait any more. */
void ngx_http_chatmaid_pace_queue_remove(
    ngx_http_chatmaid_pace_account_t *account, uint64_t number);

/* What this worker is to do next.  TAKE is to be followed by
 * pace_places_taken() or pace_places_take_own() within "timeout" milliseconds.
 * A zone that has lost its contents has another epoch: tickets of the one
 * before are to be added again. */
void ngx_http_chatmaid_pace_queue_next(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t timeout,
    ngx_http_chatmaid_pace_next_t *next);

/* How many calls wait, of the account with this id or, if that is NULL, of all
 * accounts. */
ngx_uint_t ngx_http_chatmaid_pace_queue_waiting(ngx_shm_zone_t *zone,
    u_char *id);


#endif /* _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_ */
