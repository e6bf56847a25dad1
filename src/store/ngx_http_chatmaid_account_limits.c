
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_account_limits.h"
#include "ngx_http_chatmaid_zone_account.h"


/*
 * Limits per minute.  A minute starts when a call ends, because Chatmaid may
 * have seen the call at any time before.  Reads count towards the limit of all
 * polls, up to a number that leaves some polls, and towards the limit of polls
 * by time, up to a number that leaves some to messages with notes.
 */

#define NGX_HTTP_CHATMAID_MINUTE       60000
#define NGX_HTTP_CHATMAID_MAX_POLLS    30
#define NGX_HTTP_CHATMAID_MAX_TIMED    20
#define NGX_HTTP_CHATMAID_MAX_READS    20
#define NGX_HTTP_CHATMAID_TIMED_READS  15

#define NGX_HTTP_CHATMAID_CALLS                                               \
    (NGX_HTTP_CHATMAID_MAX_POLLS + NGX_HTTP_CHATMAID_MAX_READS)

/* How long a poll that was refused keeps its turn.  It asks again sooner than
 * that, unless it was given up. */
#define NGX_HTTP_CHATMAID_MAX_TURN   400        /* milliseconds */


enum {
    NGX_HTTP_CHATMAID_CALL_NONE = 0,
    NGX_HTTP_CHATMAID_CALL_READ,            /* the first call of a wait */
    NGX_HTTP_CHATMAID_CALL_TIMED,           /* a poll whose time has come */
    NGX_HTTP_CHATMAID_CALL_NOTED,           /* a poll because of a note */
    NGX_HTTP_CHATMAID_CALL_KINDS
};


typedef struct {
    ngx_msec_t               time;      /* of its start; later of its end */
    ngx_uint_t               kind;
} ngx_http_chatmaid_account_call_t;


/* There is one for each account that was ever held back or polled.  They are
 * few. */

typedef struct {
    ngx_http_chatmaid_zone_account_t  account;

    ngx_msec_t               held_until;
    ngx_uint_t               held;      /* 0: held_until is not valid */

    ngx_http_chatmaid_account_call_t  calls[NGX_HTTP_CHATMAID_CALLS];

    /* the turn belongs to the refused poll that comes next */
    ngx_msec_t               turn_asked;     /* when its message was asked for,
                                              * the latest time */
    ngx_uint_t               turn_noted;
    ngx_msec_t               turn_refused;   /* when, the latest time */
    ngx_uint_t               turn_taken;     /* 0: nobody has the turn */
} ngx_http_chatmaid_account_state_t;


