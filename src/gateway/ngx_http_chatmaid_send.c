
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
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_key_scope(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_replay(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_body(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_settle(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_settled(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);


ngx_http_chatmaid_step_pt  ngx_http_chatmaid_send_steps[] = {
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
    ngx_http_chatmaid_ctx_t *ctx)
{
    json_t      *body;
    ngx_int_t    rc;
    ngx_str_t    detail;
    const char  *reason;

    rc = ngx_http_chatmaid_idempotency_header(r, &ctx->key, &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem(r, ctx,
                                      NGX_HTTP_CHATMAID_INVALID_IDEMPOTENCY_KEY,
                                      "%s", reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_json_body(r, &body, &detail);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem(r, ctx, NGX_HTTP_CHATMAID_INVALID_JSON,
                                         "%V", &detail);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_message_read(r, ctx, body);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_chatmaid_send_key_scope(r, ctx);
}


/* A caller without a name space of its own must not fall into a shared one. */

static ngx_int_t
ngx_http_chatmaid_send_key_scope(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->key_scope == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->key_scope, &ctx->key_scope) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->key_scope.len == 0) {
        return ngx_http_chatmaid_problem(r, ctx, NGX_HTTP_CHATMAID_SCOPE_DENIED,
                                         "the caller has no idempotency scope "
                                         "here");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_claim(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (!conf->idempotency) {
        ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_send_forward);
        return NGX_OK;
    }

    return ngx_http_chatmaid_send_claim_ask(r, ctx);
}


static ngx_int_t
ngx_http_chatmaid_send_claimed(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid claim, result:%ui may_be_accepted:%ui",
                   ctx->lease.claim.result,
                   (ngx_uint_t) ctx->lease.claim.may_be_accepted);

    switch (ctx->lease.claim.result) {

    case NGX_HTTP_CHATMAID_CLAIMED:
        ngx_http_chatmaid_idempotency_claimed(ctx);
        ngx_http_chatmaid_lease_begin(&ctx->lease);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_DONE:
        ngx_http_chatmaid_idempotency_claimed(ctx);
        return ngx_http_chatmaid_send_replay(r, ctx);

    case NGX_HTTP_CHATMAID_CLOCK:
        ngx_str_null(&ctx->key);
        ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_idempotency_name);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
        ngx_http_chatmaid_idempotency_claimed(ctx);

        if (!ctx->answered
            && ngx_http_chatmaid_send_claim_wait(r, ctx) == NGX_AGAIN)
        {
            ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_send_claim);
            return NGX_AGAIN;
        }

        /* fall through */

    case NGX_HTTP_CHATMAID_LOST:
        ngx_http_chatmaid_problem(r, ctx,
                                  NGX_HTTP_CHATMAID_IDEMPOTENCY_IN_FLIGHT,
                                  "the same send is still under way");
        ctx->problem.retry_after = 1;
        break;

    case NGX_HTTP_CHATMAID_REUSED:
        ngx_http_chatmaid_problem(r, ctx,
                                  NGX_HTTP_CHATMAID_IDEMPOTENCY_KEY_REUSED,
                                  "the idempotency key is that of another "
                                  "message");
        break;

    default:
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid can't record a send: %s", ctx->lease.claim.reason);

        ngx_http_chatmaid_problem(r, ctx, NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                  "this send can't be recorded now");
        ctx->problem.retry_after = 1;
    }

    ctx->problem.may_be_accepted = 1;

    return NGX_DECLINED;
}


/* The message was sent before: this is Chatmaid's answer of then. */

static ngx_int_t
ngx_http_chatmaid_send_replay(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    if (!ctx->native) {
        ctx->answer = ngx_http_chatmaid_json_parse(r->pool,
                                                   &ctx->lease.claim.answer);
        if (ctx->answer == NULL) {
            return NGX_ERROR;
        }
    }

    ctx->replayed = 1;
    ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_send_answer);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_send_permit(r, ctx);

    if (rc == NGX_AGAIN) {
        ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_send_forward);
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        ctx->failed = 1;
        ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_send_settle);
        return NGX_OK;
    }

    if (ctx->body.len == 0 && ngx_http_chatmaid_send_body(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_call_start(r, ctx, &ctx->body);
}


/*
 * NGX_OK: a try may begin.  NGX_DECLINED: none, nor later, for the store or a
 * pause took longer than the deadline or the lease; what is to be said of it
 * stands in ctx->problem, which is that of the try before, where there was one.
 */

static ngx_int_t
ngx_http_chatmaid_send_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->answered
        || (ctx->lease.held
            && !ngx_http_chatmaid_lease_is_running(&ctx->lease)))
    {
        if (ctx->attempts == 0) {
            ngx_http_chatmaid_problem(r, ctx,
                                      NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                      "the record of this send came too late");
            ctx->problem.retry_after = 1;
        }

        return NGX_DECLINED;
    }

    rc = ngx_http_chatmaid_retry_hold(r, ctx);

    if (rc == NGX_DECLINED) {
        ctx->problem.may_be_accepted = ctx->may_be_accepted;
    }

    return rc;
}


