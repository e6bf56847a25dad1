
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_account_limits.h"
#include "ngx_http_chatmaid_zone.h"


#define NGX_HTTP_CHATMAID_MAX_HOLD   60000      /* milliseconds */

/*
 * Of a minute, which a call's end begins: when it was on its way Chatmaid may
 * have seen it at any time.  Reads count in what there is for all, so that they
 * leave some polls, and in the share of those by time, so that they leave some
 * to notes.
 */

#define NGX_HTTP_CHATMAID_MINUTE       60000
#define NGX_HTTP_CHATMAID_MAX_POLLS    30
#define NGX_HTTP_CHATMAID_MAX_TIMED    20
#define NGX_HTTP_CHATMAID_MAX_READS    20
#define NGX_HTTP_CHATMAID_TIMED_READS  15

#define NGX_HTTP_CHATMAID_CALLS                                               \
    (NGX_HTTP_CHATMAID_MAX_POLLS + NGX_HTTP_CHATMAID_MAX_READS)

/* How long one that was refused a poll is waited for: it asks again sooner. */
#define NGX_HTTP_CHATMAID_CLAIM      400


enum {
    NGX_HTTP_CHATMAID_CALL_NONE = 0,
    NGX_HTTP_CHATMAID_CALL_READ,            /* a wait begins with it */
    NGX_HTTP_CHATMAID_CALL_TIMED,
    NGX_HTTP_CHATMAID_CALL_NOTED,
    NGX_HTTP_CHATMAID_CALL_KINDS
};


typedef struct {
    ngx_msec_t               time;      /* of its end, or, yet, its beginning */
    ngx_uint_t               kind;
} ngx_http_chatmaid_account_call_t;


/* One for each account that was ever held back or polled: there are few. */

typedef struct {
    ngx_queue_t              queue;
    u_char                   id[NGX_HTTP_CHATMAID_ID_LEN];
    ngx_msec_t               held;      /* the time when that ends */
    ngx_uint_t               holding;   /* since "held" may be long ago */

    ngx_http_chatmaid_account_call_t  calls[NGX_HTTP_CHATMAID_CALLS];

    /* of those who were refused a poll the one that is to get the next */
    ngx_msec_t               claim;     /* when it was asked for */
    ngx_uint_t               noted;
    ngx_msec_t               claimed;   /* when it was last refused */
    ngx_uint_t               claiming;
} ngx_http_chatmaid_account_state_t;


static ngx_http_chatmaid_account_state_t *ngx_http_chatmaid_account_limits_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_http_chatmaid_account_state_t *ngx_http_chatmaid_account_limits_get(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_msec_t ngx_http_chatmaid_account_limits_left(
    ngx_http_chatmaid_account_state_t *state);
static ngx_uint_t ngx_http_chatmaid_account_limits_has_room(
    ngx_http_chatmaid_account_state_t *state, ngx_uint_t noted);
static ngx_uint_t ngx_http_chatmaid_account_limits_claim(
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
        state->held = ngx_current_msec + time;
        state->holding = 1;
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
        permitted = ngx_http_chatmaid_account_limits_claim(state, permitted, noted,
                                                           asked);
    }

    call = permitted ? ngx_http_chatmaid_account_limits_add(state,
                               noted ? NGX_HTTP_CHATMAID_CALL_NOTED
                                     : NGX_HTTP_CHATMAID_CALL_TIMED)
                     : 0;

    ngx_http_chatmaid_zone_unlock(zone);

    return call;
}


static ngx_uint_t
ngx_http_chatmaid_account_limits_has_room(ngx_http_chatmaid_account_state_t *state,
    ngx_uint_t noted)
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
 * A worker knows which of its own messages is next.  Of all workers' the next
 * is the one who was refused and comes before the others; it is waited for.
 */

static ngx_uint_t
ngx_http_chatmaid_account_limits_claim(ngx_http_chatmaid_account_state_t *state,
    ngx_uint_t room, ngx_uint_t noted, ngx_msec_t asked)
{
    ngx_uint_t      claimed;
    ngx_msec_int_t  later;

    claimed = (state->claiming
               && (ngx_msec_int_t) (ngx_current_msec - state->claimed)
                  < NGX_HTTP_CHATMAID_CLAIM);

    later = (noted == state->noted) ? (ngx_msec_int_t) (asked - state->claim)
                                    : (noted ? -1 : 1);

    if (claimed && later > 0) {
        return 0;
    }

    if (room) {
        if (later == 0) {
            state->claiming = 0;
        }

        return 1;
    }

    state->claim = asked;
    state->noted = noted;
    state->claimed = ngx_current_msec;
    state->claiming = 1;

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


static ngx_http_chatmaid_account_state_t *
ngx_http_chatmaid_account_limits_find(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_account_state_t  *state;

    for (q = ngx_queue_head(&zone->sh->accounts);
         q != ngx_queue_sentinel(&zone->sh->accounts);
         q = ngx_queue_next(q))
    {
        state = ngx_queue_data(q, ngx_http_chatmaid_account_state_t, queue);

        if (ngx_memcmp(state->id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0) {
            return state;
        }
    }

    return NULL;
}


/* The same, made anew where there is none; NULL: there is no room. */

static ngx_http_chatmaid_account_state_t *
ngx_http_chatmaid_account_limits_get(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_account_state_t  *state;

    state = ngx_http_chatmaid_account_limits_find(zone, id);

    if (state) {
        return state;
    }

    state = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_SEND,
                                    sizeof(ngx_http_chatmaid_account_state_t));
    if (state == NULL) {
        return NULL;
    }

    ngx_memzero(state, sizeof(ngx_http_chatmaid_account_state_t));
    ngx_memcpy(state->id, id, NGX_HTTP_CHATMAID_ID_LEN);

    ngx_queue_insert_tail(&zone->sh->accounts, &state->queue);

    return state;
}


static ngx_msec_t
ngx_http_chatmaid_account_limits_left(ngx_http_chatmaid_account_state_t *state)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (state->held - ngx_current_msec);

    if (!state->holding || left <= 0 || left > NGX_HTTP_CHATMAID_MAX_HOLD) {
        state->holding = 0;
        return 0;
    }

    return left;
}


/*
 * Counts a call in the place of one that does not count any more; of reads
 * there may be more than count, and no such place.
 */

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


/* Another worker's clock may be a little ahead of ours. */

static ngx_uint_t
ngx_http_chatmaid_account_limits_recent(ngx_http_chatmaid_account_call_t *call)
{
    return call->kind != NGX_HTTP_CHATMAID_CALL_NONE
           && (ngx_msec_int_t) (ngx_current_msec - call->time)
              <= NGX_HTTP_CHATMAID_MINUTE;
}
