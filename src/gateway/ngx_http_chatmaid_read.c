
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
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_read_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_read_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static json_t *ngx_http_chatmaid_read_unwrap(ngx_http_request_t *r,
    json_t *answer);


ngx_http_chatmaid_flow_step_pt  ngx_http_chatmaid_read_steps[] = {
    ngx_http_chatmaid_read_forward,     /* one try */
    ngx_http_chatmaid_read_forwarded,   /* another one, or no more */
    ngx_http_chatmaid_read_answer,
    NULL
};


static ngx_int_t
ngx_http_chatmaid_read_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    /* nobody wants the answer any more */

    if (flow->gone || flow->answered) {
        ngx_http_chatmaid_flow_end(r, flow, flow->answer_rc);
        return NGX_DONE;
    }

    rc = ngx_http_chatmaid_retry_hold(r, flow);

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(r, flow,
                                           ngx_http_chatmaid_read_forward);
    }

    return (rc == NGX_OK) ? ngx_http_chatmaid_call_start(r, flow, NULL) : rc;
}


static ngx_int_t
ngx_http_chatmaid_read_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_call_result(r, flow, &flow->answer);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_chatmaid_retry_pause(r, flow);

        if (rc == NGX_AGAIN) {
            return ngx_http_chatmaid_flow_idle(r, flow,
                                               ngx_http_chatmaid_read_forward);
        }
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_read_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    json_t      *data;
    ngx_str_t    text;
    ngx_uint_t   status;

    if (flow->reply->native) {
        text = flow->call->answer;
        status = flow->call->status;

    } else {
        data = ngx_http_chatmaid_read_unwrap(r, flow->answer);
        status = NGX_HTTP_OK;

        if (data == NULL
            || ngx_http_chatmaid_json_dump(r->pool, data, 0, &text) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_chatmaid_flow_answer(r, flow, status, &text);
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
