
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The connection of a call: which kept-alive one it may use, and whether that
 * one was closed already.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_PEER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_PEER_H_INCLUDED_


#include "ngx_http_chatmaid_call.h"


/* Puts itself between nginx and the balancer of r, the subrequest of the call,
 * whose peer.init has been called.  NGX_OK; NGX_ERROR without memory. */
ngx_int_t ngx_http_chatmaid_call_peer_init(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);


#endif /* _NGX_HTTP_CHATMAID_CALL_PEER_H_INCLUDED_ */
