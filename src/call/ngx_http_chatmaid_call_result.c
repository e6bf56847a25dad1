
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_call_error.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_request.h"


static ngx_int_t ngx_http_chatmaid_call_result_judge(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope,
    ngx_http_chatmaid_problem_t *problem);
static void ngx_http_chatmaid_call_result_count(ngx_http_chatmaid_call_t *call,
    ngx_int_t rc, ngx_http_chatmaid_problem_t *problem);
static ngx_http_chatmaid_outcome_e ngx_http_chatmaid_call_result_outcome(
    ngx_http_chatmaid_call_t *call, ngx_int_t rc,
    ngx_http_chatmaid_problem_t *problem);
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
static void ngx_http_chatmaid_call_result_log_accepted(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static ngx_http_chatmaid_alarm_id_t ngx_http_chatmaid_call_result_alarm(
    ngx_http_chatmaid_call_t *call);
static ngx_int_t ngx_http_chatmaid_call_result_broken(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_result_slow(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static const char *ngx_http_chatmaid_call_result_fault(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope);
static const char *ngx_http_chatmaid_call_result_misfit(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope);
static ngx_uint_t ngx_http_chatmaid_call_result_is_json(
    ngx_http_chatmaid_call_t *call);


ngx_int_t
ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope,
    ngx_http_chatmaid_problem_t *problem)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_call_result_judge(r, call, expect, envelope,
                                              problem);

    ngx_http_chatmaid_call_result_count(call, rc, problem);

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_call_result_judge(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope,
    ngx_http_chatmaid_problem_t *problem)
{
    ngx_str_t    error;
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
    case NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED:
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

    fault = ngx_http_chatmaid_call_result_fault(r, call, expect, envelope);

    if (fault == NULL && call->status < NGX_HTTP_BAD_REQUEST) {
        ngx_http_chatmaid_call_result_log_accepted(r, call);
        return NGX_OK;
    }

    if (fault == NULL) {
        error = call->answer;

        if (ngx_http_chatmaid_json_text_check(&error) == NGX_OK) {
            return ngx_http_chatmaid_call_error(r, call, problem, &error);
        }

        fault = "is not JSON";
    }

    if (call->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        return ngx_http_chatmaid_call_result_slow(r, call, problem);
    }

    if (call->status == NGX_HTTP_NOT_FOUND) {
        ngx_http_chatmaid_call_error_log_path(r, call);
        fault = "with status 404 did not come from Chatmaid's API: the "
                "gateway's log says more";
    }

    return ngx_http_chatmaid_call_result_invalid(r, call, problem, fault);
}


/* Counts the call if it was a try: if it was handed to an upstream, and not to
 * a kept connection that had been closed. */

static void
ngx_http_chatmaid_call_result_count(ngx_http_chatmaid_call_t *call,
    ngx_int_t rc, ngx_http_chatmaid_problem_t *problem)
{
    if (call->result == NGX_HTTP_CHATMAID_CALL_LIMITED
        || call->result == NGX_HTTP_CHATMAID_CALL_NOT_MADE
        || call->result == NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED)
    {
        return;
    }

    call->outcome = ngx_http_chatmaid_call_result_outcome(call, rc, problem);

    ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_TRY + call->outcome);
    ngx_http_chatmaid_counters_observe(&ngx_http_chatmaid_counters->tries,
                                       call->time);

    if (call->status == NGX_HTTP_UNAUTHORIZED
        || call->status == NGX_HTTP_FORBIDDEN)
    {
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_AUTH_FAILURE);
    }
}


