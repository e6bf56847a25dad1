
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_send.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_send_claim.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_message.h"
#include "ngx_http_chatmaid_idempotency.h"
#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_call_result.h"


static ngx_int_t ngx_http_chatmaid_send_parse(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_key_scope(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_replay(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_body(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_settle(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_settled(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);


ngx_http_chatmaid_flow_step_pt  ngx_http_chatmaid_send_steps[] = {
    ngx_http_chatmaid_send_parse,       /* body to message, all faults */
    ngx_http_chatmaid_idempotency_name,   /* operation key, fingerprint, record */
    ngx_http_chatmaid_send_claim,       /* ask the store */
    ngx_http_chatmaid_send_claimed,     /* ours, done, reused, in flight */
    ngx_http_chatmaid_send_forward,     /* one try */
    ngx_http_chatmaid_send_forwarded,   /* another one, or no more */
    ngx_http_chatmaid_send_settle,      /* record what became of it */
    ngx_http_chatmaid_send_settled,
    ngx_http_chatmaid_send_answer,
    NULL
};


static ngx_int_t
ngx_http_chatmaid_send_parse(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    json_t      *body;
    ngx_int_t    rc;
    ngx_str_t    detail;
    const char  *reason;

    flow->reply->key = &flow->key;

    rc = ngx_http_chatmaid_idempotency_header(r, &flow->key, &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                      NGX_HTTP_CHATMAID_INVALID_IDEMPOTENCY_KEY,
                                      "%s", reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_json_body(r, &body, &detail);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_INVALID_JSON,
                                         "%V", &detail);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_message_read(r, flow, body);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_chatmaid_send_key_scope(r, flow);
}


/* A caller without a name space of its own must not fall into a shared one. */

static ngx_int_t
ngx_http_chatmaid_send_key_scope(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->key_scope == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->key_scope, &flow->key_scope) != NGX_OK) {
        return NGX_ERROR;
    }

    if (flow->key_scope.len == 0) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_SCOPE_DENIED,
                                         "the caller has no idempotency scope "
                                         "here");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (!conf->idempotency) {
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_forward);
        return NGX_OK;
    }

    return ngx_http_chatmaid_send_claim_ask(r, flow);
}


static ngx_int_t
ngx_http_chatmaid_send_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid claim, result:%ui may_be_accepted:%ui",
                   flow->lease.claim.result,
                   (ngx_uint_t) flow->lease.claim.may_be_accepted);

    switch (flow->lease.claim.result) {

    case NGX_HTTP_CHATMAID_CLAIMED:
        ngx_http_chatmaid_idempotency_claimed(flow);
        ngx_http_chatmaid_lease_begin(&flow->lease);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_DONE:
        ngx_http_chatmaid_idempotency_claimed(flow);
        return ngx_http_chatmaid_send_replay(r, flow);

    case NGX_HTTP_CHATMAID_CLOCK:
        ngx_str_null(&flow->key);
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_idempotency_name);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
        ngx_http_chatmaid_idempotency_claimed(flow);

        if (!flow->answered
            && ngx_http_chatmaid_send_claim_wait(r, flow) == NGX_AGAIN)
        {
            ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_claim);
            return NGX_AGAIN;
        }

        /* fall through */

    case NGX_HTTP_CHATMAID_LOST:
        ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                  NGX_HTTP_CHATMAID_IDEMPOTENCY_IN_FLIGHT,
                                  "the same send is still under way");
        flow->reply->problem.retry_after = 1;
        break;

    case NGX_HTTP_CHATMAID_REUSED:
        ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                  NGX_HTTP_CHATMAID_IDEMPOTENCY_KEY_REUSED,
                                  "the idempotency key is that of another "
                                  "message");
        break;

    default:
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid can't record a send: %s", flow->lease.claim.reason);

        ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                  "this send can't be recorded now");
        flow->reply->problem.retry_after = 1;
    }

    flow->reply->problem.may_be_accepted = 1;

    return NGX_DECLINED;
}