static ngx_http_chatmaid_account_state_t *ngx_http_chatmaid_account_limits_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_http_chatmaid_account_state_t *ngx_http_chatmaid_account_limits_get(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_msec_t ngx_http_chatmaid_account_limits_left(
    ngx_http_chatmaid_account_state_t *state);
static ngx_uint_t ngx_http_chatmaid_account_limits_has_room(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t noted);
static ngx_uint_t ngx_http_chatmaid_account_limits_take_turn(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t room,
    ngx_uint_t noted, ngx_msec_t asked);
static ngx_uint_t ngx_http_chatmaid_account_limits_add(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t kind);
static void ngx_http_chatmaid_account_limits_count(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t *n);
static ngx_uint_t ngx_http_chatmaid_account_limits_recent(
    ngx_http_chatmaid_account_call_t *call);


ngx_msec_t
ngx_http_chatmaid_account_limits_held(ngx_shm_zone_t *shm_zone, u_char *id)
{
    ngx_msec_t                          left;
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    /* no account was ever held back or polled; this needs no lock */

    if (ngx_queue_empty(&zone->sh->accounts)) {
        return 0;
    }

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_limits_find(zone, id);
    left = state ? ngx_http_chatmaid_account_limits_left(state) : 0;

    ngx_http_chatmaid_zone_unlock(zone);

    return left;
}


void
ngx_http_chatmaid_account_limits_hold(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_msec_t time)
{
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    time = ngx_min(time, NGX_HTTP_CHATMAID_MAX_HOLD);

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_limits_get(zone, id);

    if (state && ngx_http_chatmaid_account_limits_left(state) < time) {
        state->held_until = ngx_current_msec + time;
        state->held = 1;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


ngx_uint_t
ngx_http_chatmaid_account_limits_poll(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_uint_t noted, ngx_msec_t asked)
{
    ngx_uint_t                          call, permitted;
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    permitted = 0;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_limits_get(zone, id);

    if (state) {
        permitted = ngx_http_chatmaid_account_limits_has_room(state, noted);
        permitted = ngx_http_chatmaid_account_limits_take_turn(state, permitted,
                                                               noted, asked);
    }

    call = permitted ? ngx_http_chatmaid_account_limits_add(state,
                               noted ? NGX_HTTP_CHATMAID_CALL_NOTED
                                     : NGX_HTTP_CHATMAID_CALL_TIMED)
                     : 0;

    ngx_http_chatmaid_zone_unlock(zone);

    return call;
}


static ngx_uint_t
ngx_http_chatmaid_account_limits_has_room(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t noted)
{
    ngx_uint_t  n[NGX_HTTP_CHATMAID_CALL_KINDS];

    if (ngx_http_chatmaid_account_limits_left(state)) {
        return 0;
    }

    ngx_http_chatmaid_account_limits_count(state, n);

    if (!noted
        && n[NGX_HTTP_CHATMAID_CALL_TIMED]
           + ngx_min(n[NGX_HTTP_CHATMAID_CALL_READ],
                     NGX_HTTP_CHATMAID_TIMED_READS)
           >= NGX_HTTP_CHATMAID_MAX_TIMED)
    {
        return 0;
    }

    return n[NGX_HTTP_CHATMAID_CALL_TIMED] + n[NGX_HTTP_CHATMAID_CALL_NOTED]
           + ngx_min(n[NGX_HTTP_CHATMAID_CALL_READ],
                     NGX_HTTP_CHATMAID_MAX_READS)
           < NGX_HTTP_CHATMAID_MAX_POLLS;
}


/*
 * A worker knows which of its own messages comes next.  Among all workers, the
 * first of the polls that were refused has the turn: the others wait for it.
 */

static ngx_uint_t
ngx_http_chatmaid_account_limits_take_turn(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t room,
    ngx_uint_t noted, ngx_msec_t asked)
{
    ngx_uint_t      taken;
    ngx_msec_int_t  later;

    taken = (state->turn_taken
             && (ngx_msec_int_t) (ngx_current_msec - state->turn_refused)
                < NGX_HTTP_CHATMAID_MAX_TURN);

    later = (noted == state->turn_noted)
            ? (ngx_msec_int_t) (asked - state->turn_asked)
            : (noted ? -1 : 1);

    if (taken && later > 0) {
        return 0;
    }

    if (room) {
        if (later == 0) {
            state->turn_taken = 0;
        }

        return 1;
    }

    state->turn_asked = asked;
    state->turn_noted = noted;
    state->turn_refused = ngx_current_msec;
    state->turn_taken = 1;

    return 0;
}


ngx_uint_t
ngx_http_chatmaid_account_limits_read(ngx_shm_zone_t *shm_zone, u_char *id)
{
    ngx_uint_t                          call;
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_limits_get(zone, id);
    call = state ? ngx_http_chatmaid_account_limits_add(state,
                               NGX_HTTP_CHATMAID_CALL_READ)
                 : 0;

    ngx_http_chatmaid_zone_unlock(zone);

    return call;
}


void
ngx_http_chatmaid_account_limits_ended(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_uint_t call)
{
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_limits_find(zone, id);

    if (state && call) {
        state->calls[call - 1].time = ngx_current_msec;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_account_limits_cancel(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_uint_t call)
{
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_limits_find(zone, id);

    if (state && call) {
        state->calls[call - 1].kind = NGX_HTTP_CHATMAID_CALL_NONE;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static ngx_http_chatmaid_account_state_t *
ngx_http_chatmaid_account_limits_find(ngx_http_chatmaid_zone_t *zone,
    u_char *id)
{
    return ngx_http_chatmaid_zone_account_find(&zone->sh->accounts, id);
}


/* Creates the state if there is none.  NULL: there is no room. */

static ngx_http_chatmaid_account_state_t *
ngx_http_chatmaid_account_limits_get(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_account_state_t  *state;

    state = ngx_http_chatmaid_account_limits_find(zone, id);

    return state ? state
                 : ngx_http_chatmaid_zone_account_add(zone,
                                    &zone->sh->accounts, id,
                                    sizeof(ngx_http_chatmaid_account_state_t));
}


static ngx_msec_t
ngx_http_chatmaid_account_limits_left(ngx_http_chatmaid_account_state_t *state)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (state->held_until - ngx_current_msec);

    if (!state->held || left <= 0 || left > NGX_HTTP_CHATMAID_MAX_HOLD) {
        state->held = 0;
        return 0;
    }

    return left;
}


/* Counts a call, in a place whose call no longer counts.  Returns a handle, or
 * 0 if there is no such place: there may be more reads than places. */

static ngx_uint_t
ngx_http_chatmaid_account_limits_add(ngx_http_chatmaid_account_state_t *state,
    ngx_uint_t kind)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CHATMAID_CALLS; i++) {

        if (!ngx_http_chatmaid_account_limits_recent(&state->calls[i])) {
            state->calls[i].time = ngx_current_msec;
            state->calls[i].kind = kind;
            return i + 1;
        }
    }

    return 0;
}


static void
ngx_http_chatmaid_account_limits_count(ngx_http_chatmaid_account_state_t *state,
    ngx_uint_t *n)
{
    ngx_uint_t  i;

    ngx_memzero(n, NGX_HTTP_CHATMAID_CALL_KINDS * sizeof(ngx_uint_t));

    for (i = 0; i < NGX_HTTP_CHATMAID_CALLS; i++) {
        if (ngx_http_chatmaid_account_limits_recent(&state->calls[i])) {
            n[state->calls[i].kind]++;
        }
    }
}


/* The difference may be negative: another worker's clock may be a little ahead
 * of ours. */

static ngx_uint_t
ngx_http_chatmaid_account_limits_recent(ngx_http_chatmaid_account_call_t *call)
{
    return call->kind != NGX_HTTP_CHATMAID_CALL_NONE
           && (ngx_msec_int_t) (ngx_current_msec - call->time)
              <= NGX_HTTP_CHATMAID_MINUTE;
}
