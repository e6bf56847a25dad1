
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status.h"
#include "ngx_http_chatmaid_status_metrics.h"
#include "ngx_http_chatmaid_status_page.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_request.h"


typedef enum {
    NGX_HTTP_CHATMAID_STATUS_PROMETHEUS = 0,
    NGX_HTTP_CHATMAID_STATUS_JSON,
    NGX_HTTP_CHATMAID_STATUS_HTML
} ngx_http_chatmaid_status_format_e;


static ngx_int_t ngx_http_chatmaid_status_format(ngx_http_request_t *r,
    ngx_uint_t *format);
static ngx_uint_t ngx_http_chatmaid_status_is_browser(ngx_http_request_t *r);
static ngx_uint_t ngx_http_chatmaid_status_takes_html(ngx_str_t *accept);
static ngx_int_t ngx_http_chatmaid_status_text(ngx_http_request_t *r,
    ngx_uint_t json, ngx_chain_t **out, off_t *size);
static ngx_int_t ngx_http_chatmaid_status_headers(ngx_http_request_t *r,
    ngx_uint_t html);


/* Indexed by ngx_http_chatmaid_status_format_e.  "len" is the length of the
 * type without its parameters, as nginx's other modules need it. */

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

    { ngx_string("html"),
      ngx_string("text/html; charset=utf-8"),
      sizeof("text/html") - 1 },

    { ngx_null_string, ngx_null_string, 0 }
};


ngx_int_t
ngx_http_chatmaid_status_handler(ngx_http_request_t *r)
{
    off_t         size;
    ngx_int_t     rc;
    ngx_uint_t    format;
    ngx_chain_t  *out;

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

    if (format == NGX_HTTP_CHATMAID_STATUS_HTML) {
        out = ngx_http_chatmaid_answer_chain(r,
                                             &ngx_http_chatmaid_status_page);
        rc = out ? NGX_OK : NGX_ERROR;
        size = ngx_http_chatmaid_status_page.len;

    } else {
        rc = ngx_http_chatmaid_status_text(r,
                                      format == NGX_HTTP_CHATMAID_STATUS_JSON,
                                      &out, &size);
    }

    if (rc != NGX_OK
        || ngx_http_chatmaid_status_headers(r,
                                      format == NGX_HTTP_CHATMAID_STATUS_HTML)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = size;
    r->headers_out.content_type = ngx_http_chatmaid_status_types[format].type;
    r->headers_out.content_type_len =
                                   ngx_http_chatmaid_status_types[format].len;
    r->headers_out.content_type_lowcase = NULL;

    r->disable_not_modified = 1;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, out);
}


/* Chooses the format by the query, or by the client if the query names none.
 * NGX_OK; NGX_HTTP_BAD_REQUEST: the query names an unknown format. */

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

    *format = ngx_http_chatmaid_status_is_browser(r)
              ? NGX_HTTP_CHATMAID_STATUS_HTML
              : NGX_HTTP_CHATMAID_STATUS_PROMETHEUS;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_chatmaid_status_is_browser(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    for (h = ngx_http_chatmaid_request_header(&r->headers_in.headers.part,
                                              "accept", NULL);
         h;
         h = ngx_http_chatmaid_request_header(&r->headers_in.headers.part,
                                              "accept", h))
    {
        if (ngx_http_chatmaid_status_takes_html(&h->value)) {
            return 1;
        }
    }

    return 0;
}


/* Whether the list (RFC 9110, section 12.5.1) names text/html itself, not only
 * by a wildcard.  A weight is ignored: nobody sends this type with "q=0". */

static ngx_uint_t
ngx_http_chatmaid_status_takes_html(ngx_str_t *accept)
{
    u_char  *p, *last;

    static ngx_str_t  html = ngx_string("text/html");

    p = accept->data;
    last = p + accept->len;

    for ( ;; ) {

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }

        if ((size_t) (last - p) >= html.len
            && ngx_strncasecmp(p, html.data, html.len) == 0)
        {
            p += html.len;

            if (p == last || *p == ',' || *p == ';' || *p == ' ') {
                return 1;
            }
        }

        p = ngx_strlchr(p, last, ',');

        if (p == NULL) {
            return 0;
        }

        p++;
    }
}


static ngx_int_t
ngx_http_chatmaid_status_text(ngx_http_request_t *r, ngx_uint_t json,
    ngx_chain_t **out, off_t *size)
{
    ngx_http_chatmaid_status_writer_t  w;

    ngx_http_chatmaid_status_writer_init(&w, r->pool, json);

    ngx_http_chatmaid_status_metrics_write(&w,
                ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module));

    if (ngx_http_chatmaid_status_writer_end(&w) != NGX_OK) {
        return NGX_ERROR;
    }

    w.last->buf->last_buf = (r == r->main);
    w.last->buf->last_in_chain = 1;

    *out = w.out;
    *size = w.size;

    return NGX_OK;
}


/* The answer must not be cached, and a browser must not guess its type. */

static ngx_int_t
ngx_http_chatmaid_status_headers(ngx_http_request_t *r, ngx_uint_t html)
{
    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  nosniff = ngx_string("nosniff");

    if (ngx_http_chatmaid_answer_add_header(r, "Cache-Control", &no_store)
        != NGX_OK
        || ngx_http_chatmaid_answer_add_header(r, "X-Content-Type-Options",
                                               &nosniff)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return html
           ? ngx_http_chatmaid_answer_add_header(r, "Content-Security-Policy",
                                      &ngx_http_chatmaid_status_page_policy)
           : NGX_OK;
}
