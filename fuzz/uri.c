
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A request's target: its path, byte for byte, the endpoint it names, and the
 * path of the call.  nginx parses the request line first, as it does.
 */


#include "harness.h"
#include "ngx_http_chatmaid_gateway.c"


static ngx_uint_t uri_nginx(ngx_http_request_t *r, ngx_str_t *target);
static void uri_check(ngx_http_request_t *r, ngx_http_chatmaid_uri_t *uri);
static void uri_check_path(ngx_http_request_t *r, ngx_str_t *path);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, "chatmaid_sender +15550100001;");
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                              how;
    ngx_int_t                           rc;
    ngx_str_t                           target, id;
    const char                         *reason;
    harness_input_t                     in;
    ngx_http_request_t                 *r;
    ngx_http_chatmaid_uri_t             uri;
    ngx_http_chatmaid_flow_t           *flow;
    ngx_http_chatmaid_reply_t          *reply;
    ngx_http_chatmaid_loc_conf_t       *conf;
    ngx_http_chatmaid_gateway_route_t  *route;

    r = harness_request("/chatmaid/");
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    harness_input(&in, r->pool, data, size);
    how = harness_byte(&in);
    target = harness_rest(&in);

    /* in nginx this location is chosen by the decoded path */

    if (!uri_nginx(r, &target)
        || r->uri.len < conf->gateway->prefix.len
        || ngx_memcmp(r->uri.data, conf->gateway->prefix.data,
                      conf->gateway->prefix.len)
           != 0)
    {
        harness_end(r);
        return 0;
    }

    r->valid_unparsed_uri = !(how & 1);     /* rewritten */
    r->method = (how & 2) ? NGX_HTTP_POST : NGX_HTTP_GET;

    reply = ngx_http_chatmaid_answer_get_reply(r);
    harness_check(reply != NULL);
    flow = ngx_http_chatmaid_flow_create(r, reply);
    harness_check(flow != NULL);

    reason = NULL;
    rc = ngx_http_chatmaid_uri_parse(r, &conf->gateway->prefix, &uri, &reason);

    harness_check(rc == NGX_OK || (rc == NGX_DECLINED && reason));

    if (rc == NGX_OK) {
        uri_check(r, &uri);
    }

    route = NULL;
    rc = ngx_http_chatmaid_gateway_route(r, reply, &route, &id);
    harness_check(rc == NGX_OK || rc == NGX_DECLINED);
    flow->id = id;

    if (rc == NGX_OK
        && ngx_http_chatmaid_gateway_permit(r, reply, route) == NGX_OK
        && route->api_path
        && ngx_http_chatmaid_gateway_path(r, flow, route) == NGX_OK)
    {
        uri_check_path(r, &reply->path);

        harness_check(ngx_http_chatmaid_gateway_facts_route(reply->facts)
                      == route->name);
    }

    harness_end(r);

    return 0;
}


/* What ngx_http_process_request_line() does, but for the answer of errors. */

static ngx_uint_t
uri_nginx(ngx_http_request_t *r, ngx_str_t *target)
{
    ngx_buf_t                 *b;
    ngx_http_core_srv_conf_t  *cscf;

    b = ngx_create_temp_buf(r->pool, target->len + 32);
    harness_check(b != NULL);

    b->last = ngx_cpymem(b->last, "GET ", 4);
    b->last = ngx_cpymem(b->last, target->data, target->len);
    b->last = ngx_cpymem(b->last, " HTTP/1.1" CRLF, 11);

    if (ngx_http_parse_request_line(r, b) != NGX_OK) {
        return 0;
    }

    if (r->args_start) {
        r->uri.len = r->args_start - 1 - r->uri_start;

    } else {
        r->uri.len = r->uri_end - r->uri_start;
    }

    r->unparsed_uri.data = r->uri_start;
    r->unparsed_uri.len = r->uri_end - r->uri_start;

    if (r->complex_uri || r->quoted_uri || r->empty_path_in_uri) {

        if (r->empty_path_in_uri) {
            r->uri.len++;
        }

        r->uri.data = ngx_pnalloc(r->pool, r->uri.len + 1);
        harness_check(r->uri.data != NULL);

        cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

        if (ngx_http_parse_complex_uri(r, cscf->merge_slashes) != NGX_OK) {
            return 0;
        }

    } else {
        r->uri.data = r->uri_start;
    }

    if (r->args_start && r->uri_end > r->args_start) {
        r->args.data = r->args_start;
        r->args.len = r->uri_end - r->args_start;
    }

    return 1;
}


/* A path that may be passed on is, decoded, the one that nginx saw. */

static void
uri_check(ngx_http_request_t *r, ngx_http_chatmaid_uri_t *uri)
{
    u_char                        *p;
    ngx_str_t                      joined, tail;
    ngx_uint_t                     i;
    ngx_http_chatmaid_uri_t        again;
    ngx_http_chatmaid_loc_conf_t  *conf;

    if (uri->danger || uri->n > NGX_HTTP_CHATMAID_MAX_SEGMENTS) {
        return;
    }

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    tail.data = r->uri.data + conf->gateway->prefix.len;
    tail.len = r->uri.len - conf->gateway->prefix.len;

    joined.data = ngx_pnalloc(r->pool, r->unparsed_uri.len + 3 * r->uri.len);
    harness_check(joined.data != NULL);

    for (p = joined.data, i = 0; i < uri->n; i++) {

        if (i) {
            *p++ = '/';
        }

        p = ngx_cpymem(p, uri->decoded[i].data, uri->decoded[i].len);
    }

    joined.len = p - joined.data;

    harness_check(harness_equal(&joined, &tail));

    /* cut where it is decoded already, as there is no encoded slash */

    ngx_http_chatmaid_uri_split(&tail, &again);

    harness_check(again.n == uri->n);

    for (i = 0; i < again.n; i++) {
        harness_check(harness_equal(&again.decoded[i], &uri->decoded[i]));
    }
}


static void
uri_check_path(ngx_http_request_t *r, ngx_str_t *path)
{
    u_char  *p, *last, *query, *next, ch;
    size_t   len;

    last = path->data + path->len;
    query = ngx_strlchr(path->data, last, '?');
    query = query ? query : last;

    harness_check(path->len > 3 && ngx_memcmp(path->data, "v1/", 3) == 0);

    for (p = path->data; p < last; p++) {
        harness_check(*p > ' ' && *p != 0x7f && *p != '#');
        harness_check(*p != '\\' || p > query);
    }

    for (p = path->data, len = 0; p <= query; p = next) {

        if (p == query || *p == '/') {
            harness_check(!(len == 1 && ngx_memcmp(p - 1, ".", 1) == 0));
            len = 0;
            next = p + 1;
            continue;
        }

        next = ngx_http_chatmaid_query_decode(p, query, &ch);

        /* "%5C" is what it says, no separator */

        harness_check(ch != '/' && ch >= ' ' && ch != 0x7f);

        len++;
    }
}
