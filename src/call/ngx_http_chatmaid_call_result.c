
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_request.h"


#define NGX_HTTP_CHATMAID_MAX_RETRY_AFTER  (30 * 24 * 3600)    /* seconds */

/* The most that is kept of an error's "message". */
#define NGX_HTTP_CHATMAID_MAX_MESSAGES     100


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
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer);
static void ngx_http_chatmaid_call_result_limited(
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer);
static ngx_int_t ngx_http_chatmaid_call_result_messages(ngx_http_request_t *r,
    ngx_str_t *answer, ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_result_message(ngx_http_request_t *r,
    ngx_str_t *value, json_t *messages);
static ngx_int_t ngx_http_chatmaid_call_result_detail(ngx_http_request_t *r,
    json_t *messages, ngx_str_t *detail);
static time_t ngx_http_chatmaid_call_result_retry_after(
    ngx_http_chatmaid_call_t *call, ngx_str_t *answer);
static time_t ngx_http_chatmaid_call_result_delay(ngx_str_t *value);
static ngx_uint_t ngx_http_chatmaid_call_result_is_refusal(ngx_uint_t status);
static ngx_uint_t ngx_http_chatmaid_call_result_is_encoded(
    ngx_http_chatmaid_call_t *call);
static ngx_uint_t ngx_http_chatmaid_call_result_is_success(
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer);


ngx_int_t
ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer)
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

    if (ngx_http_chatmaid_call_result_is_encoded(call)) {
        return ngx_http_chatmaid_call_result_invalid(r, flow,
                       "has a Content-Encoding, which the gateway can't decode");
    }

    if (flow->reply->native && flow->message == NULL && call->status < 300) {
        return ngx_http_chatmaid_call_result_passed(r, flow);
    }

    *answer = call->answer;

    if (ngx_http_chatmaid_json_text_check(answer) != NGX_OK) {
        return ngx_http_chatmaid_call_result_invalid(r, flow, "is not JSON");
    }

    if (call->status >= NGX_HTTP_BAD_REQUEST) {
        return ngx_http_chatmaid_call_result_refused(r, flow, answer);
    }

    if (!ngx_http_chatmaid_call_result_is_success(flow, answer)) {
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

    p = call->answer.data;
    last = p + call->answer.len;

    if (last - p >= 3 && ngx_memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;                 /* a byte order mark */
    }

    while (p < last && (*p == ' ' || *p == '\t' || *p == CR || *p == LF)) {
        p++;
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
    ngx_str_t                  answer;
    ngx_http_chatmaid_call_t  *call;

    call = flow->call;

    ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                              "Chatmaid failed with status %ui", call->status);
    flow->reply->problem.may_be_accepted = 1;

    switch (call->status) {

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        answer = call->answer;

        if (ngx_http_chatmaid_json_text_check(&answer) != NGX_OK) {
            ngx_str_null(&answer);
        }

        flow->reply->problem.retryable = 1;
        flow->reply->problem.retry_after =
                      ngx_http_chatmaid_call_result_retry_after(call, &answer);
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
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer)
{
    ngx_str_t                     value;
    ngx_uint_t                    code, status;
    ngx_http_chatmaid_problem_t  *problem;

    status = flow->call->status;

    /* what no code says is not the caller's fault, as far as is known */

    code = ngx_http_chatmaid_problem_code(status);

    if (code == NGX_HTTP_CHATMAID_INVALID_REQUEST
        && status != NGX_HTTP_BAD_REQUEST && status != 422)
    {
        code = NGX_HTTP_CHATMAID_UPSTREAM_ERROR;
    }

    problem = &flow->reply->problem;

    ngx_http_chatmaid_problem_set(r->pool, problem, code, "");

    problem->status = status;
    problem->may_be_accepted =
                            !ngx_http_chatmaid_call_result_is_refusal(status);
    problem->retry_after =
                 ngx_http_chatmaid_call_result_retry_after(flow->call, answer);

    if (ngx_http_chatmaid_json_text_member(answer, "error", &value)
        && ngx_http_chatmaid_json_text_string(r->pool, &value,
                                              NGX_HTTP_CHATMAID_JSON_UTF8,
                                              &problem->error)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_call_result_messages(r, answer, problem) != NGX_OK) {
        return NGX_ERROR;
    }

    if (status == NGX_HTTP_TOO_MANY_REQUESTS) {
        ngx_http_chatmaid_call_result_limited(flow, answer);
    }

    return NGX_DECLINED;
}


static void
ngx_http_chatmaid_call_result_limited(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *answer)
{
    flow->reply->problem.retryable = 1;
    flow->reply->problem.limited = 1;
    flow->reply->problem.retry_after =
                 ngx_http_chatmaid_call_result_retry_after(flow->call, answer);
}


/* "message" is an array of strings; some sources say one string, or none. */

static ngx_int_t
ngx_http_chatmaid_call_result_messages(ngx_http_request_t *r,
    ngx_str_t *answer, ngx_http_chatmaid_problem_t *problem)
{
    ngx_int_t   rc;
    ngx_str_t   value, item;

    problem->messages = ngx_http_chatmaid_json_keep(r->pool, json_array());

    if (problem->messages == NULL) {
        return NGX_ERROR;
    }

    if (!ngx_http_chatmaid_json_text_member(answer, "message", &value)) {
        ngx_str_null(&value);
    }

    rc = ngx_http_chatmaid_call_result_message(r, &value, problem->messages);

    while (rc == NGX_OK
           && json_array_size(problem->messages)
              < NGX_HTTP_CHATMAID_MAX_MESSAGES
           && ngx_http_chatmaid_json_text_next(&value, &item))
    {
        rc = ngx_http_chatmaid_call_result_message(r, &item,
                                                   problem->messages);
    }

    return (rc == NGX_OK)
           ? ngx_http_chatmaid_call_result_detail(r, problem->messages,
                                                  &problem->detail)
           : NGX_ERROR;
}


/* Adds a value to the messages, if it is a string. */

static ngx_int_t
ngx_http_chatmaid_call_result_message(ngx_http_request_t *r, ngx_str_t *value,
    json_t *messages)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    rc = ngx_http_chatmaid_json_text_string(r->pool, value,
                                            NGX_HTTP_CHATMAID_JSON_UTF8,
                                            &text);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    return json_array_append_new(messages,
                                 ngx_http_chatmaid_json_string(&text)) == 0
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_call_result_detail(ngx_http_request_t *r, json_t *messages,
    ngx_str_t *detail)
{
    size_t   i, len;
    u_char  *p;
    json_t  *text;

    len = 0;

    json_array_foreach(messages, i, text) {
        len += json_string_length(text) + sizeof("; ") - 1;
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

    json_array_foreach(messages, i, text) {

        if (i) {
            p = ngx_cpymem(p, "; ", 2);
        }

        p = ngx_cpymem(p, json_string_value(text), json_string_length(text));
    }

    detail->len = p - detail->data;

    return NGX_OK;
}


/* The body's retryAfter, else Retry-After (RFC 9110, section 10.2.3): seconds,
 * at least 1, or 0 if neither says. */

static time_t
ngx_http_chatmaid_call_result_retry_after(ngx_http_chatmaid_call_t *call,
    ngx_str_t *answer)
{
    double            seconds;
    time_t            time;
    ngx_str_t         value;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (ngx_http_chatmaid_json_text_member(answer, "retryAfter", &value)
        && value.data[0] >= '0' && value.data[0] <= '9')
    {
        /* what follows a member's value ends the number */
        seconds = strtod((char *) value.data, NULL);

        if (seconds > NGX_HTTP_CHATMAID_MAX_RETRY_AFTER) {
            return NGX_HTTP_CHATMAID_MAX_RETRY_AFTER;
        }

        time = (time_t) seconds;
        time += (seconds > (double) time);      /* a part counts as one */

        return ngx_max(time, 1);
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


/* No encoding is asked for, but the location may ask.  Its filters, gunzip among
 * them, come after the answer is captured. */

static ngx_uint_t
ngx_http_chatmaid_call_result_is_encoded(ngx_http_chatmaid_call_t *call)
{
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  identity = ngx_string("identity");

    part = &call->upstream->headers_in.headers.part;
    h = ngx_http_chatmaid_request_header(part, "content-encoding", NULL);

    return h && h->value.len
           && (h->value.len != identity.len
               || ngx_strncasecmp(h->value.data, identity.data, identity.len)
                  != 0);
}


static ngx_uint_t
ngx_http_chatmaid_call_result_is_success(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *answer)
{
    ngx_str_t  data, value;

    if (!ngx_http_chatmaid_json_text_member(answer, "data", &data)
        || (ngx_http_chatmaid_json_text_member(answer, "success", &value)
            && value.data[0] == 'f'))
    {
        return 0;
    }

    if (flow->message == NULL) {
        return 1;
    }

    /* a string that is not "" */

    return ngx_http_chatmaid_json_text_member(&data, "id", &value)
           && value.data[0] == '"' && value.len > 2;
}