static ngx_http_chatmaid_outcome_e
ngx_http_chatmaid_call_result_outcome(ngx_http_chatmaid_call_t *call,
    ngx_int_t rc, ngx_http_chatmaid_problem_t *problem)
{
    if (rc == NGX_OK) {
        return NGX_HTTP_CHATMAID_OUTCOME_SUCCESS;
    }

    switch (call->result) {

    case NGX_HTTP_CHATMAID_CALL_NOT_CONNECTED:
        return NGX_HTTP_CHATMAID_OUTCOME_CONNECT_ERROR;

    case NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT:
    case NGX_HTTP_CHATMAID_CALL_TIMEOUT:
        return NGX_HTTP_CHATMAID_OUTCOME_TIMEOUT;

    case NGX_HTTP_CHATMAID_CALL_NO_ANSWER:
        return NGX_HTTP_CHATMAID_OUTCOME_INVALID;

    default:
        break;
    }

    if (problem->code == NGX_HTTP_CHATMAID_UPSTREAM_INVALID_RESPONSE) {
        return NGX_HTTP_CHATMAID_OUTCOME_INVALID;
    }

    if (call->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        return NGX_HTTP_CHATMAID_OUTCOME_RATE_LIMITED;
    }

    return (call->status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
           ? NGX_HTTP_CHATMAID_OUTCOME_SERVER_ERROR
           : NGX_HTTP_CHATMAID_OUTCOME_CLIENT_ERROR;
}


/* Not retryable: nginx applies the limit once for each request, so another try
 * would bypass it. */

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
    case NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED:
        detail = "Chatmaid gave no answer";
        break;

    default:
        detail = "Chatmaid could not be reached";
    }

    ngx_http_chatmaid_problem_set(r->pool, problem, code, "%s", detail);

    problem->retryable = 1;
    problem->may_be_accepted =
                  (call->result != NGX_HTTP_CHATMAID_CALL_NOT_CONNECTED
                   && call->result != NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT);

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
                        !ngx_http_chatmaid_call_error_is_refusal(call->status);

    return NGX_DECLINED;
}


/* The caller has no API key, so a refused key is the gateway's fault.  It is
 * logged as an error only when the refusals begin, not for each call. */

static ngx_int_t
ngx_http_chatmaid_call_result_auth(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_uint_t                      level;
    const char                     *cure;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    level = ngx_http_chatmaid_alarm_meet(mcf->alarms,
                                   ngx_http_chatmaid_call_result_alarm(call))
            ? NGX_LOG_ERR : NGX_LOG_INFO;

    cure = (call->status == NGX_HTTP_UNAUTHORIZED)
           ? "put a valid one there and reload nginx"
           : "give it the right to this in Chatmaid's dashboard";

    ngx_log_error(level, r->connection->log, 0,
                  "chatmaid refused the API key of \"%V\" with status %ui: %s; "
                  "meanwhile calls are answered 502",
                  &call->conf->api_key->file, call->status, cure);

    return ngx_http_chatmaid_problem_set(r->pool, problem,
                                    NGX_HTTP_CHATMAID_UPSTREAM_AUTH,
                                    "Chatmaid refused the gateway's API key");
}


static void
ngx_http_chatmaid_call_result_log_accepted(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    if (ngx_http_chatmaid_alarm_pass(mcf->alarms,
                                   ngx_http_chatmaid_call_result_alarm(call)))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid accepts the API key of \"%V\" again",
                      &call->conf->api_key->file);
    }
}


/* The alarm is named by the key, not by its file, so that a new key in the same
 * file has its own alarm. */

static ngx_http_chatmaid_alarm_id_t
ngx_http_chatmaid_call_result_alarm(ngx_http_chatmaid_call_t *call)
{
    ngx_str_t  key;

    key.data = call->conf->api_key->fingerprint;
    key.len = sizeof(call->conf->api_key->fingerprint);

    return ngx_http_chatmaid_alarm_id("key", &key);
}


/* A 5xx.  A status that a proxy in front of Chatmaid may send is worth another
 * try. */