/* The same bytes in every try. */

static ngx_int_t
ngx_http_chatmaid_send_body(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_str_t  key;

    if (ngx_http_chatmaid_idempotency_derive(r, ctx, &key) != NGX_OK
        || json_object_set_new(ctx->message, "idempotencyKey",
                               json_stringn((char *) key.data, key.len))
           != 0)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_json_dump(r->pool, ctx->message, JSON_SORT_KEYS,
                                       &ctx->body);
}


static ngx_int_t
ngx_http_chatmaid_send_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_call_result(r, ctx, &ctx->answer);

    ctx->failed = (rc != NGX_OK);

    if (rc != NGX_DECLINED) {
        return rc;              /* the end of its lease makes it ambiguous */
    }

    /* a later refusal says nothing of the tries before it */

    ctx->may_be_accepted |= ctx->problem.may_be_accepted;
    ctx->problem.may_be_accepted = ctx->may_be_accepted;

    if (ngx_http_chatmaid_retry_pause(r, ctx) == NGX_AGAIN) {
        ngx_http_chatmaid_flow_go(ctx, ngx_http_chatmaid_send_forward);
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_settle(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    if (!ctx->lease.held) {
        return NGX_OK;
    }

    if (!ctx->failed) {
        return ngx_http_chatmaid_lease_finish(&ctx->lease, &ctx->call->answer,
                                              ctx->call->status);
    }

    if (ctx->may_be_accepted) {
        return ngx_http_chatmaid_lease_mark_ambiguous(&ctx->lease);
    }

    return ngx_http_chatmaid_lease_remove(&ctx->lease);
}


static ngx_int_t
ngx_http_chatmaid_send_settled(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    if (ctx->lease.held) {

        /* refused or not sent, but that says nothing of the tries before */

        if (ctx->failed && ctx->lease.claim.rc != NGX_OK) {
            ctx->problem.may_be_accepted = 1;
        }

        ngx_http_chatmaid_send_claim_end(ctx);
    }

    return ctx->failed ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_str_t   text;
    ngx_uint_t  status;

    if (ctx->native) {
        status = ctx->replayed ? ctx->lease.claim.status : ctx->call->status;

        rc = ngx_http_chatmaid_answer(r, ctx, status,
                                      ctx->replayed ? &ctx->lease.claim.answer
                                                    : &ctx->call->answer);
        ngx_http_chatmaid_flow_end(r, ctx, rc);

        return NGX_DONE;
    }

    if (ngx_http_chatmaid_json_dump(r->pool,
                                    json_object_get(ctx->answer, "data"), 0,
                                    &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_chatmaid_answer(r, ctx, NGX_HTTP_CREATED, &text);
    ngx_http_chatmaid_flow_end(r, ctx, rc);

    return NGX_DONE;
}
