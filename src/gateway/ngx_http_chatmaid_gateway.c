
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_gateway.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_health.h"
#include "ngx_http_chatmaid_operation.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_read.h"
#include "ngx_http_chatmaid_request.h"
#include "ngx_http_chatmaid_send.h"
#include "ngx_http_chatmaid_sender.h"
#include "ngx_http_chatmaid_uri.h"
#include "ngx_http_chatmaid_wait.h"


/* An endpoint.  In both paths "*" stands for an ID.  An endpoint without an
 * api_path makes no calls, and its ID is not passed on. */

typedef struct {
    const char   *path;
    ngx_uint_t    name;              /* ROUTE_..., see facts.h */
    ngx_uint_t    method;
    ngx_uint_t    scope;             /* 0: none is needed */
    const char   *api_path;          /* Chatmaid's own, below "/", or NULL */
    ngx_int_t   (*init)(ngx_http_chatmaid_flow_t *flow);
    unsigned      names_sender:1;    /* the query may hold a sender */
    unsigned      waits:1;           /* the query may hold "wait" */
} ngx_http_chatmaid_gateway_route_t;


static ngx_int_t ngx_http_chatmaid_gateway_accept(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply);
static ngx_int_t ngx_http_chatmaid_gateway_route(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_gateway_route_t **route,
    ngx_str_t *id);
static ngx_http_chatmaid_gateway_route_t *ngx_http_chatmaid_gateway_find(
    ngx_http_chatmaid_uri_t *uri, ngx_uint_t native, ngx_str_t *id);
static ngx_int_t ngx_http_chatmaid_gateway_base_url(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_uri_t *uri);
static ngx_int_t ngx_http_chatmaid_gateway_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_gateway_route_t *route);
static const char *ngx_http_chatmaid_gateway_scope(ngx_uint_t scope);
static ngx_int_t ngx_http_chatmaid_gateway_path(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_http_chatmaid_gateway_route_t *route);
static ngx_int_t ngx_http_chatmaid_gateway_query(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_http_chatmaid_gateway_route_t *route,
    ngx_str_t *args);
static ngx_int_t ngx_http_chatmaid_gateway_sender(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_str_t *args);


#define NGX_HTTP_CHATMAID_GET  (NGX_HTTP_GET|NGX_HTTP_HEAD)


/* A literal path comes before a path whose "*" would match it too. */

