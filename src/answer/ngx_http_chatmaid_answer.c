
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_problem_native.h"
#include "ngx_http_chatmaid_request.h"


/* Said to a caller whom nobody gave a time to wait. */
#define NGX_HTTP_CHATMAID_RETRY_AFTER  5        /* seconds */


static ngx_int_t ngx_http_chatmaid_request_id(ngx_http_request_t *r,
    ngx_str_t *id);
static const char *ngx_http_chatmaid_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static const char *ngx_http_chatmaid_reason(ngx_uint_t status);
static ngx_int_t ngx_http_chatmaid_output(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *text);


typedef struct {
    ngx_uint_t    status;
    const char   *name;
} ngx_http_chatmaid_code_t;


static ngx_http_chatmaid_code_t  ngx_http_chatmaid_codes[] = {
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


static ngx_str_t  ngx_http_chatmaid_json_type =
    ngx_string("application/json");


ngx_http_chatmaid_ctx_t *
ngx_http_chatmaid_create_ctx(ngx_http_request_t *r)
{
    ngx_http_chatmaid_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    if (ctx) {
        /* it may be of before a rewrite */
        ctx->native = ngx_http_chatmaid_is_native(r);
        return ctx;
    }

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_ctx_t));

    if (ctx == NULL
        || ngx_http_chatmaid_request_id(r, &ctx->request_id) != NGX_OK)
    {
        return NULL;
    }

    ctx->native = ngx_http_chatmaid_is_native(r);

    ngx_http_set_ctx(r, ctx, ngx_http_chatmaid_module);

    return ctx;
}


/* The caller's X-Request-Id if it is well-formed, else $request_id. */

static ngx_int_t
ngx_http_chatmaid_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    size_t                          i;
    u_char                          ch;
    ngx_table_elt_t                *h;
    ngx_http_variable_value_t      *vv;
    ngx_http_chatmaid_main_conf_t  *mcf;

    static ngx_str_t  others = ngx_string("._:/+=@-");

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    /* in any case, since a call has the same */
    vv = ngx_http_get_indexed_variable(r, mcf->request_id);

    if (vv == NULL || vv->not_found) {
        return NGX_ERROR;
    }

    id->data = vv->data;
    id->len = vv->len;

    h = ngx_http_chatmaid_request_header(&r->headers_in.headers.part,
                                         "x-request-id", NULL);

    if (h == NULL || h->value.len == 0 || h->value.len > 128) {
        return NGX_OK;
    }

    for (i = 0; i < h->value.len; i++) {
        ch = h->value.data[i];

        if (!((ch >= '0' && ch <= '9') || (ch >= 'A' && ch <= 'Z')
              || (ch >= 'a' && ch <= 'z')
              || ngx_strlchr(others.data, others.data + others.len, ch)))
        {
            return NGX_OK;
        }
    }

    *id = h->value;

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_problem(ngx_http_request_t *r, ngx_http_chatmaid_ctx_t *ctx,
    ngx_uint_t code, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    u_char    buf[NGX_MAX_ERROR_STR];

    ngx_memzero(&ctx->problem, sizeof(ngx_http_chatmaid_problem_t));

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + NGX_MAX_ERROR_STR, fmt, args);
    va_end(args);

    ctx->problem.code = code;
    ctx->problem.detail.data = ngx_pnalloc(r->pool, p - buf);

    if (ctx->problem.detail.data) {
        ctx->problem.detail.len = p - buf;
        ngx_memcpy(ctx->problem.detail.data, buf, p - buf);
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_chatmaid_refuse(ngx_http_request_t *r, ngx_http_chatmaid_ctx_t *ctx,
    ngx_int_t rc)
{
    if (rc != NGX_DECLINED) {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "chatmaid could not handle a request for lack of memory "
                      "or by a failure logged above");

        ngx_http_chatmaid_problem(r, ctx, NGX_HTTP_CHATMAID_INTERNAL_ERROR,
                                  "the gateway failed, its log says how");

        /* a call that was made may have arrived, and so may one of an earlier
         * send of the operation */
        ctx->problem.may_be_accepted = (ctx->call != NULL
                                        || ctx->lease.asked);

    } else {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chatmaid refuses: %s",
                      ngx_http_chatmaid_codes[ctx->problem.code].name);
    }

    return ngx_http_chatmaid_problem_answer(r, ctx);
}


