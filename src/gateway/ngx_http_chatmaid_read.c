
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_read.h"
#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_retry.h"


static ngx_int_t ngx_http_chatmaid_read_forward(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_read_forwarded(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_read_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_call_envelope_t *envelope);
static ngx_int_t ngx_http_chatmaid_read_unwrap(ngx_http_request_t *r,
    ngx_http_chatmaid_call_envelope_t *envelope, ngx_str_t *text);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_read_steps[] = {
    ngx_http_chatmaid_read_forward,     /* one try */
    ngx_http_chatmaid_read_forwarded,   /* a further try, or the answer */
    NULL
};


ngx_int_t
ngx_http_chatmaid_read_init(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_steps_init(&flow->steps, ngx_http_chatmaid_read_steps,
                                 flow);
    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_read_forward(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_flow_t *flow = data;

    ngx_int_t  rc;

    if (!ngx_http_chatmaid_flow_is_awaited(flow)) {
        return ngx_http_chatmaid_flow_end(flow);
    }

    rc = ngx_http_chatmaid_retry_hold(flow);

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(flow,
                                           ngx_http_chatmaid_read_forward);
    }

    return (rc == NGX_OK) ? ngx_http_chatmaid_flow_call(flow, NULL) : rc;
}


static ngx_int_t
ngx_http_chatmaid_read_forwarded(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_flow_t *flow = data;

    ngx_int_t                               rc;
    ngx_http_chatmaid_call_envelope_t       envelope;
    ngx_http_chatmaid_call_result_expect_e  expect;

    expect = flow->reply->native ? NGX_HTTP_CHATMAID_EXPECT_JSON
                                 : NGX_HTTP_CHATMAID_EXPECT_DATA;

    rc = ngx_http_chatmaid_call_result(r, flow->call, expect, &envelope,
                                       &flow->reply->problem);

    if (rc == NGX_OK) {
        return ngx_http_chatmaid_read_answer(r, flow, &envelope);
    }

    if (rc == NGX_DECLINED
        && ngx_http_chatmaid_retry_pause(flow) == NGX_AGAIN)
    {
        return ngx_http_chatmaid_flow_idle(flow,
                                           ngx_http_chatmaid_read_forward);
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_read_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_call_envelope_t *envelope)
{
    ngx_str_t  text;

    if (flow->reply->native) {
        return ngx_http_chatmaid_flow_answer(flow, flow->call->status,
                                             &flow->call->answer);
    }

    if (ngx_http_chatmaid_read_unwrap(r, envelope, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_flow_answer(flow, NGX_HTTP_OK, &text);
}


/* The bytes of "data".  The pagination of a list is in "data" or, according to
 * the types of the official client, beside it. */

static ngx_int_t
ngx_http_chatmaid_read_unwrap(ngx_http_request_t *r,
    ngx_http_chatmaid_call_envelope_t *envelope, ngx_str_t *text)
{
    u_char     *p;
    ngx_str_t  *data, *pagination;

    data = &envelope->data;
    pagination = &envelope->pagination;

    if (data->data[0] != '[' || pagination->len == 0) {
        *text = *data;
        return NGX_OK;
    }

    text->len = sizeof("{\"data\":,\"pagination\":}") - 1
                + data->len + pagination->len;

    p = ngx_pnalloc(r->pool, text->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    ngx_sprintf(p, "{\"data\":%V,\"pagination\":%V}", data, pagination);

    return NGX_OK;
}
