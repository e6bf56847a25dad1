
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_error_page.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_flow.h"


static void ngx_http_chatmaid_error_page_restore_status(ngx_http_request_t *r);
static ngx_uint_t ngx_http_chatmaid_error_page_is_ours(ngx_http_request_t *r);
static ngx_uint_t ngx_http_chatmaid_error_page_is_nginx(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_error_page_text(ngx_http_request_t *r,
    ngx_str_t *text);
static const char *ngx_http_chatmaid_error_page_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_http_chatmaid_loc_conf_t *conf);


/*
 * Where an error_page has led to one of our locations, r->err_status is that of
 * the error.  It is kept apart, so that an error of nginx's own in here is
 * known by it again.
 */

ngx_int_t
ngx_http_chatmaid_error_page_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_ctx_t  *ctx;

    if (!ngx_http_chatmaid_error_page_is_ours(r) || r->err_status == 0) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_chatmaid_create_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->entry_status = r->err_status;
    r->err_status = 0;

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_chatmaid_error_page_header_filter(ngx_http_request_t *r)
{
    ngx_str_t                 text, *type;
    ngx_http_chatmaid_ctx_t  *ctx;

    static ngx_str_t  one_second = ngx_string("1");

    if (!ngx_http_chatmaid_error_page_is_nginx(r)) {
        ngx_http_chatmaid_error_page_restore_status(r);
        return NGX_OK;
    }

    ngx_http_chatmaid_flow_restore(r);

    ctx = ngx_http_chatmaid_create_ctx(r);

    if (ctx == NULL
        || ngx_http_chatmaid_error_page_text(r, &text) != NGX_OK
        || ngx_http_chatmaid_add_header(r, "X-Request-Id", &ctx->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->err_status == NGX_HTTP_TOO_MANY_REQUESTS
        && ngx_http_chatmaid_add_header(r, "Retry-After", &one_second)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->page = ngx_http_chatmaid_answer_body_chain(r, &text);
    if (ctx->page == NULL) {
        return NGX_ERROR;
    }

    type = ngx_http_chatmaid_problem_type(ctx);

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = text.len;

    return NGX_OK;
}


/* An operator's "return" in here has the status of the error that led to it. */

static void
ngx_http_chatmaid_error_page_restore_status(ngx_http_request_t *r)
{
    ngx_http_chatmaid_ctx_t  *ctx;

    if (r != r->main) {
        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    if (ctx && ctx->entry_status) {
        r->headers_out.status = ctx->entry_status;
        r->headers_out.status_line.len = 0;
    }
}


static ngx_uint_t
ngx_http_chatmaid_error_page_is_ours(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    return r == r->main && (conf->gateway || conf->webhook);
}


/* An answer of our own, or of a backend, and an operator's "return" have no
 * err_status. */

static ngx_uint_t
ngx_http_chatmaid_error_page_is_nginx(ngx_http_request_t *r)
{
    return ngx_http_chatmaid_error_page_is_ours(r)
           && r->err_status >= NGX_HTTP_BAD_REQUEST;
}


static ngx_int_t
ngx_http_chatmaid_error_page_text(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_http_chatmaid_ctx_t       *ctx;
    ngx_http_chatmaid_problem_t    problem;
    ngx_http_chatmaid_loc_conf_t  *conf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    ngx_memzero(&problem, sizeof(ngx_http_chatmaid_problem_t));

    problem.status = r->err_status;
    problem.code = ngx_http_chatmaid_code(problem.status);

    if (problem.status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        ngx_str_set(&problem.detail,
                    "the body is larger than this location takes");

    } else {
        ngx_str_set(&problem.detail, "nginx refused the request");
    }

    if (problem.status == NGX_HTTP_TOO_MANY_REQUESTS) {
        problem.retry_after = 1;
    }

    return ngx_http_chatmaid_problem_text(r, ctx, &problem,
                                     ngx_http_chatmaid_error_page_outcome(r, ctx,
                                                                          conf),
                                     text);
}


/*
 * Of a send.  One whose answer a filter has replaced may have been made, by it
 * or by an earlier one of its operation; one that nginx turns away for now may
 * be the retry of one that was let through before; what is refused for good
 * never was.
 */

static const char *
ngx_http_chatmaid_error_page_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_http_chatmaid_loc_conf_t *conf)
{
    if (conf->gateway == NULL
        || r->method != NGX_HTTP_POST
        || r->uri.len != conf->gateway->prefix.len + sizeof("send") - 1
        || ngx_strncmp(r->uri.data + conf->gateway->prefix.len, "send",
                       sizeof("send") - 1)
           != 0)
    {
        return NULL;
    }

    return (ctx->call || ctx->lease.asked
            || r->err_status == NGX_HTTP_TOO_MANY_REQUESTS
            || r->err_status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
           ? "unknown" : "not_sent";
}


ngx_chain_t *
ngx_http_chatmaid_error_page_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t              *page, *cl;
    ngx_http_chatmaid_ctx_t  *ctx;

    if (r != r->main || in == NULL) {
        return in;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    if (ctx == NULL || ctx->page == NULL) {
        return in;
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    page = ctx->page;
    ctx->page = NULL;

    return page;
}
