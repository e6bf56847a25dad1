
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait_query.h"
#include "ngx_http_chatmaid_message_status.h"
#include "ngx_http_chatmaid_query.h"


static ngx_int_t ngx_http_chatmaid_wait_query_take(
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *args,
    ngx_http_chatmaid_wait_query_t *query);
static ngx_int_t ngx_http_chatmaid_wait_query_seconds(
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *value, ngx_msec_t *time);
static ngx_int_t ngx_http_chatmaid_wait_query_until(
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *value, ngx_uint_t *until);


ngx_int_t
ngx_http_chatmaid_wait_query(ngx_http_chatmaid_flow_t *flow, ngx_str_t *args,
    ngx_http_chatmaid_wait_query_t *query)
{
    ngx_int_t                     rc;
    ngx_http_chatmaid_problem_t  *problem;

    problem = &flow->reply->problem;

    ngx_memzero(query, sizeof(ngx_http_chatmaid_wait_query_t));

    query->until = NGX_HTTP_CHATMAID_DELIVERED;

    rc = ngx_http_chatmaid_wait_query_take(flow, args, query);

    if (rc != NGX_OK) {
        return rc;
    }

    if (query->waits > 1 || query->untils > 1) {
        return ngx_http_chatmaid_problem_set(flow->request->pool, problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "\"%s\" is given more than once",
                                             query->waits > 1 ? "wait"
                                                              : "until");
    }

    if (query->untils && query->waits == 0) {
        return ngx_http_chatmaid_problem_set(flow->request->pool, problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "\"until\" needs a \"wait\"");
    }

    return NGX_OK;
}


/* Leaves the other arguments in "args". */

static ngx_int_t
ngx_http_chatmaid_wait_query_take(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *args, ngx_http_chatmaid_wait_query_t *query)
{
    u_char     *p, *d;
    ngx_int_t   rc;
    ngx_str_t   rest, name, value;

    static ngx_str_t  wait = ngx_string("wait");
    static ngx_str_t  until = ngx_string("until");

    if (args->len == 0) {
        return NGX_OK;
    }

    d = ngx_pnalloc(flow->request->pool, args->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    p = d;
    rest = *args;
    rc = NGX_OK;

    while (rc == NGX_OK && ngx_http_chatmaid_query_next(&rest, &name, &value))
    {
        if (ngx_http_chatmaid_query_is(&name, &wait)) {
            query->waits++;
            rc = ngx_http_chatmaid_wait_query_seconds(flow, &value,
                                                      &query->time);

        } else if (ngx_http_chatmaid_query_is(&name, &until)) {
            query->untils++;
            rc = ngx_http_chatmaid_wait_query_until(flow, &value,
                                                    &query->until);

        } else {
            if (p != d) {
                *p++ = '&';
            }

            p = ngx_cpymem(p, name.data, value.data + value.len - name.data);
        }
    }

    if (rc == NGX_OK && query->waits) {
        args->data = d;
        args->len = p - d;
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_wait_query_seconds(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *value, ngx_msec_t *time)
{
    u_char                        *p, *last, ch;
    uint64_t                       msec;
    ngx_uint_t                     whole;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(flow->request,
                                        ngx_http_chatmaid_module);
    msec = 0;
    last = value->data + value->len;
    whole = (value->len != 0);

    for (p = value->data; p < last && whole; /* void */) {
        p = ngx_http_chatmaid_query_decode(p, last, &ch);

        /* a wait that is too long counts as chatmaid_wait_max */

        msec = ngx_min(msec * 10 + (ch - '0') * 1000, conf->wait_max);
        whole = (ch >= '0' && ch <= '9');
    }

    if (!whole) {
        return ngx_http_chatmaid_problem_set(flow->request->pool,
                                             &flow->reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "\"wait\" must be a whole number "
                                             "of seconds");
    }

    *time = (ngx_msec_t) msec;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_query_until(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *value, ngx_uint_t *until)
{
    ngx_uint_t  i;

    static ngx_str_t  names[] = {
        ngx_string("sent"),
        ngx_string("delivered"),
        ngx_string("read"),
        ngx_null_string
    };

    for (i = 0; names[i].len; i++) {
        if (ngx_http_chatmaid_query_is(value, &names[i])) {
            *until = NGX_HTTP_CHATMAID_SENT + i;
            return NGX_OK;
        }
    }

    return ngx_http_chatmaid_problem_set(flow->request->pool,
                                         &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                         "\"until\" must be \"sent\", "
                                         "\"delivered\" or \"read\"");
}
