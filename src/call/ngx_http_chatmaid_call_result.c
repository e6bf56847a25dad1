
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_request.h"


#define NGX_HTTP_CHATMAID_MAX_RETRY_AFTER  (30 * 24 * 3600)    /* seconds */


static ngx_int_t ngx_http_chatmaid_call_result_passed(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_call_result_unreached(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_call_result_unanswered(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_call_result_broken(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_call_result_auth(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_call_result_invalid(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, const char *what);
static ngx_int_t ngx_http_chatmaid_call_result_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, json_t *answer);
static void ngx_http_chatmaid_call_result_limited(ngx_http_chatmaid_flow_t *flow,
    json_t *answer);
static ngx_int_t ngx_http_chatmaid_call_result_detail(ngx_http_request_t *r,
    json_t *answer, ngx_str_t *detail);
static time_t ngx_http_chatmaid_call_result_retry_after(
    ngx_http_chatmaid_call_t *call, json_t *answer);
static time_t ngx_http_chatmaid_call_result_delay(ngx_str_t *value);
static ngx_uint_t ngx_http_chatmaid_call_result_is_refusal(ngx_uint_t status);
static ngx_uint_t ngx_http_chatmaid_call_result_is_success(
    ngx_http_chatmaid_flow_t *flow, json_t *answer);


ngx_int_t
ngx_http_chatmaid_call_result(ngx_http_request_t *r, ngx_http_chatmaid_flow_t *flow,
    json_t **answer)
{
    ngx_http_chatmaid_call_t  *call;

    call = flow->call;

    if (call->upstream == NULL) {
        return ngx_http_chatmaid_call_result_unreached(r, flow);
    }

    if (call->not_upstream) {
        return ngx_http_chatmaid_call_result_invalid(r, flow,
                                     "came from something else than Chatmaid");
    }

    if (call->status == 0) {
        return ngx_http_chatmaid_call_result_unanswered(r, flow);
    }

    if (call->status == NGX_HTTP_UNAUTHORIZED
        || call->status == NGX_HTTP_FORBIDDEN)
    {
        return ngx_http_chatmaid_call_result_auth(r, flow);
    }

    if (call->status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return ngx_http_chatmaid_call_result_broken(r, flow);
    }

    if (call->overflow) {
        return ngx_http_chatmaid_call_result_invalid(r, flow,
                                                     "is larger than 4 MiB");
    }

    if (call->aborted) {
        return ngx_http_chatmaid_call_result_invalid(r, flow,
                                                     "did not fit into memory");
    }

    if (!call->whole) {
        return ngx_http_chatmaid_call_result_invalid(r, flow, "was cut short");
    }

    if (call->status < NGX_HTTP_OK
        || (call->status >= NGX_HTTP_SPECIAL_RESPONSE
            && call->status < NGX_HTTP_BAD_REQUEST))
    {
        return ngx_http_chatmaid_call_result_invalid(r, flow,
                                                     "has an unexpected status");
    }

    if (flow->reply->native && flow->message == NULL && call->status < 300) {
        return ngx_http_chatmaid_call_result_passed(r, flow);
    }

    *answer = ngx_http_chatmaid_json_parse(r->pool, &call->answer);

    if (*answer == NULL) {
        return ngx_http_chatmaid_call_result_invalid(r, flow, "is not JSON");
    }

    if (call->status >= NGX_HTTP_BAD_REQUEST) {
        return ngx_http_chatmaid_call_result_refused(r, flow, *answer);
    }

    if (!ngx_http_chatmaid_call_result_is_success(flow, *answer)) {
        return ngx_http_chatmaid_call_result_invalid(r, flow,
                                     "is JSON, but not what was asked for");
    }

    return NGX_OK;
}


/* A read of the native face goes on byte for byte: it is not taken apart. */

static ngx_int_t
ngx_http_chatmaid_call_result_passed(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    u_char                    *p, *last;
    ngx_table_elt_t           *type;
    ngx_http_chatmaid_call_t  *call;

    call = flow->call;
    type = call->upstream->headers_in.content_type;

    if (!ngx_http_chatmaid_request_is_json(type)) {
        return ngx_http_chatmaid_call_result_invalid(r, flow, "is not JSON");
    }

    last = call->answer.data + call->answer.len;

    for (p = call->answer.data;
         p < last
         && (*p == ' ' || *p == '\t' || *p == CR || *p == LF);
         p++)
    {
        /* void */
    }

    if (p == last || (*p != '{' && *p != '[')) {
        return ngx_http_chatmaid_call_result_invalid(r, flow, "is not JSON");
    }

    return NGX_OK;
}


/* Nothing was handed to an upstream: this nginx stopped the call.  Another try
 * would only get round a limit, which counts a request once. */

static ngx_int_t
ngx_http_chatmaid_call_result_unreached(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_call_t  *call;

    call = flow->call;

    if (call->refused == NULL
        && (call->rc == NGX_HTTP_SERVICE_UNAVAILABLE
            || call->rc == NGX_HTTP_TOO_MANY_REQUESTS))
    {
        ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, ngx_http_chatmaid_problem_code(call->rc),
                                  "the gateway's own limit is reached");
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid sent nothing through \"%V\": %s",
                  &call->gateway->uri,
                  call->refused ? call->refused
                                : "that location did not proxy the call");

    return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                                     "the gateway could not call Chatmaid, "
                                     "its log says why");
}


static ngx_int_t
ngx_http_chatmaid_call_result_unanswered(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_uint_t                 unknown;
    ngx_http_chatmaid_call_t  *call;

    call = flow->call;
    unknown = !ngx_http_chatmaid_call_not_sent(r, call);

    if (call->rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                                  unknown ? "Chatmaid did not answer in time"
                                          : "Chatmaid could not be reached in "
                                            "time");
    } else {
        ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                                  unknown ? "Chatmaid gave no answer"
                                          : "Chatmaid could not be reached");
    }

    flow->reply->problem.may_be_accepted = unknown;
    flow->reply->problem.retryable = 1;

    return NGX_DECLINED;
}


