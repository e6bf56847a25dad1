
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Counters that all workers share, in the memory of the zone, without a lock.
 * There is a fixed set of counters, listed below: data from outside never adds
 * one.
 */


#ifndef _NGX_HTTP_CHATMAID_COUNTERS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_COUNTERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* The names of the documented events; the last name stands for all others. */

#define NGX_HTTP_CHATMAID_COUNTERS_EVENTS    9

extern ngx_str_t
    ngx_http_chatmaid_counters_events[NGX_HTTP_CHATMAID_COUNTERS_EVENTS];


/* Single counters.  The counters of one metric follow each other in the order
 * of its labels, see status_metrics.c. */

enum {
    NGX_HTTP_CHATMAID_COUNT_REDIS_OK = 0,
    NGX_HTTP_CHATMAID_COUNT_REDIS_ERROR,
    NGX_HTTP_CHATMAID_COUNT_REDIS_TIMEOUT,

    NGX_HTTP_CHATMAID_COUNT_TRY,          /* + ..._outcome_e */

    NGX_HTTP_CHATMAID_COUNT_RETRY = NGX_HTTP_CHATMAID_COUNT_TRY + 7,

    NGX_HTTP_CHATMAID_COUNT_AUTH_FAILURE = NGX_HTTP_CHATMAID_COUNT_RETRY + 7,

    NGX_HTTP_CHATMAID_COUNT_SEND_NEW,
    NGX_HTTP_CHATMAID_COUNT_SEND_RECOVERED,
    NGX_HTTP_CHATMAID_COUNT_SEND_REPLAYED,
    NGX_HTTP_CHATMAID_COUNT_SEND_IN_FLIGHT,
    NGX_HTTP_CHATMAID_COUNT_SEND_REUSED,
    NGX_HTTP_CHATMAID_COUNT_SEND_OFF,

    NGX_HTTP_CHATMAID_COUNT_POLL_CHANGED,
    NGX_HTTP_CHATMAID_COUNT_POLL_UNCHANGED,
    NGX_HTTP_CHATMAID_COUNT_POLL_ERROR,

    NGX_HTTP_CHATMAID_COUNT_PACE_REFUSED,

    NGX_HTTP_CHATMAID_COUNT_WEBHOOK_VERIFIED,
    NGX_HTTP_CHATMAID_COUNT_WEBHOOK_DUPLICATE,

    NGX_HTTP_CHATMAID_COUNT_EVENT,        /* + its place in ..._events */

    NGX_HTTP_CHATMAID_COUNTS = NGX_HTTP_CHATMAID_COUNT_EVENT
                               + NGX_HTTP_CHATMAID_COUNTERS_EVENTS
};


/* The outcome of a try to reach Chatmaid. */

typedef enum {
    NGX_HTTP_CHATMAID_OUTCOME_SUCCESS = 0,
    NGX_HTTP_CHATMAID_OUTCOME_CLIENT_ERROR,
    NGX_HTTP_CHATMAID_OUTCOME_RATE_LIMITED,
    NGX_HTTP_CHATMAID_OUTCOME_SERVER_ERROR,
    NGX_HTTP_CHATMAID_OUTCOME_TIMEOUT,
    NGX_HTTP_CHATMAID_OUTCOME_CONNECT_ERROR,
    NGX_HTTP_CHATMAID_OUTCOME_INVALID
} ngx_http_chatmaid_outcome_e;


/* The number of places for routes, see facts.h. */
#define NGX_HTTP_CHATMAID_COUNTERS_ROUTES    16


/* All histograms have the same bounds.  The last bucket counts what took longer
 * than the last bound. */

#define NGX_HTTP_CHATMAID_COUNTERS_BUCKETS   15

typedef struct {
    ngx_atomic_t    buckets[NGX_HTTP_CHATMAID_COUNTERS_BUCKETS + 1];
    ngx_atomic_t    sum;               /* milliseconds */
} ngx_http_chatmaid_histogram_t;

typedef struct {
    ngx_msec_t      time;              /* milliseconds, inclusive */
    const char     *seconds;           /* the same in seconds, as a label */
} ngx_http_chatmaid_counters_bound_t;

