
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status_metrics.h"
#include "ngx_http_chatmaid_facts.h"
#include "ngx_http_chatmaid_problem.h"
#include "ngx_http_chatmaid_status_accounts.h"
#include "ngx_http_chatmaid_streams.h"
#include "ngx_http_chatmaid_upstream_state.h"
#include "ngx_http_chatmaid_zone_stat.h"


/* A metric whose samples are n consecutive counters.  They differ in the value
 * of one label; "label" is NULL if there is only one counter. */

typedef struct {
    const char    *name;
    const char    *label;
    ngx_str_t     *values;
    ngx_uint_t     n;                  /* how many values */
    ngx_uint_t     first;              /* the first counter */
    const char    *help;
} ngx_http_chatmaid_status_counter_t;


static void ngx_http_chatmaid_status_metrics_requests(
    ngx_http_chatmaid_status_writer_t *w);
static void ngx_http_chatmaid_status_metrics_counters(
    ngx_http_chatmaid_status_writer_t *w);
static void ngx_http_chatmaid_status_metrics_webhooks(
    ngx_http_chatmaid_status_writer_t *w);
static ngx_uint_t ngx_http_chatmaid_status_metrics_is_documented(
    ngx_uint_t code);
static void ngx_http_chatmaid_status_metrics_zone(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_status_metrics_streams(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_status_metrics_stream(
    ngx_http_chatmaid_status_writer_t *w, ngx_array_t *streams,
    ngx_uint_t oldest);
static void ngx_http_chatmaid_status_metrics_build(
    ngx_http_chatmaid_status_writer_t *w);
static void ngx_http_chatmaid_status_metrics_page(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_status_metrics_upstreams(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_status_metrics_refusals(
    ngx_http_chatmaid_status_writer_t *w);


static ngx_str_t  ngx_http_chatmaid_status_outcomes[] = {
    ngx_string("success"),
    ngx_string("client_error"),
    ngx_string("rate_limited"),
    ngx_string("server_error"),
    ngx_string("timeout"),
    ngx_string("connect_error"),
    ngx_string("invalid")
};


static ngx_str_t  ngx_http_chatmaid_status_idempotencies[] = {
    ngx_string("new"),
    ngx_string("recovered"),
    ngx_string("replayed"),
    ngx_string("in_flight"),
    ngx_string("reused"),
    ngx_string("off")
};


static ngx_str_t  ngx_http_chatmaid_status_commands[] = {
    ngx_string("ok"),
    ngx_string("error"),
    ngx_string("timeout")
};


static ngx_str_t  ngx_http_chatmaid_status_polls[] = {
    ngx_string("changed"),
    ngx_string("unchanged"),
    ngx_string("error")
};


/* The states of records, in the order of their numbers. */

static ngx_str_t  ngx_http_chatmaid_status_states[] = {
    ngx_string("in_flight"),
    ngx_string("ambiguous"),
    ngx_string("done")
};


/* The outcomes without "success" and "client_error", which no further try
 * follows. */

#define NGX_HTTP_CHATMAID_STATUS_REASONS                                      \
    (&ngx_http_chatmaid_status_outcomes[NGX_HTTP_CHATMAID_OUTCOME_RATE_LIMITED])


static ngx_http_chatmaid_status_counter_t
    ngx_http_chatmaid_status_counters[] =
{
    { "chatmaid_upstream_requests_total", "outcome",
      ngx_http_chatmaid_status_outcomes, 7,
      NGX_HTTP_CHATMAID_COUNT_TRY,
      "Tries to reach Chatmaid, by what became of them." },

    { "chatmaid_upstream_auth_failures_total", NULL, NULL, 1,
      NGX_HTTP_CHATMAID_COUNT_AUTH_FAILURE,
      "Tries that Chatmaid answered 401 or 403." },

    { "chatmaid_retries_total", "reason",
      NGX_HTTP_CHATMAID_STATUS_REASONS, 5,
      NGX_HTTP_CHATMAID_COUNT_RETRY + NGX_HTTP_CHATMAID_OUTCOME_RATE_LIMITED,
      "Further tries, by what became of the try before." },

    { "chatmaid_idempotency_total", "result",
      ngx_http_chatmaid_status_idempotencies, 6,
      NGX_HTTP_CHATMAID_COUNT_SEND_NEW,
      "Sends, by what their record said." },

    { "chatmaid_polls_total", "result",
      ngx_http_chatmaid_status_polls, 3,
      NGX_HTTP_CHATMAID_COUNT_POLL_CHANGED,
      "Shared polls of messages that requests wait for." },

    { "chatmaid_redis_commands_total", "result",
      ngx_http_chatmaid_status_commands, 3,
      NGX_HTTP_CHATMAID_COUNT_REDIS_OK,
      "Commands for Redis, by what became of them." },

    { "chatmaid_webhook_events_total", "event",
      ngx_http_chatmaid_counters_events, NGX_HTTP_CHATMAID_COUNTERS_EVENTS,
      NGX_HTTP_CHATMAID_COUNT_EVENT,
      "Events whose signature was right, duplicates too." },

    { NULL, NULL, NULL, 0, 0, NULL }
};


void
ngx_http_chatmaid_status_metrics_write(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_http_chatmaid_counters_t  *counters;

    counters = ngx_http_chatmaid_counters;

    ngx_http_chatmaid_status_metrics_requests(w);
    ngx_http_chatmaid_status_metrics_counters(w);
    ngx_http_chatmaid_status_metrics_webhooks(w);

    ngx_http_chatmaid_status_writer_times(w,
                                    "chatmaid_upstream_duration_seconds",
                                    "Time of tries to reach Chatmaid.",
                                    &counters->tries);

    ngx_http_chatmaid_status_writer_times(w, "chatmaid_redis_duration_seconds",
                                    "Time of commands that Redis has answered, "
                                    "or has not answered in time.",
                                    &counters->redis);

    ngx_http_chatmaid_status_writer_times(w, "chatmaid_webhook_age_seconds",
                                    "Time from an event's signature to its "
                                    "verdict.",
                                    &counters->webhook_age);

    ngx_http_chatmaid_status_writer_gauge(w, "chatmaid_redis_connected",
                                    "Whether the latest attempt of any worker "
                                    "to reach Redis succeeded.",
                                    counters->redis_connected);
    ngx_http_chatmaid_status_writer_gauge(w, "chatmaid_waiters",
                                    "Requests that wait for a message.",
                                    ngx_http_chatmaid_counters_waiters());
    ngx_http_chatmaid_status_writer_gauge(w,
                                    "chatmaid_config_load_time_seconds",
                                    "Unix time at which the configuration was "
                                    "loaded.",
                                    mcf->loaded);

    ngx_http_chatmaid_status_metrics_zone(w, mcf);
    ngx_http_chatmaid_status_accounts_write(w, mcf);
    ngx_http_chatmaid_status_metrics_streams(w, mcf);
    ngx_http_chatmaid_status_metrics_build(w);

    if (w->json) {
        ngx_http_chatmaid_status_metrics_page(w, mcf);
    }
}


static void
ngx_http_chatmaid_status_metrics_requests(ngx_http_chatmaid_status_writer_t *w)
{
    u_char                                 status[NGX_INT_T_LEN];
    ngx_uint_t                             i, route;
    ngx_http_chatmaid_status_label_t       labels[2];
    ngx_http_chatmaid_counters_request_t  *request;

    labels[0].name = "route";
    labels[1].name = "status";
    labels[1].value.data = status;

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_requests_total",
                                           "counter",
                                           "Requests to gateway locations.");

    for (i = 0; i < NGX_HTTP_CHATMAID_COUNTERS_REQUESTS; i++) {
        request = &ngx_http_chatmaid_counters->requests[i];

        if (request->key == 0) {
            continue;
        }

        route = ngx_http_chatmaid_counters_route(request->key);

        labels[0].value = *ngx_http_chatmaid_facts_route_name(route);
        labels[1].value.len = ngx_sprintf(status, "%03ui",
                               (ngx_uint_t) ngx_http_chatmaid_counters_status(
                                                               request->key))
                              - status;

        ngx_http_chatmaid_status_writer_sample(w, labels, 2, request->count);
    }

    ngx_http_chatmaid_status_writer_metric(w,
                                           "chatmaid_request_duration_seconds",
                                           "histogram",
                                           "Time of requests to gateway "
                                           "locations, from their first byte.");

    for (route = NGX_HTTP_CHATMAID_ROUTE_NONE + 1;
         route < NGX_HTTP_CHATMAID_ROUTES;
         route++)
    {
        labels[0].value = *ngx_http_chatmaid_facts_route_name(route);

        ngx_http_chatmaid_status_writer_histogram(w, labels, 1,
                                  &ngx_http_chatmaid_counters->routes[route]);
    }
}


static void
ngx_http_chatmaid_status_metrics_counters(ngx_http_chatmaid_status_writer_t *w)
{
    ngx_uint_t                           i;
    ngx_http_chatmaid_status_label_t     label;
    ngx_http_chatmaid_status_counter_t  *counter;

    for (counter = ngx_http_chatmaid_status_counters;
         counter->name;
         counter++)
    {
        ngx_http_chatmaid_status_writer_metric(w, counter->name, "counter",
                                               counter->help);

        label.name = counter->label;

        for (i = 0; i < counter->n; i++) {

            if (counter->label) {
                label.value = counter->values[i];
            }

            ngx_http_chatmaid_status_writer_sample(w, &label,
                        counter->label != NULL,
                        ngx_http_chatmaid_counters->counts[counter->first + i]);
        }
    }
}


/* A refusal of nginx's own is shown only if it has happened. */

static void
ngx_http_chatmaid_status_metrics_webhooks(ngx_http_chatmaid_status_writer_t *w)
{
    ngx_uint_t                         code;
    ngx_http_chatmaid_counters_t      *counters;
    ngx_http_chatmaid_status_label_t   label;

    counters = ngx_http_chatmaid_counters;

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_webhooks_total",
                                           "counter",
                                           "Webhooks, by their verdict.");

    ngx_http_chatmaid_status_writer_label(&label, "result", "verified");
    ngx_http_chatmaid_status_writer_sample(w, &label, 1,
                   counters->counts[NGX_HTTP_CHATMAID_COUNT_WEBHOOK_VERIFIED]);

    ngx_http_chatmaid_status_writer_label(&label, "result", "duplicate");
    ngx_http_chatmaid_status_writer_sample(w, &label, 1,
                  counters->counts[NGX_HTTP_CHATMAID_COUNT_WEBHOOK_DUPLICATE]);

    for (code = 0; code < NGX_HTTP_CHATMAID_CODES; code++) {

        if (counters->webhooks[code]
            || ngx_http_chatmaid_status_metrics_is_documented(code))
        {
            ngx_http_chatmaid_status_writer_label(&label, "result",
                                        ngx_http_chatmaid_problem_name(code));
            ngx_http_chatmaid_status_writer_sample(w, &label, 1,
                                                   counters->webhooks[code]);
        }
    }
}


static ngx_uint_t
ngx_http_chatmaid_status_metrics_is_documented(ngx_uint_t code)
{
    switch (code) {

    case NGX_HTTP_CHATMAID_MISSING_SIGNATURE:
    case NGX_HTTP_CHATMAID_MALFORMED_SIGNATURE:
    case NGX_HTTP_CHATMAID_TIMESTAMP_OUT_OF_TOLERANCE:
    case NGX_HTTP_CHATMAID_SIGNATURE_MISMATCH:
    case NGX_HTTP_CHATMAID_INVALID_JSON:
    case NGX_HTTP_CHATMAID_INVALID_EVENT:
    case NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED:
    case NGX_HTTP_CHATMAID_BODY_TOO_LARGE:
    case NGX_HTTP_CHATMAID_DELIVERY_IN_FLIGHT:
    case NGX_HTTP_CHATMAID_STORE_UNAVAILABLE:
        return 1;

    default:
        return 0;
    }
}


static void
ngx_http_chatmaid_status_metrics_zone(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                        i;
    ngx_http_chatmaid_zone_stat_t     stat;
    ngx_http_chatmaid_status_label_t  label;

    ngx_http_chatmaid_zone_stat(mcf->zone, &stat);

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_idempotency_records",
                                           "gauge",
                                           "Records of sends in this zone, by "
                                           "state.");
    label.name = "state";

    for (i = 0; i <= NGX_HTTP_CHATMAID_RECORD_DONE; i++) {
        label.value = ngx_http_chatmaid_status_states[i];
        ngx_http_chatmaid_status_writer_sample(w, &label, 1, stat.sends[i]);
    }

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_zone_bytes", "gauge",
                                           "Shared memory of chatmaid_zone.");

    ngx_http_chatmaid_status_writer_label(&label, "state", "used");
    ngx_http_chatmaid_status_writer_sample(w, &label, 1, stat.used);

    ngx_http_chatmaid_status_writer_label(&label, "state", "free");
    ngx_http_chatmaid_status_writer_sample(w, &label, 1, stat.free);

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_zone_evicted_total",
                                           "counter",
                                           "Finished records that were dropped "
                                           "before their ttl.");
    ngx_http_chatmaid_status_writer_sample(w, NULL, 0, stat.evicted);
}


