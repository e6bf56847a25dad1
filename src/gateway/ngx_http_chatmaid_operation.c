
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_operation.h"
#include "ngx_http_chatmaid_call_envelope.h"
#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_idempotency.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_store_look.h"


#define NGX_HTTP_CHATMAID_OPERATION_TIME                                      \
    (sizeof("2026-07-25T17:19:58.000Z") - 1)

/* The last millisecond of the year 9999, in Unix time. */
#define NGX_HTTP_CHATMAID_OPERATION_LAST  253402300799999


typedef struct {
    ngx_http_chatmaid_flow_t         *flow;
    ngx_http_chatmaid_idempotency_t   operation;
    ngx_http_chatmaid_claim_t         claim;
} ngx_http_chatmaid_operation_t;


static ngx_int_t ngx_http_chatmaid_operation_key(
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *key);
static ngx_uint_t ngx_http_chatmaid_operation_has_dots(ngx_str_t *key);
static ngx_int_t ngx_http_chatmaid_operation_look(ngx_http_request_t *r,
    void *data);
static void ngx_http_chatmaid_operation_handler(void *data);
static void ngx_http_chatmaid_operation_leave(void *data);
static ngx_int_t ngx_http_chatmaid_operation_looked(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_operation_done(ngx_http_request_t *r,
    ngx_http_chatmaid_operation_t *op);
static ngx_int_t ngx_http_chatmaid_operation_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_operation_t *op, const char *state, ngx_str_t *message);
static ngx_int_t ngx_http_chatmaid_operation_unavailable(
    ngx_http_request_t *r, ngx_http_chatmaid_operation_t *op);
static u_char *ngx_http_chatmaid_operation_time(u_char *p, int64_t msec);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_operation_steps[] = {
    ngx_http_chatmaid_operation_look,     /* asks the store */
    ngx_http_chatmaid_operation_looked,   /* its answer */
    NULL
};


ngx_int_t
ngx_http_chatmaid_operation_init(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t                       rc;
    ngx_http_request_t             *r;
    ngx_http_chatmaid_operation_t  *op;

    static ngx_str_t  no_store = ngx_string("no-store");

    r = flow->request;

    op = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_operation_t));

    if (op == NULL
        || ngx_http_chatmaid_answer_add_header(r, "Cache-Control", &no_store)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    op->flow = flow;
    op->operation.claim = &op->claim;

    ngx_http_chatmaid_steps_init(&flow->steps,
                                 ngx_http_chatmaid_operation_steps, op);

    rc = ngx_http_chatmaid_operation_key(flow, &op->operation.key);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_idempotency_scope(r, &flow->reply->problem,
                                             &op->operation.key_scope);
    if (rc != NGX_OK) {
        return rc;
    }

    /* the record of a send without a key can't be found: its name contains the
     * fingerprint, which is not known here */

    return ngx_http_chatmaid_idempotency_name(r, &op->operation);
}


