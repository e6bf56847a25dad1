
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_counters.h"


static ngx_http_chatmaid_counters_t   ngx_http_chatmaid_counters_own;

ngx_http_chatmaid_counters_t  *ngx_http_chatmaid_counters =
    &ngx_http_chatmaid_counters_own;


ngx_str_t
    ngx_http_chatmaid_counters_events[NGX_HTTP_CHATMAID_COUNTERS_EVENTS] =
{
    ngx_string("message.sent"),
    ngx_string("message.delivered"),
    ngx_string("message.read"),
    ngx_string("message.failed"),
    ngx_string("message.received"),
    ngx_string("message.outgoing"),
    ngx_string("phone.connected"),
    ngx_string("phone.disconnected"),
    ngx_string("other")
};


ngx_http_chatmaid_counters_bound_t
    ngx_http_chatmaid_counters_bounds[NGX_HTTP_CHATMAID_COUNTERS_BUCKETS] =
{
    { 1, "0.001" },
    { 2, "0.0025" },            /* 2, because times are whole milliseconds */
    { 5, "0.005" },
    { 10, "0.01" },
    { 25, "0.025" },
    { 50, "0.05" },
    { 100, "0.1" },
    { 250, "0.25" },
    { 500, "0.5" },
    { 1000, "1" },
    { 2500, "2.5" },
    { 5000, "5" },
    { 10000, "10" },
    { 25000, "25" },
    { 60000, "60" }
};


void
ngx_http_chatmaid_counters_use(ngx_http_chatmaid_counters_t *counters)
{
    ngx_http_chatmaid_counters = counters;
}


void
ngx_http_chatmaid_counters_observe(ngx_http_chatmaid_histogram_t *histogram,
    ngx_msec_t time)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CHATMAID_COUNTERS_BUCKETS; i++) {
        if (time <= ngx_http_chatmaid_counters_bounds[i].time) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&histogram->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&histogram->sum, time);
}


/* A free place in the table is taken by the first route and status that needs
 * it. */

void
ngx_http_chatmaid_counters_request(ngx_uint_t route, ngx_uint_t status,
    ngx_msec_t time)
{
    ngx_uint_t                             i, n;
    ngx_atomic_uint_t                      key;
    ngx_http_chatmaid_counters_request_t  *requests;

    requests = ngx_http_chatmaid_counters->requests;
    key = ngx_http_chatmaid_counters_key(route, status);

    i = (route * 37 + status) % NGX_HTTP_CHATMAID_COUNTERS_REQUESTS;

    for (n = 1; n < NGX_HTTP_CHATMAID_COUNTERS_REQUESTS; n++) {

        if (requests[i].key == key
            || (requests[i].key == 0
                && ngx_atomic_cmp_set(&requests[i].key, 0, key))
            || requests[i].key == key)
        {
            break;
        }

        i = (i + 1) % NGX_HTTP_CHATMAID_COUNTERS_REQUESTS;
    }

    (void) ngx_atomic_fetch_add(&requests[i].count, 1);

    ngx_http_chatmaid_counters_observe(
                             &ngx_http_chatmaid_counters->routes[route], time);
}


void
ngx_http_chatmaid_counters_refuse(ngx_uint_t code)
{
    ngx_http_chatmaid_counters_refusal_t  *refusal;

    refusal = &ngx_http_chatmaid_counters->refusals[code];

    (void) ngx_atomic_fetch_add(&refusal->count, 1);

    refusal->time = ngx_time();
}


/* Writes only a change: a cache line that nobody writes stays in the cache of
 * each CPU. */

void
ngx_http_chatmaid_counters_connected(ngx_uint_t connected)
{
    if (ngx_http_chatmaid_counters->redis_connected != connected) {
        ngx_http_chatmaid_counters->redis_connected = connected;
    }
}


void
ngx_http_chatmaid_counters_set_waiters(ngx_uint_t n)
{
    ngx_http_chatmaid_counters_worker_t  *worker;

    worker = &ngx_http_chatmaid_counters->workers[
                      ngx_process_slot % NGX_HTTP_CHATMAID_COUNTERS_WORKERS];

    worker->pid = ngx_pid;
    worker->waiters = n;
}


/* The places of workers that have died are left out. */

ngx_uint_t
ngx_http_chatmaid_counters_waiters(void)
{
    ngx_uint_t                            i, n;
    ngx_http_chatmaid_counters_worker_t  *worker;

    n = 0;

    for (i = 0; i < NGX_HTTP_CHATMAID_COUNTERS_WORKERS; i++) {
        worker = &ngx_http_chatmaid_counters->workers[i];

        if (worker->waiters
            && (kill(worker->pid, 0) == 0 || ngx_errno != ESRCH))
        {
            n += worker->waiters;
        }
    }

    return n;
}
