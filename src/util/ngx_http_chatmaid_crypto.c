
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_digits.h"
#include <openssl/err.h>
#include <openssl/rand.h>


#define NGX_HTTP_CHATMAID_CRYPTO_POOL  4096

typedef struct {
    ngx_pid_t  pid;
    size_t     left;
    u_char     bytes[NGX_HTTP_CHATMAID_CRYPTO_POOL];
} ngx_http_chatmaid_crypto_pool_t;


static void ngx_http_chatmaid_crypto_hmac_pad(SHA256_CTX *ctx, u_char *block,
    u_char pad);
static void ngx_http_chatmaid_crypto_hmac_cleanup(void *data);


void
ngx_http_chatmaid_crypto_sha256(ngx_str_t *data, u_char *md)
{
    SHA256_CTX  ctx;

    SHA256_Init(&ctx);
    SHA256_Update(&ctx, data->data, data->len);
    SHA256_Final(md, &ctx);
}


ngx_int_t
ngx_http_chatmaid_crypto_sha256_fields(ngx_pool_t *pool, ngx_str_t *fields,
    ngx_uint_t n, u_char *md)
{
    size_t      len;
    u_char     *p;
    ngx_str_t   data;
    ngx_uint_t  i;

    len = 0;

    for (i = 0; i < n; i++) {
        len += NGX_SIZE_T_LEN + sizeof(":,") - 1 + fields[i].len;
    }

    data.data = ngx_pnalloc(pool, len);
    if (data.data == NULL) {
        return NGX_ERROR;
    }

    p = data.data;

    for (i = 0; i < n; i++) {
        p = ngx_http_chatmaid_digits_decimal(p, fields[i].len);
        *p++ = ':';

        if (fields[i].len) {
            p = ngx_cpymem(p, fields[i].data, fields[i].len);
        }

        *p++ = ',';
    }

    data.len = p - data.data;

    ngx_http_chatmaid_crypto_sha256(&data, md);

    return NGX_OK;
}


/* RFC 2104: the first block of each of the two hashes depends on the key alone,
 * so it is hashed only once. */

ngx_http_chatmaid_hmac_t *
ngx_http_chatmaid_crypto_hmac_key(ngx_pool_t *pool, ngx_str_t *key)
{
    u_char                     block[SHA256_CBLOCK];
    ngx_pool_cleanup_t        *cln;
    ngx_http_chatmaid_hmac_t  *hmac;

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_http_chatmaid_hmac_t));
    if (cln == NULL) {
        return NULL;
    }

    hmac = cln->data;
    cln->handler = ngx_http_chatmaid_crypto_hmac_cleanup;

    ngx_memzero(block, sizeof(block));

    if (key->len > sizeof(block)) {
        ngx_http_chatmaid_crypto_sha256(key, block);

    } else {
        ngx_memcpy(block, key->data, key->len);
    }

    ngx_http_chatmaid_crypto_hmac_pad(&hmac->inner, block, 0x36);
    ngx_http_chatmaid_crypto_hmac_pad(&hmac->outer, block, 0x5c);

    OPENSSL_cleanse(block, sizeof(block));

    return hmac;
}


static void
ngx_http_chatmaid_crypto_hmac_pad(SHA256_CTX *ctx, u_char *block, u_char pad)
{
    u_char  padded[SHA256_CBLOCK];
    size_t  i;

    for (i = 0; i < sizeof(padded); i++) {
        padded[i] = block[i] ^ pad;
    }

    SHA256_Init(ctx);
    SHA256_Update(ctx, padded, sizeof(padded));

    OPENSSL_cleanse(padded, sizeof(padded));
}


static void
ngx_http_chatmaid_crypto_hmac_cleanup(void *data)
{
    OPENSSL_cleanse(data, sizeof(ngx_http_chatmaid_hmac_t));
}


void
ngx_http_chatmaid_crypto_hmac_begin(ngx_http_chatmaid_hmac_t *hmac)
{
    hmac->run = hmac->inner;
}


void
ngx_http_chatmaid_crypto_hmac_update(ngx_http_chatmaid_hmac_t *hmac,
    u_char *data, size_t len)
{
    SHA256_Update(&hmac->run, data, len);
}


void
ngx_http_chatmaid_crypto_hmac_end(ngx_http_chatmaid_hmac_t *hmac, u_char *md)
{
    SHA256_Final(md, &hmac->run);

    hmac->run = hmac->outer;

    SHA256_Update(&hmac->run, md, NGX_HTTP_CHATMAID_SHA256_LEN);
    SHA256_Final(md, &hmac->run);
}


/* RAND_bytes() costs almost as much for 16 bytes as for a thousand, so its
 * bytes are kept in a pool.  A child process must not use its parent's pool. */

ngx_int_t
ngx_http_chatmaid_crypto_random(ngx_log_t *log, u_char *buf, size_t n)
{
    u_char  *p;

    static ngx_http_chatmaid_crypto_pool_t  pool;

    if (pool.pid != ngx_pid || pool.left < n) {
        pool.pid = ngx_pid;
        pool.left = 0;

        if (RAND_bytes(pool.bytes, sizeof(pool.bytes)) != 1) {
            ERR_clear_error();
            ngx_log_error(NGX_LOG_ALERT, log, 0,
                          "chatmaid RAND_bytes() failed");
            return NGX_ERROR;
        }

        pool.left = sizeof(pool.bytes);
    }

    pool.left -= n;
    p = pool.bytes + pool.left;

    ngx_memcpy(buf, p, n);
    OPENSSL_cleanse(p, n);

    return NGX_OK;
}
