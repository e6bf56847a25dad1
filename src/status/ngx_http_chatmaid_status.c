
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status.h"
#include "ngx_http_chatmaid_status_metrics.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_query.h"


typedef enum {
    NGX_HTTP_CHATMAID_STATUS_PROMETHEUS = 0,
    NGX_HTTP_CHATMAID_STATUS_JSON
} ngx_http_chatmaid_status_format_e;


static ngx_int_t ngx_http_chatmaid_status_format(ngx_http_request_t *r,
    ngx_uint_t *format);
static ngx_int_t ngx_http_chatmaid_status_output(ngx_http_request_t *r,
    ngx_http_chatmaid_status_writer_t *w);
static ngx_int_t ngx_http_chatmaid_status_headers(ngx_http_request_t *r);


/* By ngx_http_chatmaid_status_format_e.  To nginx's other modules a type ends
 * where its parameters begin. */

static struct {
    ngx_str_t    format;
    ngx_str_t    type;
    size_t       len;
} ngx_http_chatmaid_status_types[] = {
    { ngx_string("prometheus"),
      ngx_string("text/plain; version=0.0.4; charset=utf-8"),
      sizeof("text/plain") - 1 },

    { ngx_string("json"),
      ngx_string("application/json"),
      sizeof("application/json") - 1 },

    { ngx_null_string, ngx_null_string, 0 }
};


ngx_int_t
ngx_http_chatmaid_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_uint_t                         format;
    ngx_http_chatmaid_status_writer_t  w;

    static ngx_str_t  allow = ngx_string("GET, HEAD");

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_chatmaid_answer_add_header(r, "Allow", &allow) == NGX_OK
               ? NGX_HTTP_NOT_ALLOWED : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_status_format(r, &format);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_chatmaid_status_writer_init(&w, r->pool,
                                     format == NGX_HTTP_CHATMAID_STATUS_JSON);

    ngx_http_chatmaid_status_metrics_write(&w,
               ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module));

    if (ngx_http_chatmaid_status_writer_end(&w) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.content_type = ngx_http_chatmaid_status_types[format].type;
    r->headers_out.content_type_len =
                                   ngx_http_chatmaid_status_types[format].len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_chatmaid_status_output(r, &w);
}


static ngx_int_t
ngx_http_chatmaid_status_format(ngx_http_request_t *r, ngx_uint_t *format)
{
    ngx_str_t   args, name, value;
    ngx_uint_t  i;

    static ngx_str_t  wanted = ngx_string("format");

    args = r->args;

    while (ngx_http_chatmaid_query_next(&args, &name, &value)) {

        if (!ngx_http_chatmaid_query_is(&name, &wanted)) {
            continue;
        }

        for (i = 0; ngx_http_chatmaid_status_types[i].format.len; i++) {

            if (ngx_http_chatmaid_query_is(&value,
                                   &ngx_http_chatmaid_status_types[i].format))
            {
                *format = i;
                return NGX_OK;
            }
        }

        return NGX_HTTP_BAD_REQUEST;
    }

    *format = NGX_HTTP_CHATMAID_STATUS_PROMETHEUS;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_status_output(ngx_http_request_t *r,
    ngx_http_chatmaid_status_writer_t *w)
{
    ngx_int_t     rc;
    ngx_chain_t  *cl;

    if (ngx_http_chatmaid_status_headers(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = w->size;
    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    for (cl = w->out; cl->next; cl = cl->next) { /* void */ }

    cl->buf->last_buf = (r == r->main);
    cl->buf->last_in_chain = 1;

    return ngx_http_output_filter(r, w->out);
}


/* Nobody keeps it, and no browser takes it for anything else. */

static ngx_int_t
ngx_http_chatmaid_status_headers(ngx_http_request_t *r)
{
    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  nosniff = ngx_string("nosniff");

    return (ngx_http_chatmaid_answer_add_header(r, "Cache-Control", &no_store)
            == NGX_OK
            && ngx_http_chatmaid_answer_add_header(r, "X-Content-Type-Options",
                                                   &nosniff)
               == NGX_OK)
           ? NGX_OK : NGX_ERROR;
}