/* Numbers that Redis did not give are left out. */

static void
ngx_http_chatmaid_status_metrics_streams(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                         i;
    ngx_array_t                       *streams;
    ngx_http_chatmaid_stream_t        *stream;
    ngx_http_chatmaid_status_label_t   label;

    streams = ngx_http_chatmaid_streams_get(mcf, w->pool);

    if (streams == NULL) {
        w->failed = 1;
        return;
    }

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_stream_entries",
                                           "gauge",
                                           "Entries of a webhook stream.");
    label.name = "stream";
    stream = streams->elts;

    for (i = 0; i < streams->nelts; i++) {

        if (stream[i].group.data == NULL && stream[i].entries >= 0) {
            label.value = stream[i].stream;
            ngx_http_chatmaid_status_writer_sample(w, &label, 1,
                                                   stream[i].entries);
        }
    }

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_stream_lag", "gauge",
                                           "Entries that a group has not been "
                                           "given yet.");
    ngx_http_chatmaid_status_metrics_stream(w, streams, 0);

    ngx_http_chatmaid_status_writer_metric(w,
                                           "chatmaid_stream_oldest_seconds",
                                           "gauge",
                                           "Age of the oldest entry that a "
                                           "group has not acknowledged.");
    ngx_http_chatmaid_status_metrics_stream(w, streams, 1);
}


