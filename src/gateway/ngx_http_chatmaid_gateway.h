
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The content handler of a gateway location: which endpoint a request is for,
 * whether the caller may, and then the steps of that endpoint.
 */


#ifndef _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_facts.h"


/* ngx_http_handler_pt */
ngx_int_t ngx_http_chatmaid_gateway_handler(ngx_http_request_t *r);

/* The route of a request, found by its path where nginx refused it before the
 * handler; NONE for a webhook. */
ngx_uint_t ngx_http_chatmaid_gateway_facts_route(
    ngx_http_chatmaid_facts_t *facts);


#endif /* _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_ */