static ngx_http_chatmaid_gateway_route_t  ngx_http_chatmaid_gateway_routes[] = {
    { "send", NGX_HTTP_CHATMAID_ROUTE_SEND,
      NGX_HTTP_POST, NGX_HTTP_CHATMAID_SEND,
      "v1/messages/send", ngx_http_chatmaid_send_init, 0, 0 },

    { "messages", NGX_HTTP_CHATMAID_ROUTE_MESSAGES,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages", ngx_http_chatmaid_read_init, 0, 0 },

    { "messages/inbound", NGX_HTTP_CHATMAID_ROUTE_INBOUND_MESSAGES,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages/inbound", ngx_http_chatmaid_read_init, 0, 0 },

    { "messages/inbound/*", NGX_HTTP_CHATMAID_ROUTE_INBOUND_MESSAGE,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages/inbound/*", ngx_http_chatmaid_read_init, 0, 0 },

    { "messages/*", NGX_HTTP_CHATMAID_ROUTE_MESSAGE,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      "v1/messages/*", ngx_http_chatmaid_read_init, 0, 1 },

    { "phones", NGX_HTTP_CHATMAID_ROUTE_PHONES,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/phone-numbers", ngx_http_chatmaid_read_init, 0, 0 },

    { "phones/*", NGX_HTTP_CHATMAID_ROUTE_PHONE,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/phone-numbers/*", ngx_http_chatmaid_read_init, 0, 0 },

    { "phones/*/status", NGX_HTTP_CHATMAID_ROUTE_PHONE_STATUS,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/phone-numbers/*/status", ngx_http_chatmaid_read_init, 0, 0 },

    { "groups", NGX_HTTP_CHATMAID_ROUTE_GROUPS,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_PHONES,
      "v1/groups", ngx_http_chatmaid_read_init, 1, 0 },

    { "account", NGX_HTTP_CHATMAID_ROUTE_ACCOUNT,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_ACCOUNT,
      "v1/account", ngx_http_chatmaid_read_init, 0, 0 },

    { "account/usage", NGX_HTTP_CHATMAID_ROUTE_ACCOUNT_USAGE,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_ACCOUNT,
      "v1/account/usage", ngx_http_chatmaid_read_init, 0, 0 },

    { "operations/*", NGX_HTTP_CHATMAID_ROUTE_OPERATION,
      NGX_HTTP_CHATMAID_GET, NGX_HTTP_CHATMAID_READ,
      NULL, ngx_http_chatmaid_operation_init, 0, 0 },

    { "health", NGX_HTTP_CHATMAID_ROUTE_HEALTH,
      NGX_HTTP_CHATMAID_GET, 0,
      NULL, ngx_http_chatmaid_health_init, 0, 0 },

    { NULL, 0, 0, 0, NULL, NULL, 0, 0 }
};


ngx_int_t
ngx_http_chatmaid_gateway_handler(ngx_http_request_t *r)
{
    ngx_int_t                           rc;
    ngx_http_chatmaid_flow_t           *flow;
    ngx_http_chatmaid_reply_t          *reply;
    ngx_http_chatmaid_gateway_route_t  *route;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid gateway \"%V\"", &r->uri);

    reply = ngx_http_chatmaid_answer_get_reply(r);
    if (reply == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    flow = ngx_http_chatmaid_flow_create(r, reply);
    if (flow == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    route = NULL;

    rc = ngx_http_chatmaid_gateway_accept(r, reply);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_gateway_route(r, reply, &route, &flow->id);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_gateway_permit(r, reply, route);
    }

    if (rc == NGX_OK) {
        rc = route->init(flow);
    }

    if (rc == NGX_OK && route->api_path) {
        rc = ngx_http_chatmaid_gateway_path(r, flow, route);
    }

    if (rc != NGX_OK) {
        return ngx_http_chatmaid_answer_failure(r, reply, rc);
    }

    /* the body of a GET is read too, although it means nothing: while nginx
     * discards a body it handles the connection's events itself */

    rc = ngx_http_read_client_request_body(r, ngx_http_chatmaid_flow_start);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


/* A flow takes over the connection of its caller, and a subrequest has no
 * connection of its own. */

static ngx_int_t
ngx_http_chatmaid_gateway_accept(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    if (r == r->main) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid gateway refuses \"%V\": a subrequest (SSI, "
                  "auth_request, mirror, add_after_body) can't use it",
                  &r->uri);

    return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                         NGX_HTTP_CHATMAID_FORBIDDEN,
                                         "a subrequest of nginx can't use this "
                                         "location");
}


static ngx_int_t
ngx_http_chatmaid_gateway_route(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_gateway_route_t **route,
    ngx_str_t *id)
{
    ngx_int_t                      rc;
    const char                    *reason;
    ngx_http_chatmaid_uri_t        uri;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    /* if the base URL ends in a slash, one official client requests "//v1", and
     * nginx has merged the two slashes */

    rc = ngx_http_chatmaid_uri_parse(r, &conf->gateway->prefix, &uri, &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "%s", reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    *route = ngx_http_chatmaid_gateway_find(&uri, reply->native, id);

    if (uri.danger && (*route == NULL || (*route)->api_path)) {
        return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "%s", uri.danger);
    }

    reply->facts->route = *route ? (*route)->name
                                 : NGX_HTTP_CHATMAID_ROUTE_OTHER;

    if (*route && (r->method & (*route)->method)) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_gateway_base_url(r, reply, &uri);

    if (rc != NGX_OK || *route) {
        return rc;
    }

    return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                         NGX_HTTP_CHATMAID_NOT_FOUND,
                                         "there is no such endpoint");
}