static void
ngx_http_chatmaid_status_metrics_stream(ngx_http_chatmaid_status_writer_t *w,
    ngx_array_t *streams, ngx_uint_t oldest)
{
    ngx_uint_t                         i;
    ngx_http_chatmaid_stream_t        *stream;
    ngx_http_chatmaid_status_label_t   labels[2];

    stream = streams->elts;

    labels[0].name = "stream";
    labels[1].name = "group";

    for (i = 0; i < streams->nelts; i++) {

        if (stream[i].group.data == NULL) {
            continue;
        }

        labels[0].value = stream[i].stream;
        labels[1].value = stream[i].group;

        if (oldest && stream[i].oldest >= 0) {
            ngx_http_chatmaid_status_writer_msec(w, labels, 2,
                                                 stream[i].oldest);

        } else if (!oldest && stream[i].lag >= 0) {
            ngx_http_chatmaid_status_writer_sample(w, labels, 2,
                                                   stream[i].lag);
        }
    }
}


static void
ngx_http_chatmaid_status_metrics_build(ngx_http_chatmaid_status_writer_t *w)
{
    ngx_http_chatmaid_status_label_t  label;

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_build_info", "gauge",
                                           "The version of this module.");

    ngx_http_chatmaid_status_writer_label(&label, "version",
                                          NGX_HTTP_CHATMAID_VERSION);
    ngx_http_chatmaid_status_writer_sample(w, &label, 1, 1);
}


