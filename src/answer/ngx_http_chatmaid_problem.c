
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_problem.h"
#include "ngx_http_chatmaid_json.h"


typedef struct {
    ngx_uint_t    status;
    const char   *name;
} ngx_http_chatmaid_problem_code_t;


static ngx_http_chatmaid_problem_code_t  ngx_http_chatmaid_problem_codes[] = {
    { 400, "invalid_json" },
    { 400, "invalid_request" },
    { 400, "invalid_idempotency_key" },
    { 401, "unauthorized" },
    { 403, "scope_denied" },
    { 403, "sender_denied" },
    { 403, "forbidden" },
    { 404, "not_found" },
    { 405, "method_not_allowed" },
    { 409, "idempotency_in_flight" },
    { 413, "body_too_large" },
    { 415, "unsupported_media_type" },
    { 422, "idempotency_key_reused" },
    { 429, "rate_limited" },
    { 500, "internal_error" },
    { 502, "upstream_error" },
    { 502, "upstream_auth" },
    { 502, "upstream_invalid_response" },
    { 503, "unavailable" },
    { 503, "store_unavailable" },
    { 504, "upstream_timeout" },

    { 400, "missing_signature" },
    { 400, "malformed_signature" },
    { 400, "timestamp_out_of_tolerance" },
    { 401, "signature_mismatch" },
    { 400, "invalid_event" },
    { 503, "delivery_in_flight" }
};


ngx_int_t
ngx_http_chatmaid_problem_set(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem, ngx_uint_t code, const char *fmt,
    ...)
{
    u_char   *p;
    va_list   args;

    u_char    buf[NGX_MAX_ERROR_STR];

    ngx_memzero(problem, sizeof(ngx_http_chatmaid_problem_t));

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    problem->code = code;
    problem->detail.data = ngx_pnalloc(pool, p - buf);

    if (problem->detail.data) {
        problem->detail.len = p - buf;
        ngx_memcpy(problem->detail.data, buf, p - buf);
    }

    return NGX_DECLINED;
}


void
ngx_http_chatmaid_problem_copy(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *to, ngx_http_chatmaid_problem_t *from)
{
    *to = *from;

    to->detail.data = ngx_pstrdup(pool, &from->detail);

    if (to->detail.data == NULL) {
        to->detail.len = 0;
    }

    to->errors = NULL;
    ngx_str_null(&to->error);
    to->messages = NULL;
}


ngx_int_t
ngx_http_chatmaid_problem_text(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *request_id,
    const char *outcome, ngx_str_t *text)
{
    json_t  *json;

    json = json_pack("{s:s, s:s, s:I, s:o, s:s, s:o, s:s*, s:O*}",
                     "type", "about:blank",
                     "title", ngx_http_chatmaid_problem_title(problem->status),
                     "status", (json_int_t) problem->status,
                     "detail", ngx_http_chatmaid_json_string(&problem->detail),
                     "code", ngx_http_chatmaid_problem_name(problem->code),
                     "requestId", ngx_http_chatmaid_json_string(request_id),
                     "outcome", outcome,
                     "errors", problem->errors);

    json = ngx_http_chatmaid_json_keep(pool, json);
    if (json == NULL) {
        return NGX_ERROR;
    }

    if (problem->for_sdk
        && (json_object_set_new(json, "success", json_false()) != 0
            || json_object_set(json, "error", json_object_get(json, "title"))
               != 0
            || json_object_set_new(json, "message",
                                   json_pack("[O]", json_object_get(json,
                                                                   "detail")))
               != 0))
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_json_dump(pool, json, text);
}


const char *
ngx_http_chatmaid_problem_name(ngx_uint_t code)
{
    return ngx_http_chatmaid_problem_codes[code].name;
}


ngx_uint_t
ngx_http_chatmaid_problem_status(ngx_uint_t code)
{
    return ngx_http_chatmaid_problem_codes[code].status;
}


ngx_uint_t
ngx_http_chatmaid_problem_code(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_UNAUTHORIZED:
        return NGX_HTTP_CHATMAID_UNAUTHORIZED;

    case NGX_HTTP_FORBIDDEN:
        return NGX_HTTP_CHATMAID_FORBIDDEN;

    case NGX_HTTP_NOT_FOUND:
        return NGX_HTTP_CHATMAID_NOT_FOUND;

    case NGX_HTTP_NOT_ALLOWED:
        return NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED;

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return NGX_HTTP_CHATMAID_BODY_TOO_LARGE;

    case NGX_HTTP_UNSUPPORTED_MEDIA_TYPE:
        return NGX_HTTP_CHATMAID_UNSUPPORTED_MEDIA_TYPE;

    case NGX_HTTP_TOO_MANY_REQUESTS:
        return NGX_HTTP_CHATMAID_RATE_LIMITED;

    case NGX_HTTP_BAD_GATEWAY:
        return NGX_HTTP_CHATMAID_UPSTREAM_ERROR;

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return NGX_HTTP_CHATMAID_UNAVAILABLE;

    case NGX_HTTP_GATEWAY_TIME_OUT:
        return NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT;
    }

    return (status < NGX_HTTP_INTERNAL_SERVER_ERROR)
           ? NGX_HTTP_CHATMAID_INVALID_REQUEST
           : NGX_HTTP_CHATMAID_INTERNAL_ERROR;
}


/* RFC 9110, section 15, and RFC 6585 */

const char *
ngx_http_chatmaid_problem_title(ngx_uint_t status)
{
    switch (status) {
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default:  return "Error";
    }
}
