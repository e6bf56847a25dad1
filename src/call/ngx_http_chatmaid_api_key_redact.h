
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The API key in what comes from Chatmaid.
 */


#ifndef _NGX_HTTP_CHATMAID_API_KEY_REDACT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_API_KEY_REDACT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Puts "[redacted]" where the key stands in a text, which may then be another
 * one, in the pool.  NGX_OK; NGX_DECLINED: it was not there; NGX_ERROR without
 * memory. */
ngx_int_t ngx_http_chatmaid_api_key_redact(ngx_pool_t *pool,
    ngx_http_chatmaid_api_key_t *api_key, ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_API_KEY_REDACT_H_INCLUDED_ */
