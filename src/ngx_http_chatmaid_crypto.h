
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Hashes, by OpenSSL.
 */


#ifndef _NGX_HTTP_CHATMAID_CRYPTO_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CRYPTO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_SHA256_HEX  64


/* Writes the lower-case hex SHA-256 of "data" to hex[64].  NGX_OK, or NGX_ERROR
 * where OpenSSL fails (logged). */
ngx_int_t ngx_http_chatmaid_sha256(ngx_log_t *log, ngx_str_t *data,
    u_char *hex);

/* The same over n fields, each written as a netstring ("3:abc,"): no two lists
 * of fields give the same bytes. */
ngx_int_t ngx_http_chatmaid_sha256_fields(ngx_pool_t *pool, ngx_str_t *fields,
    ngx_uint_t n, u_char *hex);


#endif /* _NGX_HTTP_CHATMAID_CRYPTO_H_INCLUDED_ */
