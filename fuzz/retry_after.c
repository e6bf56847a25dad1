
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * How long Chatmaid says to wait.  The first line is the status, the second the
 * Retry-After header, the rest the body of the answer.
 */


#include "harness.h"
#include "ngx_http_chatmaid_call_error.h"
#include "ngx_http_chatmaid_json_text.h"


#define RETRY_AFTER_MAX  (30 * 24 * 3600)


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    time_t                         time;
    ngx_int_t                      rc;
    ngx_str_t                      status, header, body, text;
    ngx_table_elt_t               *h;
    harness_input_t                in;
    ngx_http_request_t            *r;
    ngx_http_upstream_t            upstream;
    ngx_http_chatmaid_call_t       call;
    ngx_http_chatmaid_problem_t    problem;

    static ngx_str_t  path = ngx_string("v1/messages/send");

    r = harness_request("/chatmaid/");
    harness_input(&in, r->pool, data, size);

    status = harness_line(&in);
    header = harness_line(&in);
    body = harness_rest(&in);

    ngx_memzero(&call, sizeof(call));
    ngx_memzero(&upstream, sizeof(upstream));

    call.conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    call.upstream = &upstream;
    call.path = path;
    call.status = 400 + (status.len ? status.data[0] : 29) % 100;
    call.body = (status.len > 1) ? &body : NULL;
    call.exists = (status.len > 2);

    harness_check(ngx_list_init(&upstream.headers_in.headers, r->pool, 4,
                                sizeof(ngx_table_elt_t))
                  == NGX_OK);

    if (header.len) {
        h = ngx_list_push(&upstream.headers_in.headers);
        harness_check(h != NULL);

        ngx_memzero(h, sizeof(ngx_table_elt_t));
        h->hash = 1;
        ngx_str_set(&h->key, "Retry-After");
        h->lowcase_key = (u_char *) "retry-after";
        h->value = header;
    }

    text = body;

    if (ngx_http_chatmaid_json_text_check(&text) != NGX_OK) {
        ngx_str_null(&text);
    }

    time = ngx_http_chatmaid_call_error_retry_after(&call, &text);

    harness_check(time >= 0 && time <= RETRY_AFTER_MAX);

    if (text.len) {
        rc = ngx_http_chatmaid_call_error(r, &call, &problem, &text);

        harness_check(rc == NGX_DECLINED);
        harness_check(problem.retry_after == time);
        harness_check(problem.detail.len > 0);
        harness_check(problem.may_be_accepted
                      == (call.status == 408 || call.status == 409));
    }

    harness_end(r);

    return 0;
}
