
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_request.h"


#define NGX_HTTP_CHATMAID_MAX_RETRY_AFTER  (30 * 24 * 3600)    /* seconds */


static ngx_int_t ngx_http_chatmaid_call_result_limited(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_result_not_made(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_result_unanswered(
    ngx_http_request_t *r, ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_result_invalid(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    const char *what);
static ngx_int_t ngx_http_chatmaid_call_result_auth(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_result_broken(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static const char *ngx_http_chatmaid_call_result_fault(
    ngx_http_chatmaid_call_t *call);
static ngx_uint_t ngx_http_chatmaid_call_result_is_json(
    ngx_http_chatmaid_call_t *call);
static ngx_uint_t ngx_http_chatmaid_call_result_is_success(json_t *answer,
    ngx_http_chatmaid_call_result_expect_e expect);
static ngx_int_t ngx_http_chatmaid_call_result_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    json_t *answer);
static ngx_int_t ngx_http_chatmaid_call_result_detail(ngx_http_request_t *r,
    json_t *answer, ngx_str_t *detail);
static time_t ngx_http_chatmaid_call_result_retry_after(
    ngx_http_chatmaid_call_t *call, json_t *answer);
static time_t ngx_http_chatmaid_call_result_delay(ngx_str_t *value);
static ngx_uint_t ngx_http_chatmaid_call_result_is_refusal(ngx_uint_t status);


ngx_int_t
ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect, json_t **answer,
    ngx_http_chatmaid_problem_t *problem)
{
    const char  *fault;

    switch (call->result) {

    case NGX_HTTP_CHATMAID_CALL_LIMITED:
        return ngx_http_chatmaid_call_result_limited(r, call, problem);

    case NGX_HTTP_CHATMAID_CALL_NOT_MADE:
        return ngx_http_chatmaid_call_result_not_made(r, call, problem);

    case NGX_HTTP_CHATMAID_CALL_NOT_CONNECTED:
    case NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT:
    case NGX_HTTP_CHATMAID_CALL_NO_ANSWER:
    case NGX_HTTP_CHATMAID_CALL_TIMEOUT:
        return ngx_http_chatmaid_call_result_unanswered(r, call, problem);

    case NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM:
        return ngx_http_chatmaid_call_result_invalid(r, call, problem,
                                    "came from something else than Chatmaid");

    default:
        break;
    }

    /* these statuses say enough, whatever the rest of the answer is */

    if (call->status == NGX_HTTP_UNAUTHORIZED
        || call->status == NGX_HTTP_FORBIDDEN)
    {
        return ngx_http_chatmaid_call_result_auth(r, call, problem);
    }

    if (call->status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return ngx_http_chatmaid_call_result_broken(r, call, problem);
    }

    fault = ngx_http_chatmaid_call_result_fault(call);

    if (fault) {
        return ngx_http_chatmaid_call_result_invalid(r, call, problem, fault);
    }

    if (expect == NGX_HTTP_CHATMAID_EXPECT_JSON
        && call->status < NGX_HTTP_SPECIAL_RESPONSE)
    {
        return ngx_http_chatmaid_call_result_is_json(call)
               ? NGX_OK
               : ngx_http_chatmaid_call_result_invalid(r, call, problem,
                                                       "is not JSON");
    }

    *answer = ngx_http_chatmaid_json_parse(r->pool, &call->answer);

    if (*answer == NULL) {
        return ngx_http_chatmaid_call_result_invalid(r, call, problem,
                                                     "is not JSON");
    }

    if (call->status >= NGX_HTTP_BAD_REQUEST) {
        return ngx_http_chatmaid_call_result_refused(r, call, problem, *answer);
    }

    if (!ngx_http_chatmaid_call_result_is_success(*answer, expect)) {
        return ngx_http_chatmaid_call_result_invalid(r, call, problem,
                                      "is JSON, but not what was asked for");
    }

    return NGX_OK;
}


/* Another try would only get round a limit that counts each request once. */

static ngx_int_t
ngx_http_chatmaid_call_result_limited(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    return ngx_http_chatmaid_problem_set(r->pool, problem,
                                     ngx_http_chatmaid_problem_code(call->rc),
                                     "the gateway's own limit is reached");
}


static ngx_int_t
ngx_http_chatmaid_call_result_not_made(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid sent nothing through \"%V\": %s",
                  &call->conf->gateway->uri, call->reason);

    return ngx_http_chatmaid_problem_set(r->pool, problem,
                                         NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                                         "the gateway could not call Chatmaid, "
                                         "its log says why");
}


static ngx_int_t
ngx_http_chatmaid_call_result_unanswered(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_uint_t   code;
    const char  *detail;

    code = NGX_HTTP_CHATMAID_UPSTREAM_ERROR;

    switch (call->result) {

    case NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT:
        code = NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT;
        detail = "Chatmaid could not be reached in time";
        break;

    case NGX_HTTP_CHATMAID_CALL_TIMEOUT:
        code = NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT;
        detail = "Chatmaid did not answer in time";
        break;

    case NGX_HTTP_CHATMAID_CALL_NO_ANSWER:
        detail = "Chatmaid gave no answer";
        break;

    default:
        detail = "Chatmaid could not be reached";
    }

    ngx_http_chatmaid_problem_set(r->pool, problem, code, "%s", detail);

    problem->retryable = 1;
    problem->may_be_accepted =
                          (call->result == NGX_HTTP_CHATMAID_CALL_NO_ANSWER
                           || call->result == NGX_HTTP_CHATMAID_CALL_TIMEOUT);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_chatmaid_call_result_invalid(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    const char *what)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid answer with status %ui %s", call->status, what);

    ngx_http_chatmaid_problem_set(r->pool, problem,
                                  NGX_HTTP_CHATMAID_UPSTREAM_INVALID_RESPONSE,
                                  "the answer %s", what);

    problem->may_be_accepted =
                        !ngx_http_chatmaid_call_result_is_refusal(call->status);

    /* a 429 is a limit in whatever form: it may be the page of a proxy in front
     * of Chatmaid */

    if (call->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        problem->retryable = 1;
        problem->limited = 1;
        problem->retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                         NULL);
    }

    return NGX_DECLINED;
}


/* The caller has no key: a refused one is the gateway's fault. */

static ngx_int_t
ngx_http_chatmaid_call_result_auth(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid refused the API key of \"%V\" with status %ui",
                  &call->conf->api_key->file, call->status);

    return ngx_http_chatmaid_problem_set(r->pool, problem,
                                    NGX_HTTP_CHATMAID_UPSTREAM_AUTH,
                                    "Chatmaid refused the gateway's API key");
}


