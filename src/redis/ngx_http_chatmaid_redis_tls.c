
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_tls.h"
#include <openssl/err.h>


#if (NGX_SSL)

static ngx_int_t ngx_http_chatmaid_redis_tls_trust(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_tls_t *tls, ngx_str_t *ca_file);


ngx_http_chatmaid_redis_tls_t *
ngx_http_chatmaid_redis_tls_create(ngx_conf_t *cf, ngx_uint_t verify,
    ngx_str_t *ca_file)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_chatmaid_redis_tls_t  *tls;

    tls = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_redis_tls_t));
    if (tls == NULL) {
        return NULL;
    }

    tls->verify = verify;
    tls->ssl.log = cf->log;

    if (ngx_ssl_create(&tls->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL)
        != NGX_OK)
    {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(&tls->ssl);
        return NULL;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = &tls->ssl;

    /* The output buffer may have moved, and have grown, before a second try. */

    SSL_CTX_set_mode(tls->ssl.ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                                   |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    if (verify
        && ngx_http_chatmaid_redis_tls_trust(cf, tls, ca_file) != NGX_OK)
    {
        return NULL;
    }

    return tls;
}


static ngx_int_t
ngx_http_chatmaid_redis_tls_trust(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_tls_t *tls, ngx_str_t *ca_file)
{
    int          rc;
    const char  *reason;

    /* Without a callback, an invalid certificate makes the handshake itself
     * fail, before AUTH is sent. */

    SSL_CTX_set_verify(tls->ssl.ctx, SSL_VERIFY_PEER, NULL);

    if (ca_file->data == NULL) {
        rc = SSL_CTX_set_default_verify_paths(tls->ssl.ctx);

    } else {
        if (ngx_conf_full_name(cf->cycle, ca_file, 1) != NGX_OK) {
            return NGX_ERROR;
        }

        rc = SSL_CTX_load_verify_locations(tls->ssl.ctx,
                                           (char *) ca_file->data, NULL);
    }

    if (rc != 1) {
        reason = ERR_reason_error_string(ERR_peek_error());

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_redis\": ca_file \"%V\" can't be loaded"
                           " (%s)", ca_file, reason ? reason : "?");
    }

    ERR_clear_error();

    return (rc == 1) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_chatmaid_redis_tls_begin(ngx_http_chatmaid_redis_tls_t *tls,
    ngx_connection_t *c, const char *host)
{
    SSL                *ssl;
    ngx_int_t           rc;
    X509_VERIFY_PARAM  *param;

    if (ngx_ssl_create_connection(&tls->ssl, c, NGX_SSL_CLIENT) != NGX_OK) {
        return NGX_ERROR;
    }

    ssl = c->ssl->connection;
    param = SSL_get0_param(ssl);

    /* A name goes into the ClientHello, an address must not (RFC 6066, section
     * 3).  Either is compared with the certificate during the handshake. */

    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1) {
        return NGX_OK;
    }

    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    rc = X509_VERIFY_PARAM_set1_host(param, host, 0) == 1
         && SSL_set_tlsext_host_name(ssl, host) == 1;

    ERR_clear_error();

    return rc ? NGX_OK : NGX_ERROR;
}


const char *
ngx_http_chatmaid_redis_tls_reason(ngx_http_chatmaid_redis_tls_t *tls,
    ngx_connection_t *c)
{
    long  rc;

    rc = tls->verify ? SSL_get_verify_result(c->ssl->connection) : X509_V_OK;

    return (rc == X509_V_OK) ? "the TLS handshake failed"
                             : X509_verify_cert_error_string(rc);
}

#endif
