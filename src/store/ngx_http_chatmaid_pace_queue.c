
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_queue.h"
#include "ngx_http_chatmaid_zone.h"


/* How soon a worker looks again that waits for what another one does. */
#define NGX_HTTP_CHATMAID_PACE_LOOK_TIME   5        /* milliseconds */

/* If the worker of the first ticket does not take a place that is due, then
 * after this time another one does. */
#define NGX_HTTP_CHATMAID_PACE_BUSY_TIME   200      /* milliseconds */

/* A place that nobody has used for so long is lost. */
#define NGX_HTTP_CHATMAID_PACE_STALE_TIME  1000     /* milliseconds */

/* The same as in pace.lua. */
#define NGX_HTTP_CHATMAID_PACE_MAX_WAIT    120000000  /* microseconds */


/* A ticket in the zone.  The round makes callers take turns: a caller's n-th
 * waiting send is n rounds behind the send that went last. */

typedef struct {
    ngx_queue_t       queue;
    uint64_t          number;
    uint64_t          round;
    ngx_uint_t        kind;
    ngx_pid_t         pid;
    ngx_msec_t        deadline;
    u_char            caller[NGX_HTTP_CHATMAID_PACE_CALLER_LEN];
} ngx_http_chatmaid_pace_waiting_t;


/* One for each account with a pace.  Times are ngx_current_msec. */

typedef struct {
    ngx_queue_t       queue;
    u_char            id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_queue_t       tickets;     /* the next one to go first */
    ngx_uint_t        waiting;
    uint64_t          number;      /* the latest one */
    uint64_t          round;       /* of the send that went last */

    int64_t           clock;       /* this nginx's own, in microseconds */

    ngx_uint_t        free;        /* places, since free_at */
    ngx_msec_t        free_at;
    ngx_msec_t        taken_at;    /* when "taken", the place after these */
    uint64_t          shared;      /* the shared clock behind all these */
    ngx_msec_t        refused_at;  /* when "refused", there is none before */
    ngx_msec_t        held_at;     /* when "held", no place before this time */
    ngx_msec_t        asked_until; /* when "asked" */
    ngx_uint_t        expected;    /* calls that may follow */

    unsigned          taken:1;
    unsigned          refused:1;
    unsigned          held:1;
    unsigned          asked:1;
} ngx_http_chatmaid_pace_state_t;


static ngx_http_chatmaid_pace_state_t *ngx_http_chatmaid_pace_queue_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_http_chatmaid_pace_state_t *ngx_http_chatmaid_pace_queue_get(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static void ngx_http_chatmaid_pace_queue_insert(
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_waiting_t *ticket, ngx_uint_t again);
static void ngx_http_chatmaid_pace_queue_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_waiting_t *ticket);
static void ngx_http_chatmaid_pace_queue_decide(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state, ngx_msec_t timeout,
    ngx_http_chatmaid_pace_next_t *next);
static void ngx_http_chatmaid_pace_queue_settle(
    ngx_http_chatmaid_pace_state_t *state);
static void ngx_http_chatmaid_pace_queue_return(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next);
static void ngx_http_chatmaid_pace_queue_use(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next);
static ngx_uint_t ngx_http_chatmaid_pace_queue_late(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next);
static void ngx_http_chatmaid_pace_queue_ask(
    ngx_http_chatmaid_pace_state_t *state, ngx_msec_t timeout);
static ngx_msec_int_t ngx_http_chatmaid_pace_queue_limit(
    ngx_http_chatmaid_pace_state_t *state);
static ngx_http_chatmaid_pace_waiting_t *ngx_http_chatmaid_pace_queue_own(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_pace_state_t *state);
static void ngx_http_chatmaid_pace_queue_set(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_places_t *places);
static int64_t ngx_http_chatmaid_pace_queue_clock(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state);


#define ngx_http_chatmaid_pace_queue_left(time)                               \
    ((ngx_msec_int_t) ((time) - ngx_current_msec))

#define ngx_http_chatmaid_pace_queue_now()                                    \
    ((int64_t) ngx_current_msec * 1000)

#define ngx_http_chatmaid_pace_queue_tolerance(account)                       \
    ((int64_t) ((account)->rate->burst - 1) * (int64_t) (account)->rate->interval)