static ngx_int_t
ngx_http_chatmaid_operation_key(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *key)
{
    u_char       ch, *p, *d, *last;
    ngx_pool_t  *pool;
    const char  *reason;

    pool = flow->request->pool;

    key->data = ngx_pnalloc(pool, flow->id.len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    d = key->data;
    last = flow->id.data + flow->id.len;

    for (p = flow->id.data; p < last; *d++ = ch) {
        p = ngx_http_chatmaid_query_decode(p, last, &ch);
    }

    key->len = d - key->data;

    reason = ngx_http_chatmaid_idempotency_check(key);

    if (reason == NULL && ngx_http_chatmaid_operation_has_dots(key)) {
        reason = "must not hold a dot segment here";
    }

    return reason
           ? ngx_http_chatmaid_problem_set(pool, &flow->reply->problem,
                                     NGX_HTTP_CHATMAID_INVALID_IDEMPOTENCY_KEY,
                                     "the key in the path %s", reason)
           : NGX_OK;
}


/* Whether the key has dot segments.  nginx resolved them, encoded or not, when
 * it chose the location. */

static ngx_uint_t
ngx_http_chatmaid_operation_has_dots(ngx_str_t *key)
{
    u_char  *p, *last, *next;

    last = key->data + key->len;

    for (p = key->data; p < last; p = next + 1) {

        for (next = p; next < last && *next != '/'; next++) { /* void */ }

        if ((next - p == 1 && p[0] == '.')
            || (next - p == 2 && p[0] == '.' && p[1] == '.'))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_chatmaid_operation_look(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_operation_t *op = data;

    ngx_int_t                   rc;
    ngx_http_chatmaid_flow_t   *flow;
    ngx_http_chatmaid_claim_t  *claim;

    flow = op->flow;
    claim = &op->claim;

    claim->pool = r->pool;
    claim->mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    claim->handler = ngx_http_chatmaid_operation_handler;
    claim->data = flow;

    flow->leave = ngx_http_chatmaid_operation_leave;

    ngx_http_chatmaid_facts_store_asked(flow->reply->facts);

    rc = ngx_http_chatmaid_store_look(claim);

    return (rc == NGX_AGAIN)
           ? ngx_http_chatmaid_flow_idle(flow,
                                         ngx_http_chatmaid_operation_looked)
           : rc;
}


static void
ngx_http_chatmaid_operation_handler(void *data)
{
    ngx_http_chatmaid_flow_resume(data);
}


static void
ngx_http_chatmaid_operation_leave(void *data)
{
    ngx_http_chatmaid_operation_t *op = data;

    op->claim.mcf->store->abandon(&op->claim);
}


static ngx_int_t
ngx_http_chatmaid_operation_looked(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_operation_t *op = data;

    ngx_http_chatmaid_reply_t  *reply;

    reply = op->flow->reply;

    ngx_http_chatmaid_facts_store_answered(reply->facts, op->claim.store);

    switch (op->claim.result) {

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
        return ngx_http_chatmaid_operation_answer(r, op, "in_flight", NULL);

    case NGX_HTTP_CHATMAID_AMBIGUOUS:
        return ngx_http_chatmaid_operation_answer(r, op, "ambiguous", NULL);

    case NGX_HTTP_CHATMAID_DONE:
        return ngx_http_chatmaid_operation_done(r, op);

    case NGX_HTTP_CHATMAID_ABSENT:
        return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                             NGX_HTTP_CHATMAID_NOT_FOUND,
                                             "no send with this key is known");

    default:
        return ngx_http_chatmaid_operation_unavailable(r, op);
    }
}


/* Others may have written what the record holds, so it is checked. */

static ngx_int_t
ngx_http_chatmaid_operation_done(ngx_http_request_t *r,
    ngx_http_chatmaid_operation_t *op)
{
    ngx_int_t                           rc;
    ngx_http_chatmaid_call_envelope_t   answer;

    rc = ngx_http_chatmaid_call_envelope_read(r->pool, &op->claim.answer,
                                              &answer);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK
        || !ngx_http_chatmaid_call_result_is_success(&answer,
                                             NGX_HTTP_CHATMAID_EXPECT_MESSAGE))
    {
        return ngx_http_chatmaid_operation_unavailable(r, op);
    }

    return ngx_http_chatmaid_operation_answer(r, op, "done", &answer.data);
}


static ngx_int_t
ngx_http_chatmaid_operation_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_operation_t *op, const char *state, ngx_str_t *message)
{
    u_char      *p;
    size_t       len, escaped;
    ngx_str_t   *key, text;

    key = &op->operation.key;
    escaped = ngx_escape_json(NULL, key->data, key->len);

    len = sizeof("{\"key\":\"\",\"state\":\"\",\"begunAt\":\"\","
                 "\"message\":}") - 1
          + key->len + escaped + ngx_strlen(state)
          + NGX_HTTP_CHATMAID_OPERATION_TIME + (message ? message->len : 0);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text.data = p;

    p = ngx_cpymem(p, "{\"key\":\"", sizeof("{\"key\":\"") - 1);
    p = (u_char *) ngx_escape_json(p, key->data, key->len);
    p = ngx_sprintf(p, "\",\"state\":\"%s\",\"begunAt\":\"", state);
    p = ngx_http_chatmaid_operation_time(p, op->claim.begun);
    *p++ = '"';

    if (message) {
        p = ngx_sprintf(p, ",\"message\":%V", message);
    }

    *p++ = '}';

    text.len = p - text.data;

    return ngx_http_chatmaid_flow_answer(op->flow, NGX_HTTP_OK, &text);
}


static ngx_int_t
ngx_http_chatmaid_operation_unavailable(ngx_http_request_t *r,
    ngx_http_chatmaid_operation_t *op)
{
    ngx_http_chatmaid_problem_t  *problem;

    problem = &op->flow->reply->problem;

    ngx_http_chatmaid_problem_set(r->pool, problem,
                                  NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                  "the record of this send can't be read now");
    problem->retry_after = 1;

    return NGX_DECLINED;
}


/* ISO 8601, UTC, with milliseconds.  A record may have been written by others,
 * with a time beyond the year 9999. */

static u_char *
ngx_http_chatmaid_operation_time(u_char *p, int64_t msec)
{
    ngx_tm_t  tm;

    msec = ngx_min(msec, NGX_HTTP_CHATMAID_OPERATION_LAST);

    ngx_gmtime((time_t) (msec / 1000), &tm);

    return ngx_sprintf(p, "%4d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                       tm.ngx_tm_year, tm.ngx_tm_mon, tm.ngx_tm_mday,
                       tm.ngx_tm_hour, tm.ngx_tm_min, tm.ngx_tm_sec,
                       (int) (msec % 1000));
}
