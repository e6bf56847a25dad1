
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


/* Creates the context, which is freed with cf->pool.  "verify": the server's
 * certificate must be from an authority in ca_file or, if the data of ca_file
 * is NULL, from one that the system trusts.  Returns NULL on an error, which is
 * logged. */
ngx_http_chatmaid_redis_tls_t *ngx_http_chatmaid_redis_tls_create(
    ngx_conf_t *cf, ngx_uint_t verify, ngx_str_t *ca_file);

/* Prepares a connection for ngx_ssl_handshake().  "host" is the name or address
 * that the certificate must be for; it ends in NUL.  Returns NGX_OK, or
 * NGX_ERROR if the connection can't be used. */
ngx_int_t ngx_http_chatmaid_redis_tls_begin(ngx_http_chatmaid_redis_tls_t *tls,
    ngx_connection_t *c, const char *host);

/* Returns why the handshake of this connection has failed, in static memory. */
const char *ngx_http_chatmaid_redis_tls_reason(
    ngx_http_chatmaid_redis_tls_t *tls, ngx_connection_t *c);

#endif


#endif /* _NGX_HTTP_CHATMAID_REDIS_TLS_H_INCLUDED_ */
