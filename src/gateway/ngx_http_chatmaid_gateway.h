
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The content handler of a gateway location: it finds the endpoint of a
 * request, checks whether the caller may use it, and starts its steps.
 */


#ifndef _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_facts.h"


/* ngx_http_handler_pt */
ngx_int_t ngx_http_chatmaid_gateway_handler(ngx_http_request_t *r);

/* The route of a request, an NGX_HTTP_CHATMAID_ROUTE_...; NONE for a webhook.
 * If nginx refused the request before the handler ran, the route is found by
 * the path. */
ngx_uint_t ngx_http_chatmaid_gateway_facts_route(
    ngx_http_chatmaid_facts_t *facts);


#endif /* _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_ */
