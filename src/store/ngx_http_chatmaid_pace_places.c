
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_places.h"


/* A place that nobody has used for this long is lost. */
#define NGX_HTTP_CHATMAID_PACE_STALE_TIME  1000     /* milliseconds */


#define ngx_http_chatmaid_pace_places_now()                                   \
    ((int64_t) ngx_current_msec * 1000)

#define ngx_http_chatmaid_pace_places_tolerance(account)                      \
    ((int64_t) ((account)->rate->burst - 1)                                   \
     * (int64_t) (account)->rate->interval)


static void ngx_http_chatmaid_pace_places_set(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_places_t *places);
static int64_t ngx_http_chatmaid_pace_places_clock(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state);


void
ngx_http_chatmaid_pace_places_taken(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_places_t *places)
{
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_get(zone, account->id);

    if (state) {
        ngx_http_chatmaid_pace_places_set(account, state, places);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* Does with this nginx's own clock what pace.lua does in Redis. */

void
ngx_http_chatmaid_pace_places_take_own(
    ngx_http_chatmaid_pace_account_t *account, ngx_uint_t wanted,
    ngx_msec_t limit)
{
    int64_t                           now, clock, free, interval, tolerance;
    ngx_http_chatmaid_zone_t         *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t   *state;
    ngx_http_chatmaid_pace_places_t   places;

    ngx_memzero(&places, sizeof(ngx_http_chatmaid_pace_places_t));

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_get(zone, account->id);

    if (state) {
        now = ngx_http_chatmaid_pace_places_now();
        clock = ngx_http_chatmaid_pace_places_clock(account, state);
        interval = account->rate->interval;
        tolerance = ngx_http_chatmaid_pace_places_tolerance(account);

        free = (clock > now + tolerance)
               ? 0 : (now + tolerance - clock) / interval + 1;

        places.free = ngx_min((ngx_uint_t) free, wanted);

        if (places.free < wanted) {
            clock += places.free * interval;
            places.wait = clock - tolerance - now;
            places.taken = (places.wait
                            <= ngx_min((uint64_t) limit * 1000,
                                       NGX_HTTP_CHATMAID_PACE_MAX_WAIT));
        }

        ngx_http_chatmaid_pace_places_set(account, state, &places);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* This nginx's own clock also counts the places that the shared clock has
 * given, so that a burst that was used stays used when Redis goes away. */

static void
ngx_http_chatmaid_pace_places_set(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_places_t *places)
{
    int64_t     at;
    ngx_msec_t  due;

    due = ngx_current_msec + (ngx_msec_t) ((places->wait + 999) / 1000);

    state->asked = 0;
    state->shared = places->clock;
    state->refused = (places->wait && !places->taken);
    state->refused_at = due;

    state->clock = ngx_http_chatmaid_pace_places_clock(account, state)
                   + places->free * account->rate->interval;

    if (places->taken) {
        at = (int64_t) due * 1000;
        state->clock = ngx_max(state->clock, at) + account->rate->interval;
    }

    /* while a 429 holds the account back, places before its end are lost */

    if (state->held
        && ngx_http_chatmaid_pace_state_left(state->held_at) > 0)
    {
        state->free = 0;
        state->taken = (places->taken
                        && (ngx_msec_int_t) (due - state->held_at) >= 0);

    } else {
        state->held = 0;
        state->free += places->free;
        state->taken = places->taken;
    }

    if (places->free) {
        state->free_at = ngx_current_msec;
    }

    state->taken_at = due;
}


/* The clock, not behind the current time, and not further ahead than the
 * longest wait allows. */

static int64_t
ngx_http_chatmaid_pace_places_clock(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state)
{
    int64_t  now, last;

    now = ngx_http_chatmaid_pace_places_now();
    last = now + ngx_http_chatmaid_pace_places_tolerance(account)
           + (int64_t) account->rate->interval
           + NGX_HTTP_CHATMAID_PACE_MAX_WAIT;

    return ngx_min(ngx_max(state->clock, now), last);
}


ngx_uint_t
ngx_http_chatmaid_pace_places_expect(ngx_http_chatmaid_pace_account_t *account,
    ngx_msec_t timeout, ngx_uint_t *take)
{
    ngx_uint_t                       expected;
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    *take = 0;
    expected = 0;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_get(zone, account->id);

    if (state) {
        ngx_http_chatmaid_pace_places_settle(state);

        if (ngx_queue_empty(&state->tickets) && !state->asked) {

            expected = 1;
            state->expected++;

            if (state->free == 0 && !state->taken) {
                *take = 1;
                ngx_http_chatmaid_pace_places_ask(state, timeout);
            }
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return expected;
}


void
ngx_http_chatmaid_pace_places_unexpect(
    ngx_http_chatmaid_pace_account_t *account)
{
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_find(zone, account->id);

    if (state && state->expected) {
        state->expected--;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_pace_places_hold(ngx_http_chatmaid_pace_account_t *account,
    ngx_msec_t time)
{
    int64_t                          clock;
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_get(zone, account->id);

    if (state) {
        clock = ngx_http_chatmaid_pace_places_now() + (int64_t) time * 1000
                + ngx_http_chatmaid_pace_places_tolerance(account);

        state->clock = ngx_max(state->clock, clock);

        if (!state->held
            || ngx_http_chatmaid_pace_state_left(state->held_at)
               < (ngx_msec_int_t) time)
        {
            state->held = 1;
            state->held_at = ngx_current_msec + time;
        }

        state->free = 0;
        state->taken = 0;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


uint64_t
ngx_http_chatmaid_pace_places_ahead(ngx_http_chatmaid_pace_account_t *account)
{
    int64_t                          ahead;
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ahead = 0;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_find(zone, account->id);

    if (state) {
        ahead = ngx_http_chatmaid_pace_places_clock(account, state)
                - ngx_http_chatmaid_pace_places_now();
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return ahead;
}


void
ngx_http_chatmaid_pace_places_settle(ngx_http_chatmaid_pace_state_t *state)
{
    if (state->asked
        && ngx_http_chatmaid_pace_state_left(state->asked_until) <= 0)
    {
        state->asked = 0;               /* its worker has died */
    }

    if (state->refused
        && ngx_http_chatmaid_pace_state_left(state->refused_at) <= 0)
    {
        state->refused = 0;
    }

    if (state->free
        && ngx_http_chatmaid_pace_state_left(state->free_at)
           < -NGX_HTTP_CHATMAID_PACE_STALE_TIME)
    {
        state->free = 0;
        state->expected = 0;
    }

    /* a place that was taken ahead becomes free */

    if (state->taken && state->free == 0
        && ngx_http_chatmaid_pace_state_left(state->taken_at) <= 0)
    {
        state->taken = 0;
        state->free = 1;
        state->free_at = state->taken_at;

        if (ngx_http_chatmaid_pace_state_left(state->free_at)
            < -NGX_HTTP_CHATMAID_PACE_STALE_TIME)
        {
            state->free = 0;
        }
    }
}


void
ngx_http_chatmaid_pace_places_ask(ngx_http_chatmaid_pace_state_t *state,
    ngx_msec_t timeout)
{
    state->asked = 1;
    state->asked_until = ngx_current_msec + timeout;
}


/* Returns 0 while a call is expected, which may still use the places. */

ngx_uint_t
ngx_http_chatmaid_pace_places_return(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state, uint64_t *clock)
{
    ngx_uint_t  n;

    n = state->free + state->taken;

    if (n == 0 || state->asked || state->expected) {
        return 0;
    }

    *clock = state->shared;

    state->clock -= n * account->rate->interval;
    state->free = 0;
    state->taken = 0;

    return n;
}
