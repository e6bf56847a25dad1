
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_pace.h"
#include "ngx_http_chatmaid_counters.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_pace_clock.h"


/* The pace of an account, as this worker sees it. */

struct ngx_http_chatmaid_call_pace_s {
    ngx_queue_t                        queue;     /* of all paces */
    ngx_http_chatmaid_pace_account_t   account;
    ngx_http_chatmaid_pace_clock_t     clock;
    ngx_http_chatmaid_pace_next_t      taking;    /* being taken */
    ngx_queue_t                        waiters;
    ngx_event_t                        timer;
    uint64_t                           epoch;     /* of the tickets */
};


static ngx_http_chatmaid_call_pace_t *ngx_http_chatmaid_call_pace_get(
    ngx_http_request_t *r);
static ngx_http_chatmaid_call_pace_t *ngx_http_chatmaid_call_pace_create(
    u_char *id);
static ngx_int_t ngx_http_chatmaid_call_pace_begin(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter,
    ngx_http_chatmaid_pace_kind_e kind, ngx_msec_t left);
static ngx_int_t ngx_http_chatmaid_call_pace_caller(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter);
static ngx_int_t ngx_http_chatmaid_call_pace_add(
    ngx_http_chatmaid_call_pace_t *pace,
    ngx_http_chatmaid_call_pace_waiter_t *waiter);
static void ngx_http_chatmaid_call_pace_remove(
    ngx_http_chatmaid_call_pace_waiter_t *waiter);
static void ngx_http_chatmaid_call_pace_run(
    ngx_http_chatmaid_call_pace_t *pace);
static void ngx_http_chatmaid_call_pace_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_call_pace_add_again(
    ngx_http_chatmaid_call_pace_t *pace, uint64_t epoch);
static void ngx_http_chatmaid_call_pace_take(
    ngx_http_chatmaid_call_pace_t *pace);
static void ngx_http_chatmaid_call_pace_clock_handler(void *data,
    ngx_http_chatmaid_pace_places_t *places);
static void ngx_http_chatmaid_call_pace_tell(
    ngx_http_chatmaid_call_pace_t *pace, ngx_http_chatmaid_pace_next_t *next);
static void ngx_http_chatmaid_call_pace_end(
    ngx_http_chatmaid_call_pace_waiter_t *waiter, ngx_int_t rc);


/* The paces of this worker, one for each account; they are never freed. */

static ngx_queue_t  ngx_http_chatmaid_call_paces = {
    &ngx_http_chatmaid_call_paces,
    &ngx_http_chatmaid_call_paces
};


ngx_uint_t
ngx_http_chatmaid_call_pace_is_set(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    return conf->pace->interval != 0;
}


/* The pace of the account of r's location, created if there is none.  NULL: no
 * memory. */

static ngx_http_chatmaid_call_pace_t *
ngx_http_chatmaid_call_pace_get(ngx_http_request_t *r)
{
    ngx_queue_t                    *q;
    ngx_http_chatmaid_call_pace_t  *pace, *found;
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    found = NULL;

    for (q = ngx_queue_head(&ngx_http_chatmaid_call_paces);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_call_paces);
         q = ngx_queue_next(q))
    {
        pace = ngx_queue_data(q, ngx_http_chatmaid_call_pace_t, queue);

        if (ngx_memcmp(pace->account.id, conf->account_id,
                       NGX_HTTP_CHATMAID_ID_LEN)
            == 0)
        {
            found = pace;
            break;
        }
    }

    if (found == NULL) {
        found = ngx_http_chatmaid_call_pace_create(conf->account_id);
    }

    if (found) {
        found->account.zone = mcf->zone;
        found->account.rate = conf->pace;
        found->clock.mcf = mcf;
    }

    return found;
}


