
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_escape.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_request.h"


#define NGX_HTTP_CHATMAID_MAX_RETRY_AFTER  (30 * 24 * 3600)    /* seconds */
#define NGX_HTTP_CHATMAID_MAX_NUMBER       63                  /* characters */

/* The most strings that are kept of an error's "message". */
#define NGX_HTTP_CHATMAID_MAX_MESSAGES     100


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
static const char *ngx_http_chatmaid_call_result_fault(
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect, ngx_str_t *answer);
static ngx_uint_t ngx_http_chatmaid_call_result_is_json(
    ngx_http_chatmaid_call_t *call);
static ngx_int_t ngx_http_chatmaid_call_result_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    ngx_str_t *answer);
static ngx_int_t ngx_http_chatmaid_call_result_not_found(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static void ngx_http_chatmaid_call_result_log_path(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static ngx_int_t ngx_http_chatmaid_call_result_messages(ngx_http_request_t *r,
    ngx_str_t *answer, json_t *messages);
static ngx_int_t ngx_http_chatmaid_call_result_message(ngx_http_request_t *r,
    ngx_str_t *value, json_t *messages);
static ngx_int_t ngx_http_chatmaid_call_result_detail(ngx_http_request_t *r,
    json_t *messages, ngx_str_t *detail);
static time_t ngx_http_chatmaid_call_result_retry_after(
    ngx_http_chatmaid_call_t *call, ngx_str_t *answer);
static time_t ngx_http_chatmaid_call_result_delay(ngx_str_t *value);
static ngx_uint_t ngx_http_chatmaid_call_result_is_refusal(ngx_uint_t status);


ngx_int_t
ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect, ngx_str_t *answer,
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

    fault = ngx_http_chatmaid_call_result_fault(call, expect, answer);

    if (fault == NULL && call->status >= NGX_HTTP_BAD_REQUEST) {
        return ngx_http_chatmaid_call_result_refused(r, call, problem, answer);
    }

    if (fault == NULL) {
        ngx_http_chatmaid_call_result_log_accepted(r, call);
        return NGX_OK;
    }

    if (call->status == NGX_HTTP_TOO_MANY_REQUESTS) {
        return ngx_http_chatmaid_call_result_slow(r, call, problem);
    }

    if (call->status == NGX_HTTP_NOT_FOUND) {
        ngx_http_chatmaid_call_result_log_path(r, call);
        fault = "with status 404 is none of Chatmaid's: the way there is "
                "wrong, the gateway's log says more";
    }

    return ngx_http_chatmaid_call_result_invalid(r, call, problem, fault);
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
                        !ngx_http_chatmaid_call_result_is_refusal(call->status);

    return NGX_DECLINED;
}


/* The caller has no key: a refused one is the gateway's fault.  An operator is
 * told when it begins to be refused, not for each call. */

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


/* A new key in the same file has an alarm of its own. */

static ngx_http_chatmaid_alarm_id_t
ngx_http_chatmaid_call_result_alarm(ngx_http_chatmaid_call_t *call)
{
    ngx_str_t  key;

    key.data = call->conf->api_key->fingerprint;
    key.len = sizeof(call->conf->api_key->fingerprint);

    return ngx_http_chatmaid_alarm_id("key", &key);
}


/* A 5xx.  Those that a proxy in front of Chatmaid may give are worth another
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
            ngx_str_null(&answer);
        }

        problem->retryable = 1;
        problem->retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                      &answer);
    }

    return NGX_DECLINED;
}


/* A 429 is a limit in whatever form: this one may be the page of a proxy in
 * front of Chatmaid. */

static ngx_int_t
ngx_http_chatmaid_call_result_slow(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    ngx_str_t  none;

    ngx_http_chatmaid_problem_set(r->pool, problem,
                                  NGX_HTTP_CHATMAID_RATE_LIMITED,
                                  "Chatmaid's rate limit was reached");

    ngx_str_null(&none);

    problem->retryable = 1;
    problem->limited = 1;
    problem->retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                     &none);
    return NGX_DECLINED;
}