ngx_int_t
ngx_http_chatmaid_pace_queue_add(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_ticket_t *ticket)
{
    ngx_http_chatmaid_zone_t          *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t    *state;
    ngx_http_chatmaid_pace_waiting_t  *waiting;

    waiting = NULL;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_get(zone, account->id);

    if (state) {
        waiting = ngx_http_chatmaid_zone_alloc(zone,
                                    NGX_HTTP_CHATMAID_ZONE_SEND,
                                    sizeof(ngx_http_chatmaid_pace_waiting_t));
    }

    if (waiting) {
        ticket->number = ++state->number;
        ticket->epoch = zone->sh->factor;

        waiting->number = ticket->number;
        waiting->kind = ticket->kind;
        waiting->pid = ngx_pid;
        waiting->deadline = ticket->deadline;
        ngx_memcpy(waiting->caller, ticket->caller,
                   NGX_HTTP_CHATMAID_PACE_CALLER_LEN);

        ngx_http_chatmaid_pace_queue_insert(state, waiting, ticket->again);
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return waiting ? NGX_OK : NGX_ERROR;
}


/* A further try has had its caller's turn, and goes before the others. */

static void
ngx_http_chatmaid_pace_queue_insert(ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_waiting_t *ticket, ngx_uint_t again)
{
    ngx_queue_t                       *q;
    ngx_http_chatmaid_pace_waiting_t  *other;

    ticket->round = 0;

    if (ticket->kind == NGX_HTTP_CHATMAID_PACE_SEND && !again) {

        ticket->round = state->round + 1;

        for (q = ngx_queue_last(&state->tickets);
             q != ngx_queue_sentinel(&state->tickets);
             q = ngx_queue_prev(q))
        {
            other = ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue);

            if (other->kind == NGX_HTTP_CHATMAID_PACE_SEND
                && ngx_memcmp(other->caller, ticket->caller,
                              NGX_HTTP_CHATMAID_PACE_CALLER_LEN)
                   == 0)
            {
                ticket->round = ngx_max(ticket->round, other->round + 1);
                break;
            }
        }
    }

    for (q = ngx_queue_last(&state->tickets);
         q != ngx_queue_sentinel(&state->tickets);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue);

        if (other->kind < ticket->kind
            || (other->kind == ticket->kind && other->round <= ticket->round))
        {
            break;
        }
    }

    ngx_queue_insert_after(q, &ticket->queue);
    state->waiting++;
}


static void
ngx_http_chatmaid_pace_queue_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_waiting_t *ticket)
{
    ngx_queue_remove(&ticket->queue);
    state->waiting--;

    ngx_slab_free_locked(zone->shpool, ticket);
}