static ngx_http_chatmaid_call_pace_t *
ngx_http_chatmaid_call_pace_create(u_char *id)
{
    ngx_http_chatmaid_call_pace_t  *pace;

    pace = ngx_calloc(sizeof(ngx_http_chatmaid_call_pace_t), ngx_cycle->log);
    if (pace == NULL) {
        return NULL;
    }

    ngx_memcpy(pace->account.id, id, NGX_HTTP_CHATMAID_ID_LEN);

    pace->clock.account = &pace->account;
    pace->clock.handler = ngx_http_chatmaid_call_pace_clock_handler;
    pace->clock.data = pace;

    pace->timer.handler = ngx_http_chatmaid_call_pace_timer_handler;
    pace->timer.data = pace;
    pace->timer.log = ngx_cycle->log;

    ngx_queue_init(&pace->waiters);
    ngx_queue_insert_tail(&ngx_http_chatmaid_call_paces, &pace->queue);

    return pace;
}


void
ngx_http_chatmaid_call_pace_expect(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter, ngx_msec_t limit)
{
    ngx_uint_t                      take;
    ngx_http_chatmaid_call_pace_t  *pace;

    pace = ngx_http_chatmaid_call_pace_get(r);

    if (pace == NULL || waiter->expected) {
        return;
    }

    if (!ngx_http_chatmaid_pace_places_expect(&pace->account,
                        ngx_http_chatmaid_pace_clock_timeout(pace->clock.mcf),
                        &take))
    {
        return;
    }

    waiter->pace = pace;
    waiter->expected = 1;

    if (take) {
        ngx_memzero(&pace->taking, sizeof(ngx_http_chatmaid_pace_next_t));

        pace->taking.places = 1;
        pace->taking.limit = limit;

        ngx_http_chatmaid_call_pace_take(pace);
    }
}


void
ngx_http_chatmaid_call_pace_unexpect(
    ngx_http_chatmaid_call_pace_waiter_t *waiter)
{
    if (waiter->expected) {
        waiter->expected = 0;

        ngx_http_chatmaid_pace_places_unexpect(&waiter->pace->account);
        ngx_http_chatmaid_call_pace_run(waiter->pace);
    }
}


ngx_int_t
ngx_http_chatmaid_call_pace_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter,
    ngx_http_chatmaid_pace_kind_e kind, ngx_msec_t left)
{
    ngx_int_t  rc;

    if (waiter->waiting) {
        return NGX_AGAIN;
    }

    if (!waiter->called) {
        rc = ngx_http_chatmaid_call_pace_begin(r, waiter, kind, left);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    waiter->called = 0;

    /* a poll that is refused is only made later */

    if (waiter->rc == NGX_DECLINED && kind != NGX_HTTP_CHATMAID_PACE_POLL) {
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_PACE_REFUSED);
    }

    return waiter->rc;
}


/* Begins to wait.  NGX_OK: waiter->rc is already set; NGX_AGAIN: the call
 * waits; NGX_ERROR. */

static ngx_int_t
ngx_http_chatmaid_call_pace_begin(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter,
    ngx_http_chatmaid_pace_kind_e kind, ngx_msec_t left)
{
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_call_pace_t  *pace;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    pace = ngx_http_chatmaid_call_pace_get(r);

    if (pace == NULL) {
        return NGX_ERROR;
    }

    waiter->ticket.kind = kind;
    waiter->ticket.deadline = ngx_current_msec + left;
    waiter->began = ngx_current_msec;

    if (ngx_http_chatmaid_call_pace_caller(r, waiter) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_call_pace_add(pace, waiter) != NGX_OK) {
        waiter->rc = NGX_DECLINED;
        waiter->time = conf->pace->interval / 1000;
        return NGX_OK;
    }

    /* now the call is counted by its ticket */

    if (waiter->expected) {
        waiter->expected = 0;
        ngx_http_chatmaid_pace_places_unexpect(&pace->account);
    }

    waiter->beginning = 1;

    ngx_http_chatmaid_call_pace_run(pace);

    waiter->beginning = 0;

    return waiter->waiting ? NGX_AGAIN : NGX_OK;
}