/* The message was sent before: this is Chatmaid's answer of then. */

static ngx_int_t
ngx_http_chatmaid_send_replay(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    if (!flow->reply->native) {
        flow->answer = ngx_http_chatmaid_json_parse(r->pool,
                                                   &flow->lease.claim.answer);
        if (flow->answer == NULL) {
            return NGX_ERROR;
        }
    }

    flow->reply->replayed = 1;
    ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_answer);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_send_permit(r, flow);

    if (rc == NGX_AGAIN) {
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_forward);
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        flow->failed = 1;
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_settle);
        return NGX_OK;
    }

    if (flow->body.len == 0 && ngx_http_chatmaid_send_body(r, flow) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_call_start(r, flow, &flow->body);
}


/*
 * NGX_OK: a try may begin.  NGX_DECLINED: none, nor later, for the store or a
 * pause took longer than the deadline or the lease; what is to be said of it
 * stands in flow->reply->problem, which is that of the try before, where there was one.
 */

static ngx_int_t
ngx_http_chatmaid_send_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    if (flow->answered
        || (flow->lease.held
            && !ngx_http_chatmaid_lease_is_running(&flow->lease)))
    {
        if (flow->attempts == 0) {
            ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                      NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                      "the record of this send came too late");
            flow->reply->problem.retry_after = 1;
        }

        return NGX_DECLINED;
    }

    rc = ngx_http_chatmaid_retry_hold(r, flow);

    if (rc == NGX_DECLINED) {
        flow->reply->problem.may_be_accepted = flow->may_be_accepted;
    }

    return rc;
}


/* The same bytes in every try. */

static ngx_int_t
ngx_http_chatmaid_send_body(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_str_t  key;

    if (ngx_http_chatmaid_idempotency_derive(r, flow, &key) != NGX_OK
        || json_object_set_new(flow->message, "idempotencyKey",
                               json_stringn((char *) key.data, key.len))
           != 0)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_json_dump(r->pool, flow->message, JSON_SORT_KEYS,
                                       &flow->body);
}


static ngx_int_t
ngx_http_chatmaid_send_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_call_result(r, flow, &flow->answer);

    flow->failed = (rc != NGX_OK);

    if (rc != NGX_DECLINED) {
        return rc;              /* the end of its lease makes it ambiguous */
    }

    /* a later refusal says nothing of the tries before it */

    flow->may_be_accepted |= flow->reply->problem.may_be_accepted;
    flow->reply->problem.may_be_accepted = flow->may_be_accepted;

    if (ngx_http_chatmaid_retry_pause(r, flow) == NGX_AGAIN) {
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_forward);
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_settle(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    if (!flow->lease.held) {
        return NGX_OK;
    }

    if (!flow->failed) {
        return ngx_http_chatmaid_lease_finish(&flow->lease, &flow->call->answer,
                                              flow->call->status);
    }

    if (flow->may_be_accepted) {
        return ngx_http_chatmaid_lease_mark_ambiguous(&flow->lease);
    }

    return ngx_http_chatmaid_lease_remove(&flow->lease);
}


static ngx_int_t
ngx_http_chatmaid_send_settled(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    if (flow->lease.held) {

        /* refused or not sent, but that says nothing of the tries before */

        if (flow->failed && flow->lease.claim.rc != NGX_OK) {
            flow->reply->problem.may_be_accepted = 1;
        }

        ngx_http_chatmaid_send_claim_end(flow);
    }

    return flow->failed ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_str_t   text;
    ngx_uint_t  status;

    if (flow->reply->native) {
        status = flow->reply->replayed ? flow->lease.claim.status : flow->call->status;

        return ngx_http_chatmaid_flow_answer(r, flow, status,
                                      flow->reply->replayed ? &flow->lease.claim.answer
                                                    : &flow->call->answer);
    }

    if (ngx_http_chatmaid_json_dump(r->pool,
                                    json_object_get(flow->answer, "data"), 0,
                                    &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_flow_answer(r, flow, NGX_HTTP_CREATED, &text);
}
