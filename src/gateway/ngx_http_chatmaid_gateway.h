
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The content handler of a gateway location: which endpoint a request is for,
 * whether the caller may, and then the steps of that endpoint.
 */


#ifndef _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_handler_pt */
ngx_int_t ngx_http_chatmaid_gateway_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_GATEWAY_H_INCLUDED_ */