/* A 5xx: of those that a gateway before Chatmaid may give, another try may
 * know better. */

static ngx_int_t
ngx_http_chatmaid_call_result_broken(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    json_t                    *answer;
    ngx_http_chatmaid_call_t  *call;

    call = flow->call;

    ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                              "Chatmaid failed with status %ui", call->status);
    flow->reply->problem.may_be_accepted = 1;

    switch (call->status) {

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        answer = ngx_http_chatmaid_json_parse(r->pool, &call->answer);

        flow->reply->problem.retryable = 1;
        flow->reply->problem.retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                      answer);
    }

    return NGX_DECLINED;
}


/* The caller has no key: that this one is refused is the gateway's fault. */

static ngx_int_t
ngx_http_chatmaid_call_result_auth(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid refused the API key of \"%V\" with status %ui",
                  &flow->call->conf->api_key->file, flow->call->status);

    return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_AUTH,
                                     "Chatmaid refused the gateway's API key");
}


static ngx_int_t
ngx_http_chatmaid_call_result_invalid(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, const char *what)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid answer with status %ui %s", flow->call->status,
                  what);

    ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                              NGX_HTTP_CHATMAID_UPSTREAM_INVALID_RESPONSE,
                              "the answer %s", what);

    flow->reply->problem.may_be_accepted = !ngx_http_chatmaid_call_result_is_refusal(
                                                            flow->call->status);

    /* a limit is one in whatever form, such as the page of a proxy before
     * Chatmaid */

    if (flow->call->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_http_chatmaid_call_result_limited(flow, NULL);
    }

    return NGX_DECLINED;
}


/* Chatmaid's own error: its status, message and retryAfter are kept. */

static ngx_int_t
ngx_http_chatmaid_call_result_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, json_t *answer)
{
    ngx_uint_t   code, status;
    ngx_str_t    detail;

    status = flow->call->status;

    if (ngx_http_chatmaid_call_result_detail(r, answer, &detail) != NGX_OK) {
        return NGX_ERROR;
    }

    /* what no code says is not the caller's fault, as far as is known */

    code = ngx_http_chatmaid_problem_code(status);

    if (code == NGX_HTTP_CHATMAID_INVALID_REQUEST
        && status != NGX_HTTP_BAD_REQUEST && status != 422)
    {
        code = NGX_HTTP_CHATMAID_UPSTREAM_ERROR;
    }

    ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, code, "");

    flow->reply->problem.detail = detail;               /* of any length */
    flow->reply->problem.status = status;
    flow->reply->problem.may_be_accepted = !ngx_http_chatmaid_call_result_is_refusal(status);
    flow->reply->problem.retry_after = ngx_http_chatmaid_call_result_retry_after(flow->call,
                                                                         answer);

    flow->reply->problem.error = json_string_value(json_object_get(answer, "error"));
    flow->reply->problem.messages = json_object_get(answer, "message");

    if (status == NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_http_chatmaid_call_result_limited(flow, answer);
    }

    return NGX_DECLINED;
}


