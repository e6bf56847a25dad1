
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

/* Overwrites the secret with as many asterisks wherever it stands in the head
 * of an HTTP message, which begins at p, and of which all up to last has
 * arrived; what is behind the head's empty line stays.  Returns whether the
 * secret was there. */
ngx_uint_t ngx_http_chatmaid_redact_head(ngx_str_t *secret, u_char *p,
    u_char *last);


#endif /* _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_ */
