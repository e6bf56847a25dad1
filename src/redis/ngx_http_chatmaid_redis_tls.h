
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * TLS to a server, as rediss:// asks for.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_TLS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_TLS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#if (NGX_SSL)

typedef struct {
    ngx_ssl_t    ssl;
    ngx_uint_t   verify;
} ngx_http_chatmaid_redis_tls_t;


/* Makes the context.  "verify": the server's certificate is compared with the
 * authorities in ca_file, or with the system's where its data is NULL.  It goes
 * with the pool of cf.  NULL after a message. */
ngx_http_chatmaid_redis_tls_t *ngx_http_chatmaid_redis_tls_create(
    ngx_conf_t *cf, ngx_uint_t verify, ngx_str_t *ca_file);

/* Prepares a connection for ngx_ssl_handshake(); "host" ends in NUL.  NGX_OK,
 * or NGX_ERROR: it can't be used. */
ngx_int_t ngx_http_chatmaid_redis_tls_begin(ngx_http_chatmaid_redis_tls_t *tls,
    ngx_connection_t *c, const char *host);

/* Why the handshake of this connection has failed. */
const char *ngx_http_chatmaid_redis_tls_reason(
    ngx_http_chatmaid_redis_tls_t *tls, ngx_connection_t *c);

#endif


#endif /* _NGX_HTTP_CHATMAID_REDIS_TLS_H_INCLUDED_ */
