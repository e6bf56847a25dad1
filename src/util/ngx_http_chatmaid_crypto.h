
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Hashes and random bytes, by OpenSSL.
 */


#ifndef _NGX_HTTP_CHATMAID_CRYPTO_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CRYPTO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

/*
 * OpenSSL 3 deprecates its plain SHA-256 functions in favour of EVP, which
 * takes locks and allocates memory for each digest: that costs as much as
 * hashing half a block.  nginx also turns the warnings off.
 */
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif

#include <openssl/sha.h>


#define NGX_HTTP_CHATMAID_SHA256_LEN  32        /* bytes */
#define NGX_HTTP_CHATMAID_SHA256_HEX  64        /* hexadecimal digits */


/* HMAC-SHA256: a prepared key, and a run with it. */

typedef struct {
    SHA256_CTX  inner;
    SHA256_CTX  outer;
    SHA256_CTX  run;
} ngx_http_chatmaid_hmac_t;


/* Writes the SHA-256 of "data" to md[32]. */
void ngx_http_chatmaid_crypto_sha256(ngx_str_t *data, u_char *md);

/* The same over n fields, each hashed as a netstring ("3:abc,"), so that two
 * different lists of fields never give the same bytes.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_crypto_sha256_fields(ngx_pool_t *pool,
    ngx_str_t *fields, ngx_uint_t n, u_char *md);

/* Prepares a key for any number of runs, one after another.  The pool owns the
 * result, and wipes it when it is destroyed.  NULL: no memory. */
ngx_http_chatmaid_hmac_t *ngx_http_chatmaid_crypto_hmac_key(ngx_pool_t *pool,
    ngx_str_t *key);

/* A run: begin() forgets what a former run has left; update() adds data; end()
 * writes md[32]. */
void ngx_http_chatmaid_crypto_hmac_begin(ngx_http_chatmaid_hmac_t *hmac);
void ngx_http_chatmaid_crypto_hmac_update(ngx_http_chatmaid_hmac_t *hmac,
    u_char *data, size_t len);
void ngx_http_chatmaid_crypto_hmac_end(ngx_http_chatmaid_hmac_t *hmac,
    u_char *md);

/* Fills buf with n random bytes; n is at most 1024.  NGX_OK, or NGX_ERROR
 * (logged). */
ngx_int_t ngx_http_chatmaid_crypto_random(ngx_log_t *log, u_char *buf,
    size_t n);


#endif /* _NGX_HTTP_CHATMAID_CRYPTO_H_INCLUDED_ */
