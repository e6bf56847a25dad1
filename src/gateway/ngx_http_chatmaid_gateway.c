
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_gateway.h"
#include "ngx_http_chatmaid_uri.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_request.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_send.h"
#include "ngx_http_chatmaid_read.h"
#include "ngx_http_chatmaid_wait.h"


static ngx_int_t ngx_http_chatmaid_gateway_accept(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_gateway_route(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id);
static ngx_int_t ngx_http_chatmaid_gateway_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_gateway_path(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id);
static ngx_int_t ngx_http_chatmaid_gateway_sender(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *args);
static const char *ngx_http_chatmaid_gateway_scope(ngx_uint_t scope);


#define NGX_HTTP_CHATMAID_GET  (NGX_HTTP_GET|NGX_HTTP_HEAD)


/* A literal stands before the "*" it would match too. */

static ngx_http_chatmaid_route_t  ngx_http_chatmaid_routes[] = {

    { "send", NGX_HTTP_POST, NGX_HTTP_CHATMAID_SEND,
      "v1/messages/send", ngx_http_chatmaid_send_steps, 0, 0 },

    { "messages", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages", ngx_http_chatmaid_read_steps, 0, 0 },

    { "messages/inbound", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages/inbound", ngx_http_chatmaid_read_steps, 0, 0 },

    { "messages/inbound/*", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages/inbound/*", ngx_http_chatmaid_read_steps, 0, 0 },

    { "messages/*", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages/*", ngx_http_chatmaid_read_steps, 0, 1 },

    { "phones", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/phone-numbers", ngx_http_chatmaid_read_steps, 0, 0 },

    { "phones/*", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/phone-numbers/*", ngx_http_chatmaid_read_steps, 0, 0 },

    { "phones/*/status", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/phone-numbers/*/status", ngx_http_chatmaid_read_steps, 0, 0 },

    { "groups", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/groups", ngx_http_chatmaid_read_steps, 1, 0 },

    { "account", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_ACCOUNT,
      "v1/account", ngx_http_chatmaid_read_steps, 0, 0 },

    { "account/usage", NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_ACCOUNT,
      "v1/account/usage", ngx_http_chatmaid_read_steps, 0, 0 },

    { NULL, 0, 0, NULL, NULL, 0, 0 }
};


ngx_int_t
ngx_http_chatmaid_gateway_handler(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_str_t                 id;
    ngx_http_chatmaid_flow_t  *flow;
    ngx_http_chatmaid_reply_t  *reply;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid gateway \"%V\"", &r->uri);

    reply = ngx_http_chatmaid_answer_get_reply(r);
    flow = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_flow_t));

    if (reply == NULL || flow == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    reply->flow = flow;
    flow->reply = reply;

    rc = ngx_http_chatmaid_gateway_accept(r, flow);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_gateway_route(r, flow, &id);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_gateway_permit(r, flow);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_gateway_path(r, flow, &id);
    }

    if (rc != NGX_OK) {
        return ngx_http_chatmaid_answer_failure(r, flow->reply, rc);
    }

    /* of a read too, whose body means nothing: while nginx discards one it
     * handles the connection's events itself */

    rc = ngx_http_read_client_request_body(r, ngx_http_chatmaid_flow_start);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/* A flow answers its caller's connection: a subrequest has none of its own. */

static ngx_int_t
ngx_http_chatmaid_gateway_accept(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    if (r == r->main) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid gateway refuses \"%V\": a subrequest (SSI, "
                  "auth_request, mirror, add_after_body) can't use it", &r->uri);

    return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_FORBIDDEN,
                                         "a subrequest of nginx can't use this "
                                         "location");
}


static ngx_int_t
ngx_http_chatmaid_gateway_route(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id)
{
    ngx_int_t                      rc;
    const char                    *reason;
    ngx_http_chatmaid_uri_t        target;
    ngx_http_chatmaid_route_t     *route;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    /* one official client makes "//v1" of a base that ends in a slash */

    rc = ngx_http_chatmaid_uri_parse(r, &conf->gateway->prefix, flow->reply->native,
                                     &target, &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                         "%s", reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_null(id);

    for (route = ngx_http_chatmaid_routes; route->path; route++) {
        if (ngx_http_chatmaid_uri_match(&target,
                                        flow->reply->native ? route->target
                                                       : route->path,
                                        id))
        {
            flow->route = route;
            flow->steps = route->steps;
            return NGX_OK;
        }
    }

    return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_NOT_FOUND,
                                     "there is no such endpoint");
}


/* The target of the call, the caller's ID and query in it byte for byte. */