void
ngx_http_chatmaid_pace_queue_remove(ngx_http_chatmaid_pace_account_t *account,
    uint64_t number)
{
    ngx_queue_t                       *q;
    ngx_http_chatmaid_zone_t          *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t    *state;
    ngx_http_chatmaid_pace_waiting_t  *ticket;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_get(zone, account->id);

    if (state) {
        for (q = ngx_queue_head(&state->tickets);
             q != ngx_queue_sentinel(&state->tickets);
             q = ngx_queue_next(q))
        {
            ticket = ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue);

            if (ticket->number == number && ticket->pid == ngx_pid) {
                ngx_http_chatmaid_pace_queue_delete(zone, state, ticket);
                break;
            }
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_pace_queue_next(ngx_http_chatmaid_pace_account_t *account,
    ngx_msec_t timeout, ngx_http_chatmaid_pace_next_t *next)
{
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_memzero(next, sizeof(ngx_http_chatmaid_pace_next_t));

    ngx_http_chatmaid_zone_lock(zone);

    next->epoch = zone->sh->factor;

    state = ngx_http_chatmaid_pace_queue_find(zone, account->id);

    if (state) {
        ngx_http_chatmaid_pace_queue_settle(state);
        ngx_http_chatmaid_pace_queue_decide(zone, account, state, timeout,
                                            next);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* What has changed by time alone. */

static void
ngx_http_chatmaid_pace_queue_settle(ngx_http_chatmaid_pace_state_t *state)
{
    if (state->asked
        && ngx_http_chatmaid_pace_queue_left(state->asked_until) <= 0)
    {
        state->asked = 0;               /* its worker has died */
    }

    if (state->refused
        && ngx_http_chatmaid_pace_queue_left(state->refused_at) <= 0)
    {
        state->refused = 0;
    }

    if (state->free
        && ngx_http_chatmaid_pace_queue_left(state->free_at)
           < -NGX_HTTP_CHATMAID_PACE_STALE_TIME)
    {
        state->free = 0;
        state->expected = 0;
    }

    /* a place that was taken ahead becomes free */

    if (state->taken && state->free == 0
        && ngx_http_chatmaid_pace_queue_left(state->taken_at) <= 0)
    {
        state->taken = 0;
        state->free = 1;
        state->free_at = state->taken_at;

        if (ngx_http_chatmaid_pace_queue_left(state->free_at)
            < -NGX_HTTP_CHATMAID_PACE_STALE_TIME)
        {
            state->free = 0;
        }
    }
}


static void
ngx_http_chatmaid_pace_queue_decide(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state, ngx_msec_t timeout,
    ngx_http_chatmaid_pace_next_t *next)
{
    ngx_msec_int_t  limit;

    if (ngx_queue_empty(&state->tickets)) {
        ngx_http_chatmaid_pace_queue_return(account, state, next);
        return;
    }

    if (ngx_http_chatmaid_pace_queue_late(zone, account, state, next)) {
        return;
    }

    if (state->free) {
        ngx_http_chatmaid_pace_queue_use(zone, state, next);
        return;
    }

    if (state->taken) {
        next->turn = NGX_HTTP_CHATMAID_PACE_LOOK;
        next->time = ngx_http_chatmaid_pace_queue_left(state->taken_at);
        return;
    }

    limit = ngx_http_chatmaid_pace_queue_limit(state);

    /* what is too late for all others is left to their workers */

    if (state->asked
        || (state->refused
            && limit <= ngx_http_chatmaid_pace_queue_left(state->refused_at)))
    {
        next->turn = NGX_HTTP_CHATMAID_PACE_LOOK;
        next->time = NGX_HTTP_CHATMAID_PACE_LOOK_TIME;
        return;
    }

    next->turn = NGX_HTTP_CHATMAID_PACE_TAKE;
    next->places = ngx_min(state->waiting, NGX_HTTP_CHATMAID_PACE_MAX_PLACES);
    next->limit = limit;

    ngx_http_chatmaid_pace_queue_ask(state, timeout);
}


/* Nobody waits.  A call that is expected may still use the places. */

static void
ngx_http_chatmaid_pace_queue_return(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next)
{
    next->places = state->free + state->taken;

    if (next->places == 0 || state->asked || state->expected) {
        return;
    }

    next->turn = NGX_HTTP_CHATMAID_PACE_RETURN;
    next->clock = state->shared;

    state->clock -= next->places * account->rate->interval;
    state->free = 0;
    state->taken = 0;
}


/* The first ticket has its place.  If it is another worker's, that one comes
 * for it by itself. */

static void
ngx_http_chatmaid_pace_queue_use(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next)
{
    ngx_http_chatmaid_pace_waiting_t  *ticket;

    ticket = ngx_queue_data(ngx_queue_head(&state->tickets),
                            ngx_http_chatmaid_pace_waiting_t, queue);

    if (ticket->pid != ngx_pid
        && ngx_http_chatmaid_pace_queue_left(state->free_at)
           <= -NGX_HTTP_CHATMAID_PACE_BUSY_TIME)
    {
        ticket = ngx_http_chatmaid_pace_queue_own(zone, state);
    }

    if (ticket == NULL || ticket->pid != ngx_pid) {
        next->turn = NGX_HTTP_CHATMAID_PACE_LOOK;
        next->time = NGX_HTTP_CHATMAID_PACE_LOOK_TIME;
        return;
    }

    next->turn = NGX_HTTP_CHATMAID_PACE_GO;
    next->number = ticket->number;

    state->free--;

    if (ticket->kind == NGX_HTTP_CHATMAID_PACE_SEND) {
        state->round = ngx_max(state->round, ticket->round);
    }

    ngx_http_chatmaid_pace_queue_delete(zone, state, ticket);
}


/* The first ticket of this worker, or NULL.  On the way tickets of workers that
 * have died are taken out. */

static ngx_http_chatmaid_pace_waiting_t *
ngx_http_chatmaid_pace_queue_own(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state)
{
    ngx_queue_t                       *q, *following;
    ngx_http_chatmaid_pace_waiting_t  *ticket;

    for (q = ngx_queue_head(&state->tickets);
         q != ngx_queue_sentinel(&state->tickets);
         q = following)
    {
        following = ngx_queue_next(q);
        ticket = ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue);

        if (ticket->pid == ngx_pid) {
            return ticket;
        }

        if (kill(ticket->pid, 0) == -1 && ngx_errno == ESRCH) {
            ngx_http_chatmaid_pace_queue_delete(zone, state, ticket);
        }
    }

    return NULL;
}


/*
 * Whether a ticket of this worker is past its deadline, or can't have a place
 * before it even if no other gateway takes one: each ticket before it takes an
 * interval.
 */

static ngx_uint_t
ngx_http_chatmaid_pace_queue_late(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next)
{
    uint64_t                           before;
    ngx_msec_t                         first, turn;
    ngx_queue_t                       *q;
    ngx_http_chatmaid_pace_waiting_t  *ticket;

    first = ngx_current_msec;

    if (state->free == 0 && state->taken) {
        first = state->taken_at;

    } else if (state->free == 0 && state->refused) {
        first = state->refused_at;
    }

    turn = first;
    before = 0;

    for (q = ngx_queue_head(&state->tickets);
         q != ngx_queue_sentinel(&state->tickets);
         q = ngx_queue_next(q))
    {
        ticket = ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue);

        if (ticket->pid == ngx_pid
            && (ngx_msec_int_t) (ticket->deadline - turn) <= 0)
        {
            next->turn = NGX_HTTP_CHATMAID_PACE_LATE;
            next->number = ticket->number;
            next->time = ngx_http_chatmaid_pace_queue_left(turn);

            ngx_http_chatmaid_pace_queue_delete(zone, state, ticket);
            return 1;
        }

        /* how many places are free is not known until they have been taken */

        if (first != ngx_current_msec) {
            before += account->rate->interval;
            turn = first + before / 1000;
        }
    }

    return 0;
}


static void
ngx_http_chatmaid_pace_queue_ask(ngx_http_chatmaid_pace_state_t *state,
    ngx_msec_t timeout)
{
    state->asked = 1;
    state->asked_until = ngx_current_msec + timeout;
}


/* The longest wait that is of use to somebody. */

static ngx_msec_int_t
ngx_http_chatmaid_pace_queue_limit(ngx_http_chatmaid_pace_state_t *state)
{
    ngx_queue_t                       *q;
    ngx_msec_int_t                     left, longest;
    ngx_http_chatmaid_pace_waiting_t  *ticket;

    longest = 0;

    for (q = ngx_queue_head(&state->tickets);
         q != ngx_queue_sentinel(&state->tickets);
         q = ngx_queue_next(q))
    {
        ticket = ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue);
        left = ngx_http_chatmaid_pace_queue_left(ticket->deadline);
        longest = ngx_max(longest, left);
    }

    return longest;
}


void
ngx_http_chatmaid_pace_queue_taken(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_places_t *places)
{
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_get(zone, account->id);

    if (state) {
        ngx_http_chatmaid_pace_queue_set(account, state, places);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* The same as pace.lua does in Redis. */

void
ngx_http_chatmaid_pace_queue_take_own(
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_next_t *next)
{
    int64_t                           now, clock, free, interval, tolerance;
    ngx_http_chatmaid_zone_t         *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t   *state;
    ngx_http_chatmaid_pace_places_t   places;

    ngx_memzero(&places, sizeof(ngx_http_chatmaid_pace_places_t));

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_get(zone, account->id);

    if (state) {
        now = ngx_http_chatmaid_pace_queue_now();
        clock = ngx_http_chatmaid_pace_queue_clock(account, state);
        interval = account->rate->interval;
        tolerance = ngx_http_chatmaid_pace_queue_tolerance(account);

        free = (clock > now + tolerance)
               ? 0 : (now + tolerance - clock) / interval + 1;

        places.free = ngx_min((ngx_uint_t) free, next->places);

        if (places.free < next->places) {
            clock += places.free * interval;
            places.wait = clock - tolerance - now;
            places.taken = (places.wait
                            <= ngx_min((uint64_t) next->limit * 1000,
                                       NGX_HTTP_CHATMAID_PACE_MAX_WAIT));
        }

        ngx_http_chatmaid_pace_queue_set(account, state, &places);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* The own clock counts what the shared one has given, so that it knows what is
 * left when Redis goes away. */

static void
ngx_http_chatmaid_pace_queue_set(ngx_http_chatmaid_pace_account_t *account,
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

    state->clock = ngx_http_chatmaid_pace_queue_clock(account, state)
                   + places->free * account->rate->interval;

    if (places->taken) {
        at = (int64_t) due * 1000;
        state->clock = ngx_max(state->clock, at) + account->rate->interval;
    }

    /* places from before a 429 of Chatmaid's are lost */

    if (state->held
        && ngx_http_chatmaid_pace_queue_left(state->held_at) > 0)
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


/* Not behind the time, and not further ahead than it can be. */

static int64_t
ngx_http_chatmaid_pace_queue_clock(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state)
{
    int64_t  now, last;

    now = ngx_http_chatmaid_pace_queue_now();
    last = now + ngx_http_chatmaid_pace_queue_tolerance(account)
           + (int64_t) account->rate->interval
           + NGX_HTTP_CHATMAID_PACE_MAX_WAIT;

    return ngx_min(ngx_max(state->clock, now), last);
}


ngx_uint_t
ngx_http_chatmaid_pace_queue_expect(ngx_http_chatmaid_pace_account_t *account,
    ngx_msec_t timeout, ngx_uint_t *take)
{
    ngx_uint_t                       expected;
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    *take = 0;
    expected = 0;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_get(zone, account->id);

    if (state) {
        ngx_http_chatmaid_pace_queue_settle(state);

        if (ngx_queue_empty(&state->tickets) && !state->asked) {

            expected = 1;
            state->expected++;

            if (state->free == 0 && !state->taken) {
                *take = 1;
                ngx_http_chatmaid_pace_queue_ask(state, timeout);
            }
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return expected;
}


void
ngx_http_chatmaid_pace_queue_unexpect(
    ngx_http_chatmaid_pace_account_t *account)
{
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_find(zone, account->id);

    if (state && state->expected) {
        state->expected--;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_pace_queue_hold(ngx_http_chatmaid_pace_account_t *account,
    ngx_msec_t time)
{
    int64_t                          clock;
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_get(zone, account->id);

    if (state) {
        clock = ngx_http_chatmaid_pace_queue_now() + (int64_t) time * 1000
                + ngx_http_chatmaid_pace_queue_tolerance(account);

        state->clock = ngx_max(state->clock, clock);

        if (!state->held
            || ngx_http_chatmaid_pace_queue_left(state->held_at)
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
ngx_http_chatmaid_pace_queue_ahead(ngx_http_chatmaid_pace_account_t *account)
{
    int64_t                          ahead;
    ngx_http_chatmaid_zone_t        *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    ahead = 0;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_queue_find(zone, account->id);

    if (state) {
        ahead = ngx_http_chatmaid_pace_queue_clock(account, state)
                - ngx_http_chatmaid_pace_queue_now();
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return ahead;
}


ngx_uint_t
ngx_http_chatmaid_pace_queue_waiting(ngx_shm_zone_t *shm_zone, u_char *id)
{
    ngx_uint_t                       n;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_zone_t        *zone = shm_zone->data;
    ngx_http_chatmaid_pace_state_t  *state;

    n = 0;

    ngx_http_chatmaid_zone_lock(zone);

    for (q = ngx_queue_head(&zone->sh->paces);
         q != ngx_queue_sentinel(&zone->sh->paces);
         q = ngx_queue_next(q))
    {
        state = ngx_queue_data(q, ngx_http_chatmaid_pace_state_t, queue);

        if (id == NULL
            || ngx_memcmp(state->id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0)
        {
            n += state->waiting;
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return n;
}


static ngx_http_chatmaid_pace_state_t *
ngx_http_chatmaid_pace_queue_find(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_pace_state_t  *state;

    for (q = ngx_queue_head(&zone->sh->paces);
         q != ngx_queue_sentinel(&zone->sh->paces);
         q = ngx_queue_next(q))
    {
        state = ngx_queue_data(q, ngx_http_chatmaid_pace_state_t, queue);

        if (ngx_memcmp(state->id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0) {
            return state;
        }
    }

    return NULL;
}


/* The same, but creates the state if there is none.  NULL: there is no room. */

static ngx_http_chatmaid_pace_state_t *
ngx_http_chatmaid_pace_queue_get(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_pace_state_t  *state;

    state = ngx_http_chatmaid_pace_queue_find(zone, id);

    if (state) {
        return state;
    }

    state = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_SEND,
                                       sizeof(ngx_http_chatmaid_pace_state_t));
    if (state == NULL) {
        return NULL;
    }

    ngx_memzero(state, sizeof(ngx_http_chatmaid_pace_state_t));
    ngx_memcpy(state->id, id, NGX_HTTP_CHATMAID_ID_LEN);

    ngx_queue_init(&state->tickets);
    ngx_queue_insert_tail(&zone->sh->paces, &state->queue);

    return state;
}
