
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What is counted, by all workers together, in memory that the zone gives.
 * Nobody locks anything for it.  There is one counter for each thing in the
 * lists below, and no other: what comes from outside never makes one.
 */


#ifndef _NGX_HTTP_CHATMAID_COUNTERS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_COUNTERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* The documented events; the last stands for all others. */

#define NGX_HTTP_CHATMAID_COUNTERS_EVENTS    9

extern ngx_str_t
    ngx_http_chatmaid_counters_events[NGX_HTTP_CHATMAID_COUNTERS_EVENTS];


/* Single counters.  Those of one metric follow each other in the order of its
 * labels, see status_metrics.c. */

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


/* What became of a try to reach Chatmaid. */

typedef enum {
    NGX_HTTP_CHATMAID_OUTCOME_SUCCESS = 0,
    NGX_HTTP_CHATMAID_OUTCOME_CLIENT_ERROR,
    NGX_HTTP_CHATMAID_OUTCOME_RATE_LIMITED,
    NGX_HTTP_CHATMAID_OUTCOME_SERVER_ERROR,
    NGX_HTTP_CHATMAID_OUTCOME_TIMEOUT,
    NGX_HTTP_CHATMAID_OUTCOME_CONNECT_ERROR,
    NGX_HTTP_CHATMAID_OUTCOME_INVALID
} ngx_http_chatmaid_outcome_e;


/* Endpoints, see facts.h. */
#define NGX_HTTP_CHATMAID_COUNTERS_ROUTES    16


/* The bounds of all histograms; in the last place is what took longer. */

#define NGX_HTTP_CHATMAID_COUNTERS_BUCKETS   15

typedef struct {
    ngx_atomic_t    buckets[NGX_HTTP_CHATMAID_COUNTERS_BUCKETS + 1];
    ngx_atomic_t    sum;               /* milliseconds */
} ngx_http_chatmaid_histogram_t;

typedef struct {
    ngx_msec_t      time;              /* milliseconds, at most */
    const char     *seconds;           /* the same */
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

/* More than any configuration has; the rest is one with the last. */
#define NGX_HTTP_CHATMAID_COUNTERS_REQUESTS  96


/* Refusals with a certain code, see problem.h. */

typedef struct {
    ngx_atomic_t    count;
    ngx_atomic_t    time;              /* of the latest; Unix time */
} ngx_http_chatmaid_counters_refusal_t;

#define NGX_HTTP_CHATMAID_COUNTERS_CODES     32


/* A worker's own place, by the number of its process in nginx's table. */

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


/* This process's counters.  Never NULL: before use() they are nobody else's. */
extern ngx_http_chatmaid_counters_t  *ngx_http_chatmaid_counters;


/* When a worker starts.  "counters" must outlive it. */
void ngx_http_chatmaid_counters_use(ngx_http_chatmaid_counters_t *counters);

/* One more. */
#define ngx_http_chatmaid_counters_add(id)                                    \
    (void) ngx_atomic_fetch_add(&ngx_http_chatmaid_counters->counts[id], 1)

/* One that took so many milliseconds. */
void ngx_http_chatmaid_counters_observe(
    ngx_http_chatmaid_histogram_t *histogram, ngx_msec_t time);

/* A request that was answered with this status, after so many milliseconds. */
void ngx_http_chatmaid_counters_request(ngx_uint_t route, ngx_uint_t status,
    ngx_msec_t time);

/* A request to a gateway that was refused with this code. */
void ngx_http_chatmaid_counters_refuse(ngx_uint_t code);

/* Whether the latest attempt to reach Redis succeeded. */
void ngx_http_chatmaid_counters_connected(ngx_uint_t connected);

/* How many requests wait for a message: of this worker, and of all. */
void ngx_http_chatmaid_counters_set_waiters(ngx_uint_t n);
ngx_uint_t ngx_http_chatmaid_counters_waiters(void);


#endif /* _NGX_HTTP_CHATMAID_COUNTERS_H_INCLUDED_ */