/* Writes what the page shows but is not a metric. */

static void
ngx_http_chatmaid_status_metrics_page(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_http_chatmaid_status_writer_gauge(w, "redis_configured", NULL,
                                          mcf->redis != NULL);

    ngx_http_chatmaid_status_accounts_paces(w, mcf);
    ngx_http_chatmaid_status_metrics_upstreams(w, mcf);
    ngx_http_chatmaid_status_metrics_refusals(w);
}


static void
ngx_http_chatmaid_status_metrics_upstreams(
    ngx_http_chatmaid_status_writer_t *w, ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                         i, j;
    ngx_http_chatmaid_gateway_t      **gateway;
    ngx_http_upstream_srv_conf_t      *upstream;
    ngx_http_chatmaid_status_label_t   labels[2];

    static const char  *states[] = { "unknown", "up", "down" };

    ngx_http_chatmaid_status_writer_metric(w, "upstreams", NULL, NULL);

    gateway = mcf->gateways.elts;

    for (i = 0; i < mcf->gateways.nelts; i++) {
        upstream = gateway[i]->upstream.upstream;

        /* several gateways may share an upstream, which is shown once */

        for (j = 0; j < i; j++) {
            if (gateway[j]->upstream.upstream == upstream) {
                break;
            }
        }

        if (upstream == NULL || j < i) {
            continue;
        }

        labels[0].name = "upstream";
        labels[0].value = upstream->host;

        ngx_http_chatmaid_status_writer_label(&labels[1], "state",
                              states[ngx_http_chatmaid_upstream_state_get(
                                                      mcf->zone, upstream)]);

        ngx_http_chatmaid_status_writer_sample(w, labels, 2, 1);
    }
}


static void
ngx_http_chatmaid_status_metrics_refusals(ngx_http_chatmaid_status_writer_t *w)
{
    ngx_uint_t                             code;
    ngx_http_chatmaid_status_label_t       label;
    ngx_http_chatmaid_counters_refusal_t  *refusals;

    refusals = ngx_http_chatmaid_counters->refusals;

    ngx_http_chatmaid_status_writer_metric(w, "refusals", NULL, NULL);

    for (code = 0; code < NGX_HTTP_CHATMAID_CODES; code++) {

        if (refusals[code].count) {
            ngx_http_chatmaid_status_writer_label(&label, "code",
                                        ngx_http_chatmaid_problem_name(code));
            ngx_http_chatmaid_status_writer_sample(w, &label, 1,
                                                   refusals[code].count);
        }
    }

    ngx_http_chatmaid_status_writer_metric(w, "last_refusal_time", NULL, NULL);

    for (code = 0; code < NGX_HTTP_CHATMAID_CODES; code++) {

        if (refusals[code].count) {
            ngx_http_chatmaid_status_writer_label(&label, "code",
                                        ngx_http_chatmaid_problem_name(code));
            ngx_http_chatmaid_status_writer_sample(w, &label, 1,
                                                   refusals[code].time);
        }
    }
}
