
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_send.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_message.h"
#include "ngx_http_chatmaid_operation.h"
#include "ngx_http_chatmaid_verdict.h"


static ngx_int_t ngx_http_chatmaid_send_parse(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_identify(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);


ngx_http_chatmaid_step_pt  ngx_http_chatmaid_send_steps[] = {
    ngx_http_chatmaid_send_parse,       /* body to message, all faults at once */
    ngx_http_chatmaid_send_identify,    /* operation key, Chatmaid's key */
    ngx_http_chatmaid_send_forward,     /* one try */
    ngx_http_chatmaid_send_answer,      /* the message, or what went wrong */
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

    rc = ngx_http_chatmaid_operation_header(r, &ctx->key, &reason);

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

    return ngx_http_chatmaid_message_read(r, ctx, body);
}


static ngx_int_t
ngx_http_chatmaid_send_identify(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    json_t     *json;
    ngx_str_t   key;

    if (ngx_http_chatmaid_operation_fingerprint(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->key.len == 0
        && ngx_http_chatmaid_operation_keyless(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_operation_derive(r, ctx, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    json = json_stringn((char *) key.data, key.len);

    if (json_object_set_new(ctx->message, "idempotencyKey", json) != 0) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_json_dump(r->pool, ctx->message, JSON_SORT_KEYS,
                                       &ctx->body);
}


static ngx_int_t
ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    return ngx_http_chatmaid_call_start(r, ctx, &ctx->body);
}


static ngx_int_t
ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    json_t     *answer;
    ngx_int_t   rc;
    ngx_str_t   text;

    rc = ngx_http_chatmaid_verdict(r, ctx, &answer);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_chatmaid_json_dump(r->pool, json_object_get(answer, "data"),
                                    0, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_chatmaid_answer(r, ctx, NGX_HTTP_CREATED, &text);
    ngx_http_chatmaid_flow_end(r, ctx, rc);

    return NGX_DONE;
}
