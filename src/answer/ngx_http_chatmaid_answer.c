
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_problem_native.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_digits.h"
#include "ngx_http_chatmaid_request.h"


/* The Retry-After of a 429 or 503 for which no time is known. */
#define NGX_HTTP_CHATMAID_ANSWER_RETRY_AFTER  5     /* seconds */


static ngx_http_variable_value_t *ngx_http_chatmaid_answer_nginx_id(
    ngx_http_request_t *r);
static void ngx_http_chatmaid_answer_failed(ngx_http_chatmaid_reply_t *reply);
static const char *ngx_http_chatmaid_answer_outcome(
    ngx_http_chatmaid_reply_t *reply);
static ngx_int_t ngx_http_chatmaid_answer_problem_headers(
    ngx_http_request_t *r, ngx_http_chatmaid_reply_t *reply);
static ngx_int_t ngx_http_chatmaid_answer_output(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *text);
static ngx_int_t ngx_http_chatmaid_answer_headers(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);
static ngx_int_t ngx_http_chatmaid_answer_key(ngx_http_request_t *r,
    ngx_str_t *key);


static ngx_str_t  ngx_http_chatmaid_answer_json_type =
    ngx_string("application/json");


ngx_http_chatmaid_reply_t *
ngx_http_chatmaid_answer_get_reply(ngx_http_request_t *r)
{
    ngx_http_chatmaid_reply_t  *reply;

    reply = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    if (reply == NULL) {

        reply = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_reply_t));

        if (reply == NULL
            || ngx_http_chatmaid_answer_request_id(r, &reply->request_id)
               != NGX_OK)
        {
            return NULL;
        }

        reply->facts = ngx_http_chatmaid_facts_here(r);
        if (reply->facts == NULL) {
            return NULL;
        }

        ngx_http_set_ctx(r, reply, ngx_http_chatmaid_module);
    }

    /* set again, because a rewrite may have changed the URI */
    reply->native = ngx_http_chatmaid_problem_native_is_asked(r);

    return reply;
}


ngx_int_t
ngx_http_chatmaid_answer_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    size_t                      i;
    u_char                      ch;
    ngx_table_elt_t            *h;
    ngx_http_variable_value_t  *vv;

    static ngx_str_t  others = ngx_string("._:/+=@-");

    /* set in any case: a call's subrequest takes over the same $request_id */
    vv = ngx_http_chatmaid_answer_nginx_id(r);

    if (vv == NULL) {
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


/* Sets $request_id in nginx's own form.  nginx would ask OpenSSL for random
 * bytes each time, which takes a sixth of the time of a replay. */

static ngx_http_variable_value_t *
ngx_http_chatmaid_answer_nginx_id(ngx_http_request_t *r)
{
    u_char                          random[16];
    ngx_http_variable_value_t      *vv;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    vv = &r->variables[mcf->request_id];

    if (vv->valid) {
        return vv;
    }

    vv->data = ngx_pnalloc(r->pool, 2 * sizeof(random));

    if (vv->data == NULL
        || ngx_http_chatmaid_crypto_random(r->connection->log, random,
                                           sizeof(random))
           != NGX_OK)
    {
        return NULL;
    }

    ngx_http_chatmaid_digits_hex(vv->data, random, sizeof(random));

    vv->len = 2 * sizeof(random);
    vv->valid = 1;
    vv->no_cacheable = 0;
    vv->not_found = 0;

    return vv;
}


ngx_int_t
ngx_http_chatmaid_answer_json(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_uint_t status, ngx_str_t *text)
{
    return ngx_http_chatmaid_answer_output(r, reply, status,
                                           &ngx_http_chatmaid_answer_json_type,
                                           text);
}


ngx_int_t
ngx_http_chatmaid_answer_empty(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    static ngx_str_t  none = ngx_null_string;

    r->header_only = 1;

    return ngx_http_chatmaid_answer_output(r, reply, NGX_HTTP_OK, &none, &none);
}


ngx_int_t
ngx_http_chatmaid_answer_failure(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_int_t rc)
{
    ngx_http_chatmaid_answer_log_failure(r, reply, rc);

    return ngx_http_chatmaid_answer_problem(r, reply);
}


void
ngx_http_chatmaid_answer_log_failure(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_int_t rc)
{
    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chatmaid refuses: %s",
                      ngx_http_chatmaid_problem_name(reply->problem.code));
        ngx_http_chatmaid_answer_failed(reply);
        return;
    }

    ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                  "chatmaid could not handle a request for lack of memory "
                  "or by a failure logged above");

    ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                  NGX_HTTP_CHATMAID_INTERNAL_ERROR,
                                  "the gateway failed, its log says how");

    reply->problem.may_be_accepted = reply->tried;

    ngx_http_chatmaid_answer_failed(reply);
}


/* Records the failure that is answered, or would be answered if the caller had
 * not left.  Only the first failure counts: a send that goes on after its
 * answer may fail again. */

static void
ngx_http_chatmaid_answer_failed(ngx_http_chatmaid_reply_t *reply)
{
    ngx_http_chatmaid_facts_t  *facts;

    facts = reply->facts;

    if (facts->failed) {
        return;
    }

    facts->failed = 1;
    facts->code = reply->problem.code;
    facts->outcome = ngx_http_chatmaid_answer_outcome(reply);
}