static ngx_int_t
ngx_http_chatmaid_gateway_path(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id)
{
    size_t       i;
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    args;
    const char  *s, *target;

    target = flow->route->target;
    args = r->args;

    if (flow->route->method == NGX_HTTP_POST) {
        ngx_str_null(&args);
    }

    /* nginx takes none from a caller, but a rewrite may have decoded one */

    for (i = 0; i < args.len; i++) {
        if (args.data[i] <= ' ' || args.data[i] == 0x7f) {
            return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "the query must not hold a space "
                                             "or a control character");
        }
    }

    if (flow->route->waits && !flow->reply->native) {
        rc = ngx_http_chatmaid_wait_read(r, flow, id, &args);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (flow->route->names_sender) {
        rc = ngx_http_chatmaid_gateway_sender(r, flow, &args);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    p = ngx_pnalloc(r->pool, ngx_strlen(target) + id->len + 1 + args.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    flow->path.data = p;

    for (s = target; *s; s++) {
        if (*s == '*') {
            p = ngx_cpymem(p, id->data, id->len);

        } else {
            *p++ = *s;
        }
    }

    if (args.len) {
        *p++ = '?';
        p = ngx_cpymem(p, args.data, args.len);
    }

    flow->path.len = p - flow->path.data;
    flow->reply->path = flow->path;

    return NGX_OK;
}


/*
 * chatmaid_sender holds for a query that names one as for a message.  On
 * the native face a query is denied or goes on as it is.
 */

static ngx_int_t
ngx_http_chatmaid_gateway_sender(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *args)
{
    ngx_str_t                      rest, name, value, sender;
    ngx_uint_t                     named, denied;
    ngx_http_chatmaid_loc_conf_t  *conf;

    static ngx_str_t  from = ngx_string("from");
    static ngx_str_t  own = ngx_string("fromPhoneId");

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (!flow->reply->native
        && ngx_http_chatmaid_query_rename(r->pool, args, &from, &own)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->sender == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->sender, &sender) != NGX_OK) {
        return NGX_ERROR;
    }

    rest = *args;
    named = 0;
    denied = (conf->sender_fixed && sender.len == 0);

    while (ngx_http_chatmaid_query_next(&rest, &name, &value)) {

        if (ngx_http_chatmaid_query_is(&name, &own)) {
            named = 1;
            denied |= (conf->sender_fixed
                       && !ngx_http_chatmaid_query_is(&value, &sender));

        } else if (ngx_http_chatmaid_query_holds(&name, '[')) {

            /* to some servers "name[]" is one more "name" */
            denied |= conf->sender_fixed;
        }
    }

    if (denied) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_SENDER_DENIED,
                                         "callers of this location may not "
                                         "name another sender");
    }

    return (named || sender.len == 0 || flow->reply->native)
           ? NGX_OK
           : ngx_http_chatmaid_query_add(r->pool, args, &own, &sender);
}


static ngx_int_t
ngx_http_chatmaid_gateway_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    const char                    *allow;
    ngx_table_elt_t               *h;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    allow = (flow->route->method == NGX_HTTP_POST) ? "POST" : "GET, HEAD";

    if (!(r->method & flow->route->method)) {
        flow->reply->allow = allow;

        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED,
                                         "this endpoint takes %s",
                                         allow);
    }

    flow->reply->is_send = (flow->route->scope == NGX_HTTP_CHATMAID_SEND);

    if (!(conf->scope & flow->route->scope)) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                      NGX_HTTP_CHATMAID_SCOPE_DENIED,
                      "callers of this location may not use \"%s\"",
                      ngx_http_chatmaid_gateway_scope(flow->route->scope));
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {

        h = ngx_http_chatmaid_request_header(&r->headers_in.headers.part,
                                             "content-encoding", NULL);
        if (h) {
            return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                       NGX_HTTP_CHATMAID_UNSUPPORTED_MEDIA_TYPE,
                                       "a body must come without "
                                       "Content-Encoding");
        }
    }

    if (flow->route->method == NGX_HTTP_POST
        && !ngx_http_chatmaid_request_is_json(r->headers_in.content_type))
    {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                       NGX_HTTP_CHATMAID_UNSUPPORTED_MEDIA_TYPE,
                                       "a message must come as "
                                       "application/json");
    }

    return NGX_OK;
}


static const char *
ngx_http_chatmaid_gateway_scope(ngx_uint_t scope)
{
    switch (scope) {

    case NGX_HTTP_CHATMAID_SEND:
        return "messages:send";

    case NGX_HTTP_CHATMAID_READ:
        return "messages:read";

    case NGX_HTTP_CHATMAID_PHONES:
        return "phone_numbers:read";

    default:
        return "account:read";
    }
}
