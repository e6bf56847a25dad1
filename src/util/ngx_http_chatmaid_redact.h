
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Texts that others have written and that may hold a secret.
 */


#ifndef _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Puts "[redacted]" wherever the secret stands in the text; neither is empty.
 * NGX_OK: the text is another one, in the pool; NGX_DECLINED: it is as it was,
 * for it does not hold the secret; NGX_ERROR without memory. */
ngx_int_t ngx_http_chatmaid_redact(ngx_pool_t *pool, ngx_str_t *secret,
    ngx_str_t *text);

/* Overwrites the secret with as many asterisks wherever it stands in the head
 * of an HTTP message, which begins at p, and of which all up to last has
 * arrived; what is behind the head's empty line stays.  Returns whether the
 * secret was there. */
ngx_uint_t ngx_http_chatmaid_redact_head(ngx_str_t *secret, u_char *p,
    u_char *last);


#endif /* _NGX_HTTP_CHATMAID_REDACT_H_INCLUDED_ */