static ngx_http_chatmaid_gateway_route_t *
ngx_http_chatmaid_gateway_find(ngx_http_chatmaid_uri_t *uri, ngx_uint_t native,
    ngx_str_t *id)
{
    const char                         *path;
    ngx_http_chatmaid_gateway_route_t  *rt;

    ngx_str_null(id);

    for (rt = ngx_http_chatmaid_gateway_routes; rt->path; rt++) {

        path = native ? rt->api_path : rt->path;

        if (path && ngx_http_chatmaid_uri_match(uri, path, id)) {
            return rt;
        }
    }

    return NULL;
}


ngx_uint_t
ngx_http_chatmaid_gateway_facts_route(ngx_http_chatmaid_facts_t *facts)
{
    ngx_str_t                           path, id;
    ngx_uint_t                          native;
    ngx_http_chatmaid_uri_t             uri;
    ngx_http_chatmaid_gateway_t        *gateway;
    ngx_http_chatmaid_gateway_route_t  *route;

    gateway = facts->conf->gateway;

    if (facts->route != NGX_HTTP_CHATMAID_ROUTE_NONE || gateway == NULL) {
        return facts->route;
    }

    facts->route = NGX_HTTP_CHATMAID_ROUTE_OTHER;

    if (facts->uri.len < gateway->prefix.len) {
        return facts->route;
    }

    path.data = facts->uri.data + gateway->prefix.len;
    path.len = facts->uri.len - gateway->prefix.len;

    ngx_http_chatmaid_uri_split(&path, &uri);

    native = ngx_http_chatmaid_uri_segment_is(&uri, 0, "v1");
    route = ngx_http_chatmaid_gateway_find(&uri, native, &id);

    if (route) {
        facts->route = route->name;
    }

    return facts->route;
}


/*
 * NGX_DECLINED: the base URL of an official client lacks a "v1" or has one too
 * many, and reply->problem says so.
 */