static ngx_int_t
ngx_http_chatmaid_call_result_broken(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_str_t  answer;

    ngx_http_chatmaid_problem_set(r->pool, problem,
                                  NGX_HTTP_CHATMAID_UPSTREAM_ERROR,
                                  "Chatmaid failed with status %ui",
                                  call->status);
    problem->may_be_accepted = 1;

    switch (call->status) {

    case NGX_HTTP_BAD_GATEWAY:
    case NGX_HTTP_SERVICE_UNAVAILABLE:
    case NGX_HTTP_GATEWAY_TIME_OUT:
        answer = call->answer;

        if (ngx_http_chatmaid_json_text_check(&answer) != NGX_OK) {
            ngx_str_set(&answer, "");
        }

        problem->retryable = 1;
        problem->retry_after = ngx_http_chatmaid_call_error_retry_after(call,
                                                                     &answer);
    }

    return NGX_DECLINED;
}


/* A 429 whose body can't be used, perhaps an HTML page of a proxy in front of
 * Chatmaid: it means a rate limit all the same. */

static ngx_int_t
ngx_http_chatmaid_call_result_slow(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_str_t  none;

    ngx_http_chatmaid_problem_set(r->pool, problem,
                                  NGX_HTTP_CHATMAID_RATE_LIMITED,
                                  "Chatmaid's rate limit was reached");

    ngx_str_set(&none, "");

    problem->retryable = 1;
    problem->limited = 1;
    problem->retry_after = ngx_http_chatmaid_call_error_retry_after(call,
                                                                    &none);
    return NGX_DECLINED;
}


/* Returns the reason why an answer can't be used, or NULL.  Reads the envelope
 * of a success. */

static const char *
ngx_http_chatmaid_call_result_fault(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope)
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

    /* the module asks for no encoding, but the internal location may; the
     * answer is captured before nginx's gunzip filter could decode it */

    if (ngx_http_chatmaid_request_is_encoded(
                                    &call->upstream->headers_in.headers.part))
    {
        return "has a Content-Encoding, which the gateway can't decode";
    }

    return (call->status < NGX_HTTP_SPECIAL_RESPONSE)
           ? ngx_http_chatmaid_call_result_misfit(r, call, expect, envelope)
           : NULL;
}


static const char *
ngx_http_chatmaid_call_result_misfit(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect,
    ngx_http_chatmaid_call_envelope_t *envelope)
{
    if (expect == NGX_HTTP_CHATMAID_EXPECT_JSON) {
        return ngx_http_chatmaid_call_result_is_json(call) ? NULL
                                                           : "is not JSON";
    }

    switch (ngx_http_chatmaid_call_envelope_read(r->pool, &call->answer,
                                                 envelope))
    {
    case NGX_OK:
        return ngx_http_chatmaid_call_result_is_success(envelope, expect)
               ? NULL : "is JSON, but not what was asked for";

    case NGX_DECLINED:
        return "is not JSON";

    default:
        return "did not fit into memory";
    }
}


/* Judges the answer by its Content-Type and its first byte; it is not
 * parsed. */

static ngx_uint_t
ngx_http_chatmaid_call_result_is_json(ngx_http_chatmaid_call_t *call)
{
    u_char  *p, *last;

    if (call->answer.len == 0
        || !ngx_http_chatmaid_request_is_json(
                                      call->upstream->headers_in.content_type))
    {
        return 0;
    }

    p = call->answer.data;
    last = p + call->answer.len;

    if (last - p >= 3 && ngx_memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;                 /* a byte order mark */
    }

    while (p < last && (*p == ' ' || *p == '\t' || *p == CR || *p == LF)) {
        p++;
    }

    return p < last && (*p == '{' || *p == '[');
}


ngx_uint_t
ngx_http_chatmaid_call_result_is_success(
    ngx_http_chatmaid_call_envelope_t *envelope,
    ngx_http_chatmaid_call_result_expect_e expect)
{
    if (envelope->failed || envelope->data.len == 0) {
        return 0;
    }

    return expect != NGX_HTTP_CHATMAID_EXPECT_MESSAGE || envelope->id.len;
}
