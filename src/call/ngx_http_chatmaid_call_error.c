
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_error.h"
#include "ngx_http_chatmaid_escape.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_request.h"


#define NGX_HTTP_CHATMAID_MAX_RETRY_AFTER  (30 * 24 * 3600)    /* seconds */
#define NGX_HTTP_CHATMAID_MAX_NUMBER       63                  /* characters */

/* How many strings of an error's "message" are kept at most. */
#define NGX_HTTP_CHATMAID_MAX_MESSAGES     100


static ngx_int_t ngx_http_chatmaid_call_error_not_found(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem);
static ngx_int_t ngx_http_chatmaid_call_error_messages(ngx_http_request_t *r,
    ngx_str_t *answer, json_t *messages);
static ngx_int_t ngx_http_chatmaid_call_error_message(ngx_http_request_t *r,
    ngx_str_t *value, json_t *messages);
static ngx_int_t ngx_http_chatmaid_call_error_detail(ngx_http_request_t *r,
    json_t *messages, ngx_str_t *detail);
static time_t ngx_http_chatmaid_call_error_delay(ngx_str_t *value);


ngx_int_t
ngx_http_chatmaid_call_error(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem,
    ngx_str_t *answer)
{
    ngx_str_t   value;
    ngx_uint_t  code, status;

    status = call->status;

    /* any other 4xx without a code of its own may not be the caller's fault */

    code = ngx_http_chatmaid_problem_code(status);

    if (code == NGX_HTTP_CHATMAID_INVALID_REQUEST
        && status != NGX_HTTP_BAD_REQUEST && status != 422)
    {
        code = NGX_HTTP_CHATMAID_UPSTREAM_ERROR;
    }

    ngx_http_chatmaid_problem_set(r->pool, problem, code, "");

    problem->status = status;
    problem->may_be_accepted = !ngx_http_chatmaid_call_error_is_refusal(status);
    problem->retry_after = ngx_http_chatmaid_call_error_retry_after(call,
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
        || ngx_http_chatmaid_call_error_messages(r, answer, problem->messages)
           != NGX_OK
        || ngx_http_chatmaid_call_error_detail(r, problem->messages,
                                               &problem->detail)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return (status == NGX_HTTP_NOT_FOUND)
           ? ngx_http_chatmaid_call_error_not_found(r, call, problem)
           : NGX_DECLINED;
}


/* A 404 may mean that the path is wrong, that the sender of a message is not
 * known, or that the thing named by the path does not exist.  The detail says
 * so in the first two cases. */

static ngx_int_t
ngx_http_chatmaid_call_error_not_found(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_http_chatmaid_problem_t *problem)
{
    u_char      *p;
    const char  *why, *text;

    static const char  cannot[] = "Cannot ";    /* "Cannot GET /v1/nothing" */

    text = json_string_value(json_array_get(problem->messages, 0));

    if (call->exists
        || (text && ngx_strncmp(text, cannot, sizeof(cannot) - 1) == 0))
    {
        ngx_http_chatmaid_call_error_log_path(r, call);

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


void
ngx_http_chatmaid_call_error_log_path(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    u_char  *last;
    u_char   path[NGX_HTTP_CHATMAID_ESCAPE_SIZE];

    last = ngx_http_chatmaid_escape(path, call->path.data, call->path.len);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid was answered 404 for the path \"/%*s\" itself: "
                  "\"proxy_pass\" of \"%V\" must have Chatmaid's host and "
                  "\"/\" alone, and what is in between must pass on the path",
                  (size_t) (last - path), path, &call->conf->gateway->uri);
}


/* "message" is an array of strings.  By Chatmaid's documentation it may also be
 * one string, or be missing. */

static ngx_int_t
ngx_http_chatmaid_call_error_messages(ngx_http_request_t *r,
    ngx_str_t *answer, json_t *messages)
{
    ngx_int_t  rc;
    ngx_str_t  value, item;

    if (!ngx_http_chatmaid_json_text_member(answer, "message", &value)) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_call_error_message(r, &value, messages);

    while (rc == NGX_OK
           && json_array_size(messages) < NGX_HTTP_CHATMAID_MAX_MESSAGES
           && ngx_http_chatmaid_json_text_next(&value, &item))
    {
        rc = ngx_http_chatmaid_call_error_message(r, &item, messages);
    }

    return rc;
}


/* Adds a value to the messages if it is a string that is not empty. */

static ngx_int_t
ngx_http_chatmaid_call_error_message(ngx_http_request_t *r, ngx_str_t *value,
    json_t *messages)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    rc = ngx_http_chatmaid_json_text_string(r->pool, value,
                                            NGX_HTTP_CHATMAID_JSON_UTF8,
                                            &text);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED || text.len == 0) {
        return NGX_OK;
    }

    return json_array_append_new(messages,
                                 ngx_http_chatmaid_json_string(&text)) == 0
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_call_error_detail(ngx_http_request_t *r, json_t *messages,
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


time_t
ngx_http_chatmaid_call_error_retry_after(ngx_http_chatmaid_call_t *call,
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
        /* strtod() needs a NUL at the end; digits that do not fit into the
         * buffer make no difference */
        (void) ngx_cpystrn(number, value.data,
                           ngx_min(value.len + 1, sizeof(number)));

        seconds = strtod((char *) number, NULL);

        if (seconds > NGX_HTTP_CHATMAID_MAX_RETRY_AFTER) {
            return NGX_HTTP_CHATMAID_MAX_RETRY_AFTER;
        }

        time = (time_t) seconds;
        time += (seconds > (double) time);      /* rounded up */

        return ngx_max(time, 1);
    }

    h = ngx_http_chatmaid_request_header(
                                    &call->upstream->headers_in.headers.part,
                                    "retry-after", NULL);

    return h ? ngx_http_chatmaid_call_error_delay(&h->value) : 0;
}


static time_t
ngx_http_chatmaid_call_error_delay(ngx_str_t *value)
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
            return NGX_HTTP_CHATMAID_MAX_RETRY_AFTER;   /* it is too large */
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


/* Any 4xx except 408 (what timed out may be behind the API) and 409 (there may
 * already be a message). */

ngx_uint_t
ngx_http_chatmaid_call_error_is_refusal(ngx_uint_t status)
{
    return status >= NGX_HTTP_BAD_REQUEST
           && status < NGX_HTTP_INTERNAL_SERVER_ERROR
           && status != NGX_HTTP_REQUEST_TIME_OUT
           && status != NGX_HTTP_CONFLICT;
}