/* Sets the ticket's caller.  It is a part of a hash, because the configured
 * value may come from the request and have any length. */

static ngx_int_t
ngx_http_chatmaid_call_pace_caller(ngx_http_request_t *r,
    ngx_http_chatmaid_call_pace_waiter_t *waiter)
{
    u_char                         md[NGX_HTTP_CHATMAID_SHA256_LEN];
    ngx_str_t                      value;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (waiter->ticket.kind != NGX_HTTP_CHATMAID_PACE_SEND
        || conf->rate == NULL || conf->rate->caller == NULL)
    {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->rate->caller, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    ngx_http_chatmaid_crypto_sha256(&value, md);

    ngx_memcpy(waiter->ticket.caller, md, NGX_HTTP_CHATMAID_PACE_CALLER_LEN);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_call_pace_add(ngx_http_chatmaid_call_pace_t *pace,
    ngx_http_chatmaid_call_pace_waiter_t *waiter)
{
    if (ngx_http_chatmaid_pace_queue_add(&pace->account, &waiter->ticket)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_queue_empty(&pace->waiters)) {
        ngx_http_chatmaid_pace_clock_retain(pace->clock.mcf);
        pace->epoch = waiter->ticket.epoch;
    }

    ngx_queue_insert_tail(&pace->waiters, &waiter->queue);

    waiter->pace = pace;
    waiter->waiting = 1;

    return NGX_OK;
}


static void
ngx_http_chatmaid_call_pace_remove(
    ngx_http_chatmaid_call_pace_waiter_t *waiter)
{
    waiter->waiting = 0;
    ngx_queue_remove(&waiter->queue);

    if (ngx_queue_empty(&waiter->pace->waiters)) {
        ngx_http_chatmaid_pace_clock_release(waiter->pace->clock.mcf);
    }
}


void
ngx_http_chatmaid_call_pace_leave(ngx_http_chatmaid_call_pace_waiter_t *waiter)
{
    ngx_http_chatmaid_call_pace_unexpect(waiter);

    if (waiter->waiting) {
        ngx_http_chatmaid_call_pace_remove(waiter);

        ngx_http_chatmaid_pace_queue_remove(&waiter->pace->account,
                                            waiter->ticket.number);
        ngx_http_chatmaid_call_pace_run(waiter->pace);
    }
}


void
ngx_http_chatmaid_call_pace_hold(ngx_http_request_t *r, ngx_msec_t time)
{
    ngx_http_chatmaid_call_pace_t  *pace;

    pace = ngx_http_chatmaid_call_pace_get(r);

    if (pace == NULL) {
        return;
    }

    ngx_http_chatmaid_pace_places_hold(&pace->account, time);
    ngx_http_chatmaid_pace_clock_hold(&pace->clock);
    ngx_http_chatmaid_call_pace_run(pace);
}


static void
ngx_http_chatmaid_call_pace_run(ngx_http_chatmaid_call_pace_t *pace)
{
    ngx_msec_t                     timeout;
    ngx_http_chatmaid_pace_next_t  next;

    timeout = ngx_http_chatmaid_pace_clock_timeout(pace->clock.mcf);

    for ( ;; ) {
        ngx_http_chatmaid_pace_queue_next(&pace->account, timeout, &next);

        if (next.epoch != pace->epoch) {
            ngx_http_chatmaid_call_pace_add_again(pace, next.epoch);
            continue;
        }

        switch (next.turn) {

        case NGX_HTTP_CHATMAID_PACE_GO:
        case NGX_HTTP_CHATMAID_PACE_LATE:
            ngx_http_chatmaid_call_pace_tell(pace, &next);
            break;

        case NGX_HTTP_CHATMAID_PACE_TAKE:
            pace->taking = next;
            ngx_http_chatmaid_call_pace_take(pace);
            break;

        case NGX_HTTP_CHATMAID_PACE_RETURN:
            ngx_http_chatmaid_pace_clock_return(&pace->clock, &next);
            break;

        default:
            goto done;
        }
    }

done:

    /* nginx ignores a change of less than 300 ms to a timer that is set */

    if (pace->timer.timer_set) {
        ngx_del_timer(&pace->timer);
    }

    if (next.turn == NGX_HTTP_CHATMAID_PACE_LOOK
        && !ngx_queue_empty(&pace->waiters))
    {
        ngx_add_timer(&pace->timer, next.time);
    }
}


static void
ngx_http_chatmaid_call_pace_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_call_pace_run(ev->data);
}


/* The zone has lost the tickets of this worker, so they are added again.  If
 * there is no room for one, its call is refused, as a new call would be. */

static void
ngx_http_chatmaid_call_pace_add_again(ngx_http_chatmaid_call_pace_t *pace,
    uint64_t epoch)
{
    ngx_queue_t                           *q, *next;
    ngx_http_chatmaid_call_pace_waiter_t  *waiter;

    pace->epoch = epoch;

    for (q = ngx_queue_head(&pace->waiters);
         q != ngx_queue_sentinel(&pace->waiters);
         q = next)
    {
        next = ngx_queue_next(q);
        waiter = ngx_queue_data(q, ngx_http_chatmaid_call_pace_waiter_t, queue);

        if (waiter->ticket.epoch != epoch
            && ngx_http_chatmaid_pace_queue_add(&pace->account,
                                                &waiter->ticket)
               != NGX_OK)
        {
            waiter->time = pace->account.rate->interval / 1000;
            ngx_http_chatmaid_call_pace_end(waiter, NGX_DECLINED);
        }
    }
}


static void
ngx_http_chatmaid_call_pace_take(ngx_http_chatmaid_call_pace_t *pace)
{
    if (ngx_http_chatmaid_pace_clock_take(&pace->clock, &pace->taking)
        != NGX_AGAIN)
    {
        ngx_http_chatmaid_pace_places_take_own(&pace->account,
                                               pace->taking.places,
                                               pace->taking.limit);
    }
}


static void
ngx_http_chatmaid_call_pace_clock_handler(void *data,
    ngx_http_chatmaid_pace_places_t *places)
{
    ngx_http_chatmaid_call_pace_t  *pace = data;

    if (places) {
        ngx_http_chatmaid_pace_places_taken(&pace->account, places);

    } else {
        ngx_http_chatmaid_pace_places_take_own(&pace->account,
                                               pace->taking.places,
                                               pace->taking.limit);
    }

    ngx_http_chatmaid_call_pace_run(pace);
}


static void
ngx_http_chatmaid_call_pace_tell(ngx_http_chatmaid_call_pace_t *pace,
    ngx_http_chatmaid_pace_next_t *next)
{
    ngx_queue_t                           *q;
    ngx_http_chatmaid_call_pace_waiter_t  *waiter;

    for (q = ngx_queue_head(&pace->waiters);
         q != ngx_queue_sentinel(&pace->waiters);
         q = ngx_queue_next(q))
    {
        waiter = ngx_queue_data(q, ngx_http_chatmaid_call_pace_waiter_t, queue);

        if (waiter->ticket.number != next->number) {
            continue;
        }

        if (next->turn == NGX_HTTP_CHATMAID_PACE_GO) {
            ngx_http_chatmaid_counters_observe(
                                     &ngx_http_chatmaid_counters->pace,
                                     ngx_current_msec - waiter->began);

            ngx_http_chatmaid_call_pace_end(waiter, NGX_OK);

        } else {
            waiter->time = next->time;
            ngx_http_chatmaid_call_pace_end(waiter, NGX_DECLINED);
        }

        return;
    }
}


static void
ngx_http_chatmaid_call_pace_end(ngx_http_chatmaid_call_pace_waiter_t *waiter,
    ngx_int_t rc)
{
    ngx_http_chatmaid_call_pace_remove(waiter);

    waiter->called = 1;
    waiter->rc = rc;

    if (!waiter->beginning) {
        waiter->handler(waiter->data);
    }
}
