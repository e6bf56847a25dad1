
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The API key.  It is kept in configuration memory, and a call's request gets
 * it just before it is sent upstream.
 */


#ifndef _NGX_HTTP_CHATMAID_API_KEY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_API_KEY_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Wraps the peer.init of every upstream, so that the key can be attached after
 * the proxy module has written (and logged) its request.  NGX_OK; NGX_ERROR: no
 * memory. */
ngx_int_t ngx_http_chatmaid_api_key_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_CHATMAID_API_KEY_H_INCLUDED_ */