static ngx_int_t
ngx_http_chatmaid_gateway_base_url(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_uri_t *uri)
{
    ngx_str_t                           id;
    ngx_http_chatmaid_loc_conf_t       *conf;
    ngx_http_chatmaid_gateway_route_t  *rt;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (reply->native) {
        return ngx_http_chatmaid_uri_segment_is(uri, 1, "v1")
               ? ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                            NGX_HTTP_CHATMAID_NOT_FOUND,
                                            "the path has \"v1\" twice: this "
                                            "client adds it by itself, so its "
                                            "base URL must end without it")
               : NGX_OK;
    }

    for (rt = ngx_http_chatmaid_gateway_routes; rt->path; rt++) {

        if ((r->method & rt->method) && rt->api_path
            && ngx_http_chatmaid_uri_match(uri,
                                           rt->api_path + sizeof("v1/") - 1,
                                           &id))
        {
            ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                          NGX_HTTP_CHATMAID_NOT_FOUND,
                                          "Chatmaid's own paths are below "
                                          "\"%Vv1/\" here: the client's base "
                                          "URL must end in \"%Vv1\"",
                                          &conf->gateway->prefix,
                                          &conf->gateway->prefix);

            reply->problem.for_sdk = 1;

            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_gateway_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_http_chatmaid_gateway_route_t *route)
{
    const char                    *allow;
    ngx_http_chatmaid_problem_t   *problem;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    problem = &reply->problem;

    if (!(r->method & route->method)) {
        allow = (route->method == NGX_HTTP_POST) ? "POST" : "GET, HEAD";
        reply->allow = allow;

        return ngx_http_chatmaid_problem_set(r->pool, problem,
                                          NGX_HTTP_CHATMAID_METHOD_NOT_ALLOWED,
                                          "this endpoint takes %s", allow);
    }

    reply->is_send = (route->scope == NGX_HTTP_CHATMAID_SEND);

    if (route->scope && !(conf->scope & route->scope)) {
        return ngx_http_chatmaid_problem_set(r->pool, problem,
                               NGX_HTTP_CHATMAID_SCOPE_DENIED,
                               "callers of this location may not use \"%s\"",
                               ngx_http_chatmaid_gateway_scope(route->scope));
    }

    if ((r->headers_in.content_length_n > 0 || r->headers_in.chunked)
        && ngx_http_chatmaid_request_is_encoded(&r->headers_in.headers.part))
    {
        return ngx_http_chatmaid_problem_set(r->pool, problem,
                                      NGX_HTTP_CHATMAID_UNSUPPORTED_MEDIA_TYPE,
                                      "a body must come without "
                                      "Content-Encoding");
    }

    if (reply->is_send
        && !ngx_http_chatmaid_request_is_json(r->headers_in.content_type))
    {
        return ngx_http_chatmaid_problem_set(r->pool, problem,
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


/* Writes the path of the call.  The caller's ID and query are passed on byte
 * for byte. */

static ngx_int_t
ngx_http_chatmaid_gateway_path(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_http_chatmaid_gateway_route_t *route)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    args, *id, *path;
    const char  *s;

    id = &flow->id;
    args = r->args;

    if (route->method == NGX_HTTP_POST) {
        ngx_str_null(&args);
    }

    rc = ngx_http_chatmaid_gateway_query(r, flow, route, &args);

    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(r->pool,
                    ngx_strlen(route->api_path) + id->len + 1 + args.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    path = &flow->reply->path;
    path->data = p;

    for (s = route->api_path; *s; s++) {
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

    path->len = p - path->data;

    flow->reply->facts->attempts = &flow->attempts;

    if (route->name == NGX_HTTP_CHATMAID_ROUTE_MESSAGE) {
        flow->reply->facts->path_id = *id;
    }

    /* at other paths a 404 may mean that there is no such ID, or no such
     * sender */

    flow->exists = (route->method != NGX_HTTP_POST && id->len == 0
                    && !route->names_sender);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_gateway_query(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_http_chatmaid_gateway_route_t *route,
    ngx_str_t *args)
{
    size_t                      i;
    ngx_int_t                   rc;
    ngx_http_chatmaid_reply_t  *reply;

    reply = flow->reply;

    /* nginx accepts none of these from a caller, but a rewrite may have decoded
     * one */

    for (i = 0; i < args->len; i++) {
        if (args->data[i] <= ' ' || args->data[i] == 0x7f) {
            return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "the query must not hold a space "
                                             "or a control character");
        }
    }

    if (route->waits && !reply->native) {
        rc = ngx_http_chatmaid_wait_init(flow, &flow->id, args);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return route->names_sender
           ? ngx_http_chatmaid_gateway_sender(r, reply, args) : NGX_OK;
}


/*
 * chatmaid_sender applies to a sender in the query as to one in a message.  On
 * the native face a query is either denied or passed on as it is.
 */

static ngx_int_t
ngx_http_chatmaid_gateway_sender(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_str_t *args)
{
    ngx_str_t                    rest, name, value;
    ngx_uint_t                   same, named, denied;
    ngx_http_chatmaid_sender_t   sender;

    static ngx_str_t  from = ngx_string("from");
    static ngx_str_t  own = ngx_string("fromPhoneId");

    if (!reply->native
        && ngx_http_chatmaid_query_rename(r->pool, args, &from, &own)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_sender_get(r, &sender) != NGX_OK) {
        return NGX_ERROR;
    }

    rest = *args;
    named = 0;
    denied = !ngx_http_chatmaid_sender_permits(&sender, 1);

    while (ngx_http_chatmaid_query_next(&rest, &name, &value)) {

        if (ngx_http_chatmaid_query_is(&name, &own)) {
            named = 1;
            same = ngx_http_chatmaid_query_is(&value, &sender.value);
            denied |= !ngx_http_chatmaid_sender_permits(&sender, same);

        } else if (ngx_http_chatmaid_query_holds(&name, '[')) {

            /* some servers read "name[]" as one more "name" */
            denied |= !ngx_http_chatmaid_sender_permits(&sender, 0);
        }
    }

    if (denied) {
        return ngx_http_chatmaid_sender_deny(r->pool, &reply->problem);
    }

    if (named || sender.value.len == 0 || reply->native) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_query_add(r->pool, args, &own, &sender.value);
}