ngx_int_t
ngx_http_chatmaid_problem_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    u_char                       *p;
    ngx_str_t                     text, value;
    ngx_http_chatmaid_problem_t  *problem;

    /* as nginx does before its error pages */
    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    problem = &ctx->problem;

    if (problem->status == 0) {
        problem->status = ngx_http_chatmaid_codes[problem->code].status;
    }

    if (problem->retry_after == 0
        && (problem->code == NGX_HTTP_CHATMAID_RATE_LIMITED
            || problem->code == NGX_HTTP_CHATMAID_UNAVAILABLE))
    {
        problem->retry_after = NGX_HTTP_CHATMAID_RETRY_AFTER;
    }

    if (ngx_http_chatmaid_problem_text(r, ctx, problem,
                                       ngx_http_chatmaid_outcome(r, ctx),
                                       &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->route && !(r->method & ctx->route->method)) {
        value.data = (u_char *) ngx_http_chatmaid_allow(ctx);
        value.len = ngx_strlen(value.data);

        if (ngx_http_chatmaid_add_header(r, "Allow", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (problem->retry_after) {
        p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;
        value.len = ngx_sprintf(p, "%T", problem->retry_after) - p;

        if (ngx_http_chatmaid_add_header(r, "Retry-After", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_chatmaid_output(r, ctx, problem->status,
                                    ngx_http_chatmaid_problem_type(ctx),
                                    &text);
}


static const char *
ngx_http_chatmaid_outcome(ngx_http_request_t *r, ngx_http_chatmaid_ctx_t *ctx)
{
    if (ctx->route == NULL || ctx->route->scope != NGX_HTTP_CHATMAID_SEND
        || !(r->method & ctx->route->method))
    {
        return NULL;
    }

    return ctx->problem.may_be_accepted ? "unknown" : "not_sent";
}


ngx_int_t
ngx_http_chatmaid_problem_text(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_http_chatmaid_problem_t *problem,
    const char *outcome, ngx_str_t *text)
{
    json_t      *json;
    const char  *reason;

    reason = ngx_http_chatmaid_reason(problem->status);

    if (ctx->native) {
        return ngx_http_chatmaid_problem_native_text(r, ctx, problem, reason, text);
    }

    json = json_pack("{s:s, s:s, s:I, s:o, s:s, s:o, s:s*, s:O*}",
                     "type", "about:blank",
                     "title", reason,
                     "status", (json_int_t) problem->status,
                     "detail", ngx_http_chatmaid_json_string(&problem->detail),
                     "code", ngx_http_chatmaid_codes[problem->code].name,
                     "requestId",
                         ngx_http_chatmaid_json_string(&ctx->request_id),
                     "outcome", outcome,
                     "errors", problem->errors);

    json = ngx_http_chatmaid_json_keep(r->pool, json);
    if (json == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_json_dump(r->pool, json, 0, text);
}


ngx_str_t *
ngx_http_chatmaid_problem_type(ngx_http_chatmaid_ctx_t *ctx)
{
    static ngx_str_t  problem = ngx_string("application/problem+json");

    return ctx->native ? &ngx_http_chatmaid_json_type : &problem;
}


ngx_int_t
ngx_http_chatmaid_answer(ngx_http_request_t *r, ngx_http_chatmaid_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *text)
{
    return ngx_http_chatmaid_output(r, ctx, status,
                                    &ngx_http_chatmaid_json_type, text);
}


ngx_int_t
ngx_http_chatmaid_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    static ngx_str_t  none = ngx_null_string;

    r->header_only = 1;

    return ngx_http_chatmaid_output(r, ctx, NGX_HTTP_OK, &none, &none);
}


static ngx_int_t
ngx_http_chatmaid_output(ngx_http_request_t *r, ngx_http_chatmaid_ctx_t *ctx,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *text)
{
    ngx_int_t     rc;
    ngx_chain_t  *out;

    static ngx_str_t  replayed = ngx_string("true");

    if (ctx->answered) {
        return ctx->answer_rc;
    }

    if (ctx->gone) {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    if (ngx_http_chatmaid_add_header(r, "X-Request-Id", &ctx->request_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->key.len
        && ngx_http_chatmaid_add_header(r, "Idempotency-Key", &ctx->key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->replayed
        && ngx_http_chatmaid_add_header(r, "Idempotent-Replayed", &replayed)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx would answer with this status, and match preconditions (RFC 9110,
     * section 13) against what is no stored representation */
    r->err_status = 0;
    ctx->entry_status = 0;
    r->disable_not_modified = 1;

    r->headers_out.status = status;
    r->headers_out.content_length_n = text->len;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out = ngx_http_chatmaid_answer_body_chain(r, text);

    return out ? ngx_http_output_filter(r, out) : NGX_ERROR;
}


ngx_chain_t *
ngx_http_chatmaid_answer_body_chain(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NULL;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    cl->buf = b;
    cl->next = NULL;

    return cl;
}


const char *
ngx_http_chatmaid_code_name(ngx_uint_t code)
{
    return ngx_http_chatmaid_codes[code].name;
}


ngx_uint_t
ngx_http_chatmaid_code(ngx_uint_t status)
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

static const char *
ngx_http_chatmaid_reason(ngx_uint_t status)
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


const char *
ngx_http_chatmaid_allow(ngx_http_chatmaid_ctx_t *ctx)
{
    return (ctx->route->method == NGX_HTTP_POST) ? "POST" : "GET, HEAD";
}


ngx_int_t
ngx_http_chatmaid_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;
    h->lowcase_key = NULL;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}
