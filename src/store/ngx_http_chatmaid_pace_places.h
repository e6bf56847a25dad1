
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The places in the pace of an account that this nginx has taken, and this
 * nginx's own clock, from which it takes places while Redis gives none.  A
 * place is the right to begin one call (docs/pace.md).
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_PLACES_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_PLACES_H_INCLUDED_


#include "ngx_http_chatmaid_pace_state.h"


/* The most places that are taken at once. */
#define NGX_HTTP_CHATMAID_PACE_MAX_PLACES  1000

/* No place is taken that is further away; pace.lua has the same limit. */
#define NGX_HTTP_CHATMAID_PACE_MAX_WAIT    120000000  /* microseconds */


/* An account and its pace. */

typedef struct {
    ngx_shm_zone_t                   *zone;
    ngx_http_chatmaid_rate_t         *rate;
    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
} ngx_http_chatmaid_pace_account_t;


/* The result of taking places. */

typedef struct {
    ngx_uint_t                        free;      /* places that are free now */
    ngx_uint_t                        taken;     /* 1: one more, after "wait" */
    uint64_t                          wait;      /* microseconds, until the next
                                                  * place, taken or not */
    uint64_t                          clock;     /* the shared clock after it;
                                                  * 0: not used */
} ngx_http_chatmaid_pace_places_t;


/*
 * One worker at a time takes places: the one that was told to.  It calls one of
 * these functions: taken() adds the places that the shared clock has given;
 * take_own() takes up to "wanted" places from this nginx's own clock, the last
 * of them after a wait of at most "limit" milliseconds.
 */
void ngx_http_chatmaid_pace_places_taken(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_places_t *places);
void ngx_http_chatmaid_pace_places_take_own(
    ngx_http_chatmaid_pace_account_t *account, ngx_uint_t wanted,
    ngx_msec_t limit);

/* Says that a call may follow.  Returns 1 if nobody waits, so that a place is
 * kept for that call: unexpect() must be called once it is known whether the
 * call follows.  Else returns 0.  If *take is set to 1, this worker must take a
 * place, within "timeout" milliseconds. */
ngx_uint_t ngx_http_chatmaid_pace_places_expect(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t timeout,
    ngx_uint_t *take);
void ngx_http_chatmaid_pace_places_unexpect(
    ngx_http_chatmaid_pace_account_t *account);

/* Ensures that no place is free before "time" milliseconds have passed. */
void ngx_http_chatmaid_pace_places_hold(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t time);

/* Returns by how many microseconds this nginx's own clock is ahead of the
 * current time. */
uint64_t ngx_http_chatmaid_pace_places_ahead(
    ngx_http_chatmaid_pace_account_t *account);

/*
 * For pace_queue, with the zone locked.  settle() makes the changes that time
 * alone brings.  ask() records that this worker takes places, within "timeout"
 * milliseconds.  return() drops all places because nobody wants them, unless a
 * call is expected; it returns how many must be given back to the shared clock
 * (0: none), and sets *clock to what that clock was after they were taken.
 */
void ngx_http_chatmaid_pace_places_settle(
    ngx_http_chatmaid_pace_state_t *state);
void ngx_http_chatmaid_pace_places_ask(ngx_http_chatmaid_pace_state_t *state,
    ngx_msec_t timeout);
ngx_uint_t ngx_http_chatmaid_pace_places_return(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state, uint64_t *clock);


#endif /* _NGX_HTTP_CHATMAID_PACE_PLACES_H_INCLUDED_ */
