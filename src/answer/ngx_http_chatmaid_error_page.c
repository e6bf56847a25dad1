
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_error_page.h"
#include "ngx_http_chatmaid_answer.h"


static void ngx_http_chatmaid_error_page_restore_status(ngx_http_request_t *r);
static ngx_uint_t ngx_http_chatmaid_error_page_is_here(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_error_page_text(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_str_t *text);
static const char *ngx_http_chatmaid_error_page_detail(ngx_http_request_t *r);
static const char *ngx_http_chatmaid_error_page_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);


/*
 * If an error_page has led to this location, r->err_status is the status of
 * that error.  It is moved to the reply, so that an error of nginx in this
 * location can be recognised by r->err_status again.
 */

ngx_int_t
ngx_http_chatmaid_error_page_rewrite_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_reply_t  *reply;

    if (!ngx_http_chatmaid_error_page_is_here(r) || r->err_status == 0) {
        return NGX_DECLINED;
    }

    reply = ngx_http_chatmaid_answer_get_reply(r);
    if (reply == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    reply->entry_status = r->err_status;
    r->err_status = 0;

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_chatmaid_error_page_header_filter(ngx_http_request_t *r)
{
    ngx_str_t                   text, *type;
    ngx_http_chatmaid_reply_t  *reply;

    static ngx_str_t  one_second = ngx_string("1");

    if (!ngx_http_chatmaid_error_page_is_ours(r)) {
        ngx_http_chatmaid_error_page_restore_status(r);
        return NGX_OK;
    }

    reply = ngx_http_chatmaid_answer_get_reply(r);

    if (reply == NULL
        || ngx_http_chatmaid_error_page_text(r, reply, &text) != NGX_OK
        || ngx_http_chatmaid_answer_add_header(r, "X-Request-Id",
                                               &reply->request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->err_status == NGX_HTTP_TOO_MANY_REQUESTS
        && ngx_http_chatmaid_answer_add_header(r, "Retry-After", &one_second)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    reply->page = ngx_http_chatmaid_answer_chain(r, &text);
    if (reply->page == NULL) {
        return NGX_ERROR;
    }

    type = ngx_http_chatmaid_answer_problem_type(reply);

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.charset.len = 0;

    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = text.len;

    return NGX_OK;
}


/* A "return" in a location to which an error_page has led gets the status of
 * that error, as it would without this module. */

static void
ngx_http_chatmaid_error_page_restore_status(ngx_http_request_t *r)
{
    ngx_http_chatmaid_reply_t  *reply;

    if (r != r->main) {
        return;
    }

    reply = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    if (reply && reply->entry_status) {
        r->headers_out.status = reply->entry_status;
        r->headers_out.status_line.len = 0;
    }
}


static ngx_uint_t
ngx_http_chatmaid_error_page_is_here(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    return r == r->main && (conf->gateway || conf->webhook);
}


/* Answers of the module, of a backend and of a "return" have no err_status. */

ngx_uint_t
ngx_http_chatmaid_error_page_is_ours(ngx_http_request_t *r)
{
    return ngx_http_chatmaid_error_page_is_here(r)
           && r->err_status >= NGX_HTTP_BAD_REQUEST;
}


static ngx_int_t
ngx_http_chatmaid_error_page_text(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_str_t *text)
{
    const char                   *outcome, *detail;
    ngx_http_chatmaid_problem_t   problem;

    ngx_memzero(&problem, sizeof(ngx_http_chatmaid_problem_t));

    problem.status = r->err_status;
    problem.code = ngx_http_chatmaid_problem_code(problem.status);

    detail = ngx_http_chatmaid_error_page_detail(r);

    problem.detail.data = (u_char *) detail;
    problem.detail.len = ngx_strlen(detail);

    if (problem.status == NGX_HTTP_TOO_MANY_REQUESTS) {
        problem.retry_after = 1;
    }

    outcome = ngx_http_chatmaid_error_page_outcome(r, reply);

    reply->facts->failed = 1;
    reply->facts->code = problem.code;
    reply->facts->outcome = outcome;

    return ngx_http_chatmaid_answer_problem_text(r, reply, &problem, outcome,
                                                 text);
}


static const char *
ngx_http_chatmaid_error_page_detail(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (r->err_status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        return "the body is larger than this location takes";
    }

    if (conf->webhook && r->err_status == NGX_HTTP_BAD_GATEWAY) {
        return "the receiver could not be reached, or gave no answer";
    }

    if (conf->webhook && r->err_status == NGX_HTTP_GATEWAY_TIME_OUT) {
        return "the receiver did not answer in time";
    }

    return "nginx refused the request";
}


/*
 * The outcome of a send that nginx answers with its own error.  If a filter has
 * replaced the module's answer, the message may have been sent, now or by an
 * earlier send of the operation.  If nginx refuses the request only for now
 * (429, 5xx), it may be a retry of a request that was let through.  A request
 * that nginx refuses for good was never let through, so nothing was sent.
 */

static const char *
ngx_http_chatmaid_error_page_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    u_char                        *path;
    ngx_str_t                     *send;
    ngx_http_chatmaid_loc_conf_t  *conf;

    static ngx_str_t  simple = ngx_string("send");
    static ngx_str_t  native = ngx_string("v1/messages/send");

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    send = reply->native ? &native : &simple;

    if (conf->gateway == NULL || r->method != NGX_HTTP_POST
        || r->uri.len != conf->gateway->prefix.len + send->len)
    {
        return NULL;
    }

    path = r->uri.data + conf->gateway->prefix.len;

    if (ngx_strncmp(path, send->data, send->len) != 0) {
        return NULL;
    }

    return (reply->tried
            || r->err_status == NGX_HTTP_TOO_MANY_REQUESTS
            || r->err_status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
           ? "unknown" : "not_sent";
}


ngx_chain_t *
ngx_http_chatmaid_error_page_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                *page, *cl;
    ngx_http_chatmaid_reply_t  *reply;

    if (r != r->main || in == NULL) {
        return in;
    }

    reply = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    if (reply == NULL || reply->page == NULL) {
        return in;
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }

    page = reply->page;
    reply->page = NULL;

    return page;
}
