
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The places in the pace of an account that this nginx has taken, and its own
 * clock, by which it takes them where Redis does not.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_PLACES_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_PLACES_H_INCLUDED_


#include "ngx_http_chatmaid_pace_state.h"


/* How many places are taken at once. */
#define NGX_HTTP_CHATMAID_PACE_MAX_PLACES  1000

/* No place is taken that is further away: the same as in pace.lua. */
#define NGX_HTTP_CHATMAID_PACE_MAX_WAIT    120000000  /* microseconds */


/* An account and its pace. */

typedef struct {
    ngx_shm_zone_t                   *zone;
    ngx_http_chatmaid_rate_t         *rate;
    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
} ngx_http_chatmaid_pace_account_t;


/* What came of taking some. */

typedef struct {
    ngx_uint_t                        free;      /* places for now */
    ngx_uint_t                        taken;     /* one more, after "wait" */
    uint64_t                          wait;      /* microseconds */
    uint64_t                          clock;     /* the shared one */
} ngx_http_chatmaid_pace_places_t;


/* Places are taken by one worker at a time, that which was told to: what the
 * shared clock gave; or by this nginx's own clock, so many places, the last of
 * them after a wait of so many milliseconds at most. */
void ngx_http_chatmaid_pace_places_taken(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_places_t *places);
void ngx_http_chatmaid_pace_places_take_own(
    ngx_http_chatmaid_pace_account_t *account, ngx_uint_t wanted,
    ngx_msec_t limit);

/* A call may follow.  Returns 1 if nobody waits, so that there should be a
 * place for it; unexpect() is to be called when it is known whether it follows.
 * If "take" is 1, this worker is told to take one, within "timeout"
 * milliseconds. */
ngx_uint_t ngx_http_chatmaid_pace_places_expect(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t timeout,
    ngx_uint_t *take);
void ngx_http_chatmaid_pace_places_unexpect(
    ngx_http_chatmaid_pace_account_t *account);

/* No place before so many milliseconds have passed. */
void ngx_http_chatmaid_pace_places_hold(
    ngx_http_chatmaid_pace_account_t *account, ngx_msec_t time);

/* By how many microseconds this nginx's own clock is ahead of the time. */
uint64_t ngx_http_chatmaid_pace_places_ahead(
    ngx_http_chatmaid_pace_account_t *account);

/* With the zone locked: what has changed by time alone; this worker is told to
 * take places, within "timeout" milliseconds; nobody wants those that there
 * are, returns how many have to be given back to the shared clock, which was
 * "clock" when they had been taken. */
void ngx_http_chatmaid_pace_places_settle(
    ngx_http_chatmaid_pace_state_t *state);
void ngx_http_chatmaid_pace_places_ask(ngx_http_chatmaid_pace_state_t *state,
    ngx_msec_t timeout);
ngx_uint_t ngx_http_chatmaid_pace_places_return(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state, uint64_t *clock);


#endif /* _NGX_HTTP_CHATMAID_PACE_PLACES_H_INCLUDED_ */