extern ngx_http_chatmaid_counters_bound_t
    ngx_http_chatmaid_counters_bounds[NGX_HTTP_CHATMAID_COUNTERS_BUCKETS];


/* Requests with a certain route and status. */

typedef struct {
    ngx_atomic_t    key;               /* of both; 0: not used */
    ngx_atomic_t    count;
} ngx_http_chatmaid_counters_request_t;

#define ngx_http_chatmaid_counters_key(route, status)                         \
    ((ngx_atomic_uint_t) 1 << 31 | (route) << 16 | (status))
#define ngx_http_chatmaid_counters_route(key)   ((key) >> 16 & 0x7fff)
#define ngx_http_chatmaid_counters_status(key)  ((key) & 0xffff)

/* Places for pairs of route and status: more than any configuration needs.  If
 * they do run out, a request is counted in another pair's place. */
#define NGX_HTTP_CHATMAID_COUNTERS_REQUESTS  96


/* Refusals with a certain code, see problem.h. */

typedef struct {
    ngx_atomic_t    count;
    ngx_atomic_t    time;              /* of the latest; Unix time, seconds */
} ngx_http_chatmaid_counters_refusal_t;

#define NGX_HTTP_CHATMAID_COUNTERS_CODES     32


/* A worker's own place, indexed by ngx_process_slot. */

typedef struct {
    ngx_pid_t       pid;
    uint32_t        waiters;
} ngx_http_chatmaid_counters_worker_t;

#define NGX_HTTP_CHATMAID_COUNTERS_WORKERS   128


typedef struct {
    ngx_atomic_t    counts[NGX_HTTP_CHATMAID_COUNTS];
    ngx_atomic_t    webhooks[NGX_HTTP_CHATMAID_COUNTERS_CODES];  /* refused */

    ngx_http_chatmaid_histogram_t
                    tries, redis, webhook_age, pace,
                    routes[NGX_HTTP_CHATMAID_COUNTERS_ROUTES];

    ngx_http_chatmaid_counters_request_t
                    requests[NGX_HTTP_CHATMAID_COUNTERS_REQUESTS];
    ngx_http_chatmaid_counters_refusal_t
                    refusals[NGX_HTTP_CHATMAID_COUNTERS_CODES];
    ngx_http_chatmaid_counters_worker_t
                    workers[NGX_HTTP_CHATMAID_COUNTERS_WORKERS];

    ngx_atomic_t    redis_connected;
} ngx_http_chatmaid_counters_t;


/* The counters of this process.  Never NULL: before use() the process has
 * counters of its own, which are not shared. */
extern ngx_http_chatmaid_counters_t  *ngx_http_chatmaid_counters;


/* Sets the shared counters, when a worker starts.  "counters" must outlive the
 * process. */
void ngx_http_chatmaid_counters_use(ngx_http_chatmaid_counters_t *counters);

/* Adds 1 to a counter of the list above (NGX_HTTP_CHATMAID_COUNT_...). */
#define ngx_http_chatmaid_counters_add(id)                                    \
    (void) ngx_atomic_fetch_add(&ngx_http_chatmaid_counters->counts[id], 1)

/* Adds an event that took "time" milliseconds to a histogram. */
void ngx_http_chatmaid_counters_observe(
    ngx_http_chatmaid_histogram_t *histogram, ngx_msec_t time);

/* Counts a request that was answered with this status after "time"
 * milliseconds. */
void ngx_http_chatmaid_counters_request(ngx_uint_t route, ngx_uint_t status,
    ngx_msec_t time);

/* Counts a request to a gateway that was refused with this code (problem.h). */
void ngx_http_chatmaid_counters_refuse(ngx_uint_t code);

/* Records whether the latest attempt to reach Redis succeeded. */
void ngx_http_chatmaid_counters_connected(ngx_uint_t connected);

/* Set how many requests of this worker wait for a message, and get how many
 * requests of all workers do. */
void ngx_http_chatmaid_counters_set_waiters(ngx_uint_t n);
ngx_uint_t ngx_http_chatmaid_counters_waiters(void);


#endif /* _NGX_HTTP_CHATMAID_COUNTERS_H_INCLUDED_ */
