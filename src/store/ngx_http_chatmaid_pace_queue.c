
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_queue.h"


/* How soon a worker that waits for another worker looks again. */
#define NGX_HTTP_CHATMAID_PACE_LOOK_TIME   5        /* milliseconds */

/* If the worker with the first ticket has not used a free place within this
 * time, another worker may use it. */
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


/* A further try goes before first tries, because it has had its turn already:
 * it keeps round 0. */

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

    /* if the next place is too late for all tickets, each worker gives up its
     * own (see late()) */

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


/* Gives a free place to the first ticket.  If that ticket is another worker's,
 * that worker will use the place by itself. */

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


/* The first ticket of this worker, or NULL.  Deletes the tickets before it
 * whose workers have died. */

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


/* Deletes the ticket if its worker has died. */

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
 * Whether a ticket of this worker is past its deadline, or can have no place
 * before its deadline even if no other gateway takes a place: each ticket
 * before it in the queue takes an interval.
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

        /* until places have been taken, it is not known how many are free */

        if (first != ngx_current_msec) {
            before += account->rate->interval;
            turn = first + before / 1000;
        }
    }

    return 0;
}


/* The longest wait, in milliseconds, that still meets some ticket's
 * deadline. */

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


/* Counts the tickets; those of workers that have died are deleted first. */

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
