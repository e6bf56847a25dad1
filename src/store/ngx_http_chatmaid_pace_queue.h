
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The calls of an account that wait for their place in its pace, those of all
 * workers of this nginx in one queue, and the places that this nginx has taken
 * for them.  docs/pace.md has the whole scheme.
 *
 * Each waiting call has a ticket.  Its worker asks by pace_queue_next() what to
 * do, whenever something has happened and whenever it was told to look again.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


#define NGX_HTTP_CHATMAID_PACE_CALLER_LEN  16

/* How many places are taken at once. */
#define NGX_HTTP_CHATMAID_PACE_MAX_PLACES  1000


/* The kinds of calls, in the order in which they go. */

typedef enum {
    NGX_HTTP_CHATMAID_PACE_SEND = 0,
    NGX_HTTP_CHATMAID_PACE_READ,
    NGX_HTTP_CHATMAID_PACE_POLL
} ngx_http_chatmaid_pace_kind_e;


/* An account and its pace. */

typedef struct {
    ngx_shm_zone_t                   *zone;
    ngx_http_chatmaid_rate_t         *rate;
    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
} ngx_http_chatmaid_pace_account_t;


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


/* What came of a TAKE. */

typedef struct {
    ngx_uint_t                        free;      /* places for now */
    ngx_uint_t                        taken;     /* one more, after "wait" */
    uint64_t                          wait;      /* microseconds */
    uint64_t                          clock;     /* the shared one */
} ngx_http_chatmaid_pace_places_t;


/* Numbers the ticket and puts it in its place: sends before reads before polls,
 * the callers of sends by turns.  NGX_ERROR: there is no room. */
ngx_int_t ngx_http_chatmaid_pace_queue_add(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_ticket_t *ticket);

/* Takes out a ticket whose call does not wait any more. */
void ngx_http_chatmaid_pace_queue_remove(
    ngx_http_chatmaid_pace_account_t *account, uint64_t number);

/* What this worker is to do next.  TAKE is to be answered by one of the two
 * below within "timeout" milliseconds.  A zone that has lost its contents has
 * another epoch: tickets of the one before are to be added again. */
void ngx_http_chatmaid_pace_queue_next(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t timeout,
    ngx_http_chatmaid_pace_next_t *next);

/* After a TAKE: what the shared clock gave; or by this nginx's own clock. */
void ngx_http_chatmaid_pace_queue_taken(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_places_t *places);
void ngx_http_chatmaid_pace_queue_take_own(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_next_t *next);

/* A call that may follow: returns 1 if it is worth taking a place for it now,
 * and then has to be ended by unexpect(), whether it follows or not.  "take"
 * tells whether it is this worker's to take one, as after TAKE. */
ngx_uint_t ngx_http_chatmaid_pace_queue_expect(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t timeout,
    ngx_uint_t *take);
void ngx_http_chatmaid_pace_queue_unexpect(
    ngx_http_chatmaid_pace_account_t *account);

/* No place before so many milliseconds have passed. */
void ngx_http_chatmaid_pace_queue_hold(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t time);

/* By how many microseconds this nginx's own clock is ahead of the time. */
uint64_t ngx_http_chatmaid_pace_queue_ahead(
    ngx_http_chatmaid_pace_account_t *account);

/* How many calls wait, of the account with this id or, if it is NULL, of all. */
ngx_uint_t ngx_http_chatmaid_pace_queue_waiting(ngx_shm_zone_t *zone,
    u_char *id);


#endif /* _NGX_HTTP_CHATMAID_PACE_QUEUE_H_INCLUDED_ */
