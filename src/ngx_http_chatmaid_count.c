
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_count.h"
#include "ngx_http_chatmaid_counters.h"
#include "ngx_http_chatmaid_facts.h"
#include "ngx_http_chatmaid_gateway.h"
#include "ngx_http_chatmaid_problem.h"
#include "ngx_http_chatmaid_webhook_request.h"


/* Routes and codes are indexes of counters: the file does not compile if there
 * are too few counters. */

typedef char  ngx_http_chatmaid_count_routes_fit[
    NGX_HTTP_CHATMAID_ROUTES <= NGX_HTTP_CHATMAID_COUNTERS_ROUTES ? 1 : -1];
typedef char  ngx_http_chatmaid_count_codes_fit[
    NGX_HTTP_CHATMAID_CODES <= NGX_HTTP_CHATMAID_COUNTERS_CODES ? 1 : -1];


static void ngx_http_chatmaid_count_gateway(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_uint_t route);
static ngx_uint_t ngx_http_chatmaid_count_status(ngx_http_request_t *r);
static ngx_msec_t ngx_http_chatmaid_count_time(ngx_http_request_t *r);
static void ngx_http_chatmaid_count_webhook(ngx_http_request_t *r);
static void ngx_http_chatmaid_count_verdict(const char *result);
static ngx_uint_t ngx_http_chatmaid_count_event(ngx_str_t *name);


ngx_int_t
ngx_http_chatmaid_count_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t                  route;
    ngx_http_chatmaid_facts_t  *facts;

    if (r != r->main) {
        return NGX_OK;
    }

    facts = ngx_http_chatmaid_facts_get(r);

    if (facts == NULL) {
        return NGX_OK;
    }

    route = ngx_http_chatmaid_gateway_facts_route(facts);

    if (route != NGX_HTTP_CHATMAID_ROUTE_NONE) {
        ngx_http_chatmaid_count_gateway(r, facts, route);

    } else {
        ngx_http_chatmaid_count_webhook(r);
    }

    if (facts->failed) {
        ngx_http_chatmaid_counters_refuse(facts->code);
    }

    return NGX_OK;
}


static void
ngx_http_chatmaid_count_gateway(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_uint_t route)
{
    ngx_http_chatmaid_counters_request(route,
                                       ngx_http_chatmaid_count_status(r),
                                       ngx_http_chatmaid_count_time(r));

    if (facts->idempotency != NGX_HTTP_CHATMAID_RESULT_NONE) {
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_SEND_NEW
                                       + facts->idempotency
                                       - NGX_HTTP_CHATMAID_RESULT_NEW);
    }
}


/* The same value as in $status. */

static ngx_uint_t
ngx_http_chatmaid_count_status(ngx_http_request_t *r)
{
    return r->err_status ? r->err_status : r->headers_out.status;
}


/* The same value as in $request_time, in milliseconds. */

static ngx_msec_t
ngx_http_chatmaid_count_time(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));

    return ngx_max(ms, 0);
}


/* A webhook whose sender left before there was a verdict is not counted. */

static void
ngx_http_chatmaid_count_webhook(ngx_http_request_t *r)
{
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_request_get(r);

    if (wh == NULL || wh->result == NULL) {
        return;
    }

    ngx_http_chatmaid_count_verdict(wh->result);

    if (wh->authentic) {
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_EVENT
                              + ngx_http_chatmaid_count_event(&wh->event.name));
    }
}


static void
ngx_http_chatmaid_count_verdict(const char *result)
{
    ngx_uint_t  code;

    if (ngx_strcmp(result, "verified") == 0) {
        ngx_http_chatmaid_counters_add(
                                     NGX_HTTP_CHATMAID_COUNT_WEBHOOK_VERIFIED);
        return;
    }

    if (ngx_strcmp(result, "duplicate") == 0) {
        ngx_http_chatmaid_counters_add(
                                    NGX_HTTP_CHATMAID_COUNT_WEBHOOK_DUPLICATE);
        return;
    }

    for (code = 0; code < NGX_HTTP_CHATMAID_CODES; code++) {

        if (ngx_strcmp(result, ngx_http_chatmaid_problem_name(code)) == 0) {
            (void) ngx_atomic_fetch_add(
                             &ngx_http_chatmaid_counters->webhooks[code], 1);
            return;
        }
    }
}


static ngx_uint_t
ngx_http_chatmaid_count_event(ngx_str_t *name)
{
    ngx_str_t   *known;
    ngx_uint_t   i;

    known = ngx_http_chatmaid_counters_events;

    for (i = 0; i < NGX_HTTP_CHATMAID_COUNTERS_EVENTS - 1; i++) {

        if (known[i].len == name->len
            && ngx_memcmp(known[i].data, name->data, name->len) == 0)
        {
            break;
        }
    }

    return i;
}
