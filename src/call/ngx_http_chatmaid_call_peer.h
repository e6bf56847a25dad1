
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The connection of a call: which kept-alive connection the call may use, and
 * whether Chatmaid had already closed it.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_PEER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_PEER_H_INCLUDED_


#include "ngx_http_chatmaid_call.h"


/* Wraps the balancer's functions for r, the subrequest of the call.  The
 * balancer's peer.init must have been called.  NGX_OK; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_call_peer_init(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);


#endif /* _NGX_HTTP_CHATMAID_CALL_PEER_H_INCLUDED_ */
