
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_read.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_call_result.h"


static ngx_int_t ngx_http_chatmaid_read_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_read_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_read_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static json_t *ngx_http_chatmaid_read_unwrap(ngx_http_request_t *r,
    json_t *answer);


ngx_http_chatmaid_step_pt  ngx_http_chatmaid_read_steps[] = {
    ngx_http_chatmaid_read_forward,     /* one try */
    ngx_http_chatmaid_read_forwarded,   /* another one, or no more */
    ngx_http_chatmaid_read_answer,
    NULL
};


static ngx_int_t
ngx_http_chatmaid_read_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_int_t  rc;

    /* nobody wants the answer any more */

    if (ctx->gone || ctx->answered) {
        ngx_http_chatmaid_flow_end(r, ctx, ctx->answer_rc);
        return NGX_DONE;
    }

    rc = ngx_http_chatmaid_retry_hold(r, ctx);

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(r, ctx,
                                           ngx_http_chatmaid_read_forward);
    }

    return (rc == NGX_OK) ? ngx_http_chatmaid_call_start(r, ctx, NULL) : rc;
}


static ngx_int_t
ngx_http_chatmaid_read_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_call_result(r, ctx, &ctx->answer);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_chatmaid_retry_pause(r, ctx);

        if (rc == NGX_AGAIN) {
            return ngx_http_chatmaid_flow_idle(r, ctx,
                                               ngx_http_chatmaid_read_forward);
        }
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_read_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    json_t      *data;
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_uint_t   status;

    if (ctx->native) {
        text = ctx->call->answer;
        status = ctx->call->status;

    } else {
        data = ngx_http_chatmaid_read_unwrap(r, ctx->answer);
        status = NGX_HTTP_OK;

        if (data == NULL
            || ngx_http_chatmaid_json_dump(r->pool, data, 0, &text) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    rc = ngx_http_chatmaid_answer(r, ctx, status, &text);
    ngx_http_chatmaid_flow_end(r, ctx, rc);

    return NGX_DONE;
}


/* A list's pages stand in "data", or, by the SDK's types, beside it. */

static json_t *
ngx_http_chatmaid_read_unwrap(ngx_http_request_t *r, json_t *answer)
{
    json_t  *data, *pagination;

    data = json_object_get(answer, "data");
    pagination = json_object_get(answer, "pagination");

    if (!json_is_array(data) || pagination == NULL) {
        return data;
    }

    data = json_pack("{s:O, s:O}", "data", data, "pagination", pagination);

    return ngx_http_chatmaid_json_keep(r->pool, data);
}