static void
ngx_http_chatmaid_call_result_limited(ngx_http_chatmaid_flow_t *flow, json_t *answer)
{
    flow->reply->problem.retryable = 1;
    flow->reply->problem.limited = 1;
    flow->reply->problem.retry_after = ngx_http_chatmaid_call_result_retry_after(flow->call,
                                                                         answer);
}


/* "message" is an array of strings, or, some say, one string, or absent. */

static ngx_int_t
ngx_http_chatmaid_call_result_detail(ngx_http_request_t *r, json_t *answer,
    ngx_str_t *detail)
{
    size_t       i, len;
    u_char      *p;
    json_t      *message, *text;
    const char  *s;

    message = json_object_get(answer, "message");

    if (json_is_string(message)) {
        detail->data = (u_char *) json_string_value(message);
        detail->len = json_string_length(message);
        return NGX_OK;
    }

    len = 0;

    json_array_foreach(message, i, text) {
        if (json_is_string(text)) {
            len += json_string_length(text) + sizeof("; ") - 1;
        }
    }

    if (len == 0) {
        ngx_str_set(detail, "Chatmaid refused the request");
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    detail->data = p;

    json_array_foreach(message, i, text) {

        s = json_string_value(text);

        if (s) {
            if (p != detail->data) {
                p = ngx_cpymem(p, "; ", 2);
            }

            p = ngx_cpymem(p, s, json_string_length(text));
        }
    }

    detail->len = p - detail->data;

    return NGX_OK;
}


/* The body's retryAfter, else Retry-After (RFC 9110, section 10.2.3): seconds,
 * at least 1, or 0 where neither says. */

static time_t
ngx_http_chatmaid_call_result_retry_after(ngx_http_chatmaid_call_t *call,
    json_t *answer)
{
    double            seconds;
    json_t           *member;
    time_t            time;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    member = json_object_get(answer, "retryAfter");

    if (json_is_number(member)) {
        seconds = json_number_value(member);

        if (seconds > NGX_HTTP_CHATMAID_MAX_RETRY_AFTER) {
            return NGX_HTTP_CHATMAID_MAX_RETRY_AFTER;
        }

        if (seconds >= 0) {
            time = (time_t) seconds;
            time += (seconds > (double) time);      /* a part counts as one */
            return ngx_max(time, 1);
        }
    }

    part = &call->upstream->headers_in.headers.part;
    h = ngx_http_chatmaid_request_header(part, "retry-after", NULL);

    return h ? ngx_http_chatmaid_call_result_delay(&h->value) : 0;
}


static time_t
ngx_http_chatmaid_call_result_delay(ngx_str_t *value)
{
    size_t  i;
    time_t  time;

    for (i = 0; i < value->len; i++) {
        if (value->data[i] < '0' || value->data[i] > '9') {
            break;
        }
    }

    if (i && i == value->len) {
        time = ngx_atotm(value->data, value->len);

        if (time == NGX_ERROR) {
            return NGX_HTTP_CHATMAID_MAX_RETRY_AFTER;   /* of too many digits */
        }

    } else {
        time = ngx_parse_http_time(value->data, value->len);

        if (time == NGX_ERROR) {
            return 0;
        }

        time -= ngx_time();
    }

    time = ngx_max(time, 1);

    return ngx_min(time, NGX_HTTP_CHATMAID_MAX_RETRY_AFTER);
}


/* By these Chatmaid says that it made no message. */

static ngx_uint_t
ngx_http_chatmaid_call_result_is_refusal(ngx_uint_t status)
{
    switch (status) {
    case 400:
    case 401:
    case 403:
    case 404:
    case 405:
    case 413:
    case 415:
    case 422:
    case 429:
        return 1;

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_http_chatmaid_call_result_is_success(ngx_http_chatmaid_flow_t *flow,
    json_t *answer)
{
    json_t  *data;

    data = json_object_get(answer, "data");

    if (data == NULL || json_is_false(json_object_get(answer, "success"))) {
        return 0;
    }

    return flow->message == NULL
           || json_string_length(json_object_get(data, "id")) != 0;
}
