
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_filter.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_error_page.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_webhook.h"


static ngx_int_t ngx_http_chatmaid_filter_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_filter_body(ngx_http_request_t *r,
    ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_chatmaid_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_chatmaid_filter_header;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_chatmaid_filter_body;
}


static ngx_int_t
ngx_http_chatmaid_filter_header(ngx_http_request_t *r)
{
    ngx_http_chatmaid_call_t  *call;

    call = ngx_http_chatmaid_call_get(r);

    if (call) {
        return ngx_http_chatmaid_call_header_filter(r, call);
    }

    if (ngx_http_chatmaid_error_page_is_ours(r)) {

        /* the page may replace the answer of a flow, whose reply says what
         * became of the send */
        ngx_http_chatmaid_flow_restore(r);
    }

    if (ngx_http_chatmaid_error_page_header_filter(r) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_webhook_header_filter(r);

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_chatmaid_filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_chatmaid_call_t  *call;

    call = ngx_http_chatmaid_call_get(r);

    if (call) {
        return ngx_http_chatmaid_call_body_filter(r, call, in);
    }

    in = ngx_http_chatmaid_error_page_body_filter(r, in);

    return ngx_http_next_body_filter(r, in);
}