/* Why an answer can't be used; or NULL, and its text. */

static const char *
ngx_http_chatmaid_call_result_fault(ngx_http_chatmaid_call_t *call,
    ngx_http_chatmaid_call_result_expect_e expect, ngx_str_t *answer)
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

    /* we ask for no encoding, but the location may; the answer is captured
     * before its gunzip filter */

    if (ngx_http_chatmaid_request_is_encoded(
                                    &call->upstream->headers_in.headers.part))
    {
        return "has a Content-Encoding, which the gateway can't decode";
    }

    if (expect == NGX_HTTP_CHATMAID_EXPECT_JSON
        && call->status < NGX_HTTP_SPECIAL_RESPONSE)
    {
        return ngx_http_chatmaid_call_result_is_json(call) ? NULL
                                                           : "is not JSON";
    }

    *answer = call->answer;

    if (ngx_http_chatmaid_json_text_check(answer) != NGX_OK) {
        return "is not JSON";
    }

    if (call->status < NGX_HTTP_SPECIAL_RESPONSE
        && !ngx_http_chatmaid_call_result_is_success(answer, expect))
    {
        return "is JSON, but not what was asked for";
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
ngx_http_chatmaid_call_result_is_success(ngx_str_t *answer,
    ngx_http_chatmaid_call_result_expect_e expect)
{
    ngx_str_t  data, value;

    if (!ngx_http_chatmaid_json_text_member(answer, "data", &data)
        || (ngx_http_chatmaid_json_text_member(answer, "success", &value)
            && value.data[0] == 'f'))
    {
        return 0;
    }

    if (expect != NGX_HTTP_CHATMAID_EXPECT_MESSAGE) {
        return 1;
    }

    /* a string that is not empty */

    return ngx_http_chatmaid_json_text_member(&data, "id", &value)
           && value.data[0] == '"' && value.len > 2;
}


/* Chatmaid's own error: its status, message and retryAfter are kept. */

static ngx_int_t
ngx_http_chatmaid_call_result_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    ngx_str_t *answer)
{
    ngx_str_t   value;
    ngx_uint_t  code, status;

    status = call->status;

    /* a status without a code of its own need not be the caller's fault */

    code = ngx_http_chatmaid_problem_code(status);

    if (code == NGX_HTTP_CHATMAID_INVALID_REQUEST
        && status != NGX_HTTP_BAD_REQUEST && status != 422)
    {
        code = NGX_HTTP_CHATMAID_UPSTREAM_ERROR;
    }

    ngx_http_chatmaid_problem_set(r->pool, problem, code, "");

    problem->status = status;
    problem->may_be_accepted =
                              !ngx_http_chatmaid_call_result_is_refusal(status);
    problem->retry_after = ngx_http_chatmaid_call_result_retry_after(call,
                                                                     answer);

    if (status == NGX_HTTP_TOO_MANY_REQUESTS) {
        problem->retryable = 1;
        problem->limited = 1;
    }

    if (ngx_http_chatmaid_json_text_member(answer, "error", &value)
        && ngx_http_chatmaid_json_text_string(r->pool, &value,
                                              NGX_HTTP_CHATMAID_JSON_UTF8,
                                              &problem->error)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    problem->messages = ngx_http_chatmaid_json_keep(r->pool, json_array());

    if (problem->messages == NULL
        || ngx_http_chatmaid_call_result_messages(r, answer,
                                                  problem->messages)
           != NGX_OK
        || ngx_http_chatmaid_call_result_detail(r, problem->messages,
                                                &problem->detail)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return (status == NGX_HTTP_NOT_FOUND)
           ? ngx_http_chatmaid_call_result_not_found(r, call, problem)
           : NGX_DECLINED;
}


/* A 404 is about the path itself, about the sender of a message, or about what
 * the path names. */

static ngx_int_t
ngx_http_chatmaid_call_result_not_found(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    u_char      *p;
    const char  *why, *text;

    static const char  cannot[] = "Cannot ";    /* "GET /v1/nothing" */

    text = json_string_value(json_array_get(problem->messages, 0));

    if (call->exists
        || (text && ngx_strncmp(text, cannot, sizeof(cannot) - 1) == 0))
    {
        ngx_http_chatmaid_call_result_log_path(r, call);

        why = "Chatmaid has no such path: the way to it is wrong, the "
              "gateway's log says more";

    } else if (call->body && text
               && (ngx_strstr(text, "hone") || ngx_strstr(text, "ender")))
    {
        why = "Chatmaid does not know the sender, or its phone is not "
              "connected";

    } else {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, problem->detail.len + sizeof(" ()") - 1
                             + ngx_strlen(why));
    if (p == NULL) {
        return NGX_ERROR;
    }

    problem->detail.len = ngx_sprintf(p, "%V (%s)", &problem->detail, why) - p;
    problem->detail.data = p;

    return NGX_DECLINED;
}


static void
ngx_http_chatmaid_call_result_log_path(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    u_char  *last;
    u_char   path[NGX_HTTP_CHATMAID_ESCAPE_SIZE];

    last = ngx_http_chatmaid_escape(path, call->path.data, call->path.len);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid was answered 404 for the path \"/%*s\" itself: "
                  "\"proxy_pass\" of \"%V\" must have Chatmaid's host and \"/\" "
                  "alone, and what is in between must pass on the path",
                  (size_t) (last - path), path, &call->conf->gateway->uri);
}


/* "message" is an array of strings; the documents also know one string, and
 * none. */

static ngx_int_t
ngx_http_chatmaid_call_result_messages(ngx_http_request_t *r,
    ngx_str_t *answer, json_t *messages)
{
    ngx_int_t  rc;
    ngx_str_t  value, item;

    if (!ngx_http_chatmaid_json_text_member(answer, "message", &value)) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_call_result_message(r, &value, messages);

    while (rc == NGX_OK
           && json_array_size(messages) < NGX_HTTP_CHATMAID_MAX_MESSAGES
           && ngx_http_chatmaid_json_text_next(&value, &item))
    {
        rc = ngx_http_chatmaid_call_result_message(r, &item, messages);
    }

    return rc;
}


/* Adds a value, if it is a string. */

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


/* The body's retryAfter, else Retry-After (RFC 9110, section 10.2.3), in
 * seconds: at least 1, or 0 if there is neither. */

static time_t
ngx_http_chatmaid_call_result_retry_after(ngx_http_chatmaid_call_t *call,
    ngx_str_t *answer)
{
    double            seconds;
    time_t            time;
    u_char            number[NGX_HTTP_CHATMAID_MAX_NUMBER + 1];
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    if (ngx_http_chatmaid_json_text_member(answer, "retryAfter", &value)
        && value.data[0] >= '0' && value.data[0] <= '9')
    {
        /* strtod() reads up to a NUL; digits beyond these make no difference */
        (void) ngx_cpystrn(number, value.data,
                           ngx_min(value.len + 1, sizeof(number)));

        seconds = strtod((char *) number, NULL);

        if (seconds > NGX_HTTP_CHATMAID_MAX_RETRY_AFTER) {
            return NGX_HTTP_CHATMAID_MAX_RETRY_AFTER;
        }

        time = (time_t) seconds;
        time += (seconds > (double) time);      /* a part counts as one */

        return ngx_max(time, 1);
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


/* By a 4xx Chatmaid says that it made no message, but for 408 (it has waited for
 * something) and 409 (there may be one already). */

static ngx_uint_t
ngx_http_chatmaid_call_result_is_refusal(ngx_uint_t status)
{
    return status >= NGX_HTTP_BAD_REQUEST
           && status < NGX_HTTP_INTERNAL_SERVER_ERROR
           && status != NGX_HTTP_REQUEST_TIME_OUT
           && status != NGX_HTTP_CONFLICT;
}
