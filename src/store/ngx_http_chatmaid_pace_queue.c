
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_queue.h"


/* How soon a worker looks again that waits for what another one does. */
#define NGX_HTTP_CHATMAID_PACE_LOOK_TIME   5        /* milliseconds */

/* If the worker of the first ticket does not take a place that is due, then
 * after this time another one does. */
#define NGX_HTTP_CHATMAID_PACE_BUSY_TIME   200      /* milliseconds */


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
static void ngx_http_chatmaid_pace_queue_use(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next);
static ngx_uint_t ngx_http_chatmaid_pace_queue_late(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_next_t *next);
static ngx_msec_int_t ngx_http_chatmaid_pace_queue_limit(
    ngx_http_chatmaid_pace_state_t *state);
static ngx_uint_t ngx_http_chatmaid_pace_queue_alive(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_pace_state_t *state);
static void ngx_http_chatmaid_pace_queue_bury(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_waiting_t *ticket);
static ngx_http_chatmaid_pace_waiting_t *ngx_http_chatmaid_pace_queue_own(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_pace_state_t *state);


ngx_int_t
ngx_http_chatmaid_pace_queue_add(ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_ticket_t *ticket)
{
    ngx_http_chatmaid_zone_t          *zone = account->zone->data;
    ngx_http_chatmaid_pace_state_t    *state;
    ngx_http_chatmaid_pace_waiting_t  *waiting;

    waiting = NULL;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_pace_state_get(zone, account->id);

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

    state = ngx_http_chatmaid_pace_state_find(zone, account->id);

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

    state = ngx_http_chatmaid_pace_state_find(zone, account->id);

    if (state) {
        ngx_http_chatmaid_pace_places_settle(state);
        ngx_http_chatmaid_pace_queue_decide(zone, account, state, timeout,
                                            next);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static void
ngx_http_chatmaid_pace_queue_decide(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_account_t *account,
    ngx_http_chatmaid_pace_state_t *state, ngx_msec_t timeout,
    ngx_http_chatmaid_pace_next_t *next)
{
    ngx_msec_int_t  limit;

    if (ngx_queue_empty(&state->tickets)) {
        next->places = ngx_http_chatmaid_pace_places_return(account, state,
                                                            &next->clock);
        next->turn = next->places ? NGX_HTTP_CHATMAID_PACE_RETURN
                                  : NGX_HTTP_CHATMAID_PACE_NONE;
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
        next->time = ngx_http_chatmaid_pace_state_left(state->taken_at);
        return;
    }

    limit = ngx_http_chatmaid_pace_queue_limit(state);

    /* what is too late for all others is left to their workers */

    if (state->asked
        || (state->refused
            && limit <= ngx_http_chatmaid_pace_state_left(state->refused_at)))
    {
        next->turn = NGX_HTTP_CHATMAID_PACE_LOOK;
        next->time = NGX_HTTP_CHATMAID_PACE_LOOK_TIME;
        return;
    }

    next->turn = NGX_HTTP_CHATMAID_PACE_TAKE;
    next->places = ngx_min(state->waiting, NGX_HTTP_CHATMAID_PACE_MAX_PLACES);
    next->limit = limit;

    ngx_http_chatmaid_pace_places_ask(state, timeout);
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
        && ngx_http_chatmaid_pace_state_left(state->free_at)
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

        ngx_http_chatmaid_pace_queue_bury(zone, state, ticket);
    }

    return NULL;
}


/* Takes a ticket out whose worker has died. */

static void
ngx_http_chatmaid_pace_queue_bury(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state,
    ngx_http_chatmaid_pace_waiting_t *ticket)
{
    if (kill(ticket->pid, 0) == -1 && ngx_errno == ESRCH) {
        ngx_http_chatmaid_pace_queue_delete(zone, state, ticket);
    }
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
            next->time = ngx_http_chatmaid_pace_state_left(turn);

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
        left = ngx_http_chatmaid_pace_state_left(ticket->deadline);
        longest = ngx_max(longest, left);
    }

    return longest;
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
        state = ngx_queue_data(q, ngx_http_chatmaid_pace_state_t,
                               account.queue);

        if (id == NULL
            || ngx_memcmp(state->account.id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0)
        {
            n += ngx_http_chatmaid_pace_queue_alive(zone, state);
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return n;
}


/* How many tickets there are of workers that live. */

static ngx_uint_t
ngx_http_chatmaid_pace_queue_alive(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_pace_state_t *state)
{
    ngx_queue_t  *q, *following;

    for (q = ngx_queue_head(&state->tickets);
         q != ngx_queue_sentinel(&state->tickets);
         q = following)
    {
        following = ngx_queue_next(q);

        ngx_http_chatmaid_pace_queue_bury(zone, state,
            ngx_queue_data(q, ngx_http_chatmaid_pace_waiting_t, queue));
    }

    return state->waiting;
}
