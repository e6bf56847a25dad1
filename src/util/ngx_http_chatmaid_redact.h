
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Removes a secret from texts that come from outside.
 */


#ifndef _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Replaces each occurrence of the secret in the text by "[redacted]".  The
 * secret must not be empty.  NGX_OK: *text is a changed copy in the pool;
 * NGX_DECLINED: the text does not contain the secret, and is unchanged;
 * NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redact(ngx_pool_t *pool, ngx_str_t *secret,
    ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_ */