/* A 5xx.  Those that a proxy in front of Chatmaid may give are worth another
 * try. */

static ngx_int_t
ngx_http_chatmaid_call_result_broken(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    json_t  *answer;

    ngx_http_chatmaid_problem_set(r->pool, problem,
                                  NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                                  "Chatmaid failed with status %ui",
                                  call->status);
    problem->may_be_accepted = 1;

    switch (call->status) {

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        answer = ngx_http_chatmaid_json_parse(r->pool, &call->answer);

        problem->retryable = 1;
        problem->retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                       answer);
    }

    return NGX_DECLINED;
}


/* Why an answer can't be used, or NULL. */

static const char *
ngx_http_chatmaid_call_result_fault(ngx_http_chatmaid_call_t *call)
{
    switch (call->result) {

    case NGX_HTTP_CHATMAID_CALL_TOO_LARGE:
        return "is larger than 4 MiB";

    case NGX_HTTP_CHATMAID_CALL_NO_MEMORY:
        return "did not fit into memory";

    case NGX_HTTP_CHATMAID_CALL_CUT_SHORT:
        return "was cut short";

    default:
        break;
    }

    if (call->status < NGX_HTTP_OK
        || (call->status >= NGX_HTTP_SPECIAL_RESPONSE
            && call->status < NGX_HTTP_BAD_REQUEST))
    {
        return "has an unexpected status";
    }

    return NULL;
}


/* By its Content-Type and its first byte: it is not parsed. */

static ngx_uint_t
ngx_http_chatmaid_call_result_is_json(ngx_http_chatmaid_call_t *call)
{
    u_char  *p, *last;

    if (!ngx_http_chatmaid_request_is_json(
                                      call->upstream->headers_in.content_type))
    {
        return 0;
    }

    last = call->answer.data + call->answer.len;

    for (p = call->answer.data;
         p < last && (*p == ' ' || *p == '\t' || *p == CR || *p == LF);
         p++)
    {
        /* void */
    }

    return p < last && (*p == '{' || *p == '[');
}


static ngx_uint_t
ngx_http_chatmaid_call_result_is_success(json_t *answer,
    ngx_http_chatmaid_call_result_expect_e expect)
{
    json_t  *data;

    data = json_object_get(answer, "data");

    if (data == NULL || json_is_false(json_object_get(answer, "success"))) {
        return 0;
    }

    return expect != NGX_HTTP_CHATMAID_EXPECT_MESSAGE
           || json_string_length(json_object_get(data, "id")) != 0;
}


/* Chatmaid's own error: its status, message and retryAfter are kept. */

static ngx_int_t
ngx_http_chatmaid_call_result_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    json_t *answer)
{
    ngx_uint_t  code, status;
    ngx_str_t   detail;

    status = call->status;

    if (ngx_http_chatmaid_call_result_detail(r, answer, &detail) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a status without a code of its own need not be the caller's fault */

    code = ngx_http_chatmaid_problem_code(status);

    if (code == NGX_HTTP_CHATMAID_INVALID_REQUEST
        && status != NGX_HTTP_BAD_REQUEST && status != 422)
    {
        code = NGX_HTTP_CHATMAID_UPSTREAM_ERROR;
    }

    ngx_http_chatmaid_problem_set(r->pool, problem, code, "");

    problem->detail = detail;               /* of any length */
    problem->status = status;
    problem->may_be_accepted =
                              !ngx_http_chatmaid_call_result_is_refusal(status);
    problem->retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                     answer);
    problem->error = json_string_value(json_object_get(answer, "error"));
    problem->messages = json_object_get(answer, "message");

    if (status == NGX_HTTP_TOO_MANY_REQUESTS) {
        problem->retryable = 1;
        problem->limited = 1;
    }

    return NGX_DECLINED;
}


/* "message" is an array of strings; the documents also know one string, and
 * none. */

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


/* The body's retryAfter, else Retry-After (RFC 9110, section 10.2.3), in
 * seconds: at least 1, or 0 if there is neither. */

static time_t
ngx_http_chatmaid_call_result_retry_after(ngx_http_chatmaid_call_t *call,
    json_t *answer)
{
    double            seconds;
    time_t            time;
    json_t           *member;
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

    h = ngx_http_chatmaid_request_header(
                                    &call->upstream->headers_in.headers.part,
                                    "retry-after", NULL);

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