static const char *
ngx_http_chatmaid_answer_outcome(ngx_http_chatmaid_reply_t *reply)
{
    if (!reply->is_send) {
        return NULL;
    }

    return reply->problem.may_be_accepted ? "unknown" : "not_sent";
}


ngx_int_t
ngx_http_chatmaid_answer_problem(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    ngx_str_t                     text;
    ngx_http_chatmaid_problem_t  *problem;

    ngx_http_chatmaid_answer_failed(reply);

    /* as nginx does before its error pages */
    r->expect_tested = 1;

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    problem = &reply->problem;

    if (problem->status == 0) {
        problem->status = ngx_http_chatmaid_problem_status(problem->code);
    }

    if (problem->retry_after == 0
        && (problem->code == NGX_HTTP_CHATMAID_RATE_LIMITED
            || problem->code == NGX_HTTP_CHATMAID_UNAVAILABLE))
    {
        problem->retry_after = NGX_HTTP_CHATMAID_ANSWER_RETRY_AFTER;
    }

    if (ngx_http_chatmaid_answer_problem_text(r, reply, problem,
                                     ngx_http_chatmaid_answer_outcome(reply),
                                     &text)
        != NGX_OK
        || ngx_http_chatmaid_answer_problem_headers(r, reply) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_answer_output(r, reply, problem->status,
                                 ngx_http_chatmaid_answer_problem_type(reply),
                                 &text);
}


static ngx_int_t
ngx_http_chatmaid_answer_problem_headers(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    u_char     *p;
    ngx_str_t   value;

    if (reply->allow) {
        value.data = (u_char *) reply->allow;
        value.len = ngx_strlen(reply->allow);

        if (ngx_http_chatmaid_answer_add_header(r, "Allow", &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (reply->problem.retry_after == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%T", reply->problem.retry_after) - p;

    return ngx_http_chatmaid_answer_add_header(r, "Retry-After", &value);
}


ngx_int_t
ngx_http_chatmaid_answer_problem_text(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_problem_t *problem,
    const char *outcome, ngx_str_t *text)
{
    if (reply->native) {
        return ngx_http_chatmaid_problem_native_text(r, problem, &reply->path,
                                                     text);
    }

    return ngx_http_chatmaid_problem_text(r->pool, problem, &reply->request_id,
                                          outcome, text);
}


ngx_str_t *
ngx_http_chatmaid_answer_problem_type(ngx_http_chatmaid_reply_t *reply)
{
    static ngx_str_t  problem = ngx_string("application/problem+json");

    return reply->native ? &ngx_http_chatmaid_answer_json_type : &problem;
}


static ngx_int_t
ngx_http_chatmaid_answer_output(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *text)
{
    ngx_int_t     rc;
    ngx_chain_t  *out;

    if (reply->sent) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                      "chatmaid answers a request twice");
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_answer_headers(r, reply) != NGX_OK) {
        return NGX_ERROR;
    }

    reply->sent = 1;
    reply->facts->answered = 1;

    /* err_status would replace the status; preconditions (RFC 9110, section 13)
     * do not apply, because the answer is not a stored representation */
    r->err_status = 0;
    reply->entry_status = 0;
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

    out = ngx_http_chatmaid_answer_chain(r, text);

    return out ? ngx_http_output_filter(r, out) : NGX_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_answer_headers(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    static ngx_str_t  replayed = ngx_string("true");

    if (ngx_http_chatmaid_answer_add_header(r, "X-Request-Id",
                                            &reply->request_id)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (reply->key && reply->key->len
        && ngx_http_chatmaid_answer_key(r, reply->key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return reply->replayed
           ? ngx_http_chatmaid_answer_add_header(r, "Idempotent-Replayed",
                                                 &replayed)
           : NGX_OK;
}


/*
 * A caller that sends this header back must get the same operation.  A key that
 * begins with a quote would be read as a quoted string (RFC 9651, section
 * 3.3.3), so it is written as a quoted string.
 */

static ngx_int_t
ngx_http_chatmaid_answer_key(ngx_http_request_t *r, ngx_str_t *key)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   quoted;

    if (key->data[0] != '"') {
        return ngx_http_chatmaid_answer_add_header(r, "Idempotency-Key", key);
    }

    p = ngx_pnalloc(r->pool, 2 * key->len + sizeof("\"\"") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    quoted.data = p;
    *p++ = '"';

    for (i = 0; i < key->len; i++) {

        if (key->data[i] == '"' || key->data[i] == '\\') {
            *p++ = '\\';
        }

        *p++ = key->data[i];
    }

    *p++ = '"';
    quoted.len = p - quoted.data;

    return ngx_http_chatmaid_answer_add_header(r, "Idempotency-Key", &quoted);
}


ngx_chain_t *
ngx_http_chatmaid_answer_chain(ngx_http_request_t *r, ngx_str_t *text)
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


ngx_int_t
ngx_http_chatmaid_answer_add_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_http_chatmaid_request_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;
    h->lowcase_key = NULL;

    return NGX_OK;
}
