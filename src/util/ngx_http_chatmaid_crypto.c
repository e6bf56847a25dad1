
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_digits.h"
#include <openssl/err.h>
#include <openssl/rand.h>


#define NGX_HTTP_CHATMAID_CRYPTO_POOL  1024

typedef struct {
    ngx_pid_t  pid;
    size_t     left;
    u_char     bytes[NGX_HTTP_CHATMAID_CRYPTO_POOL];
} ngx_http_chatmaid_crypto_pool_t;


static const EVP_MD *ngx_http_chatmaid_crypto_md(void);
static void ngx_http_chatmaid_crypto_hmac_cleanup(void *data);
static void ngx_http_chatmaid_crypto_failed(ngx_log_t *log,
    const char *function);


/* OpenSSL 3 looks through its providers each time EVP_sha256() is used, and a
 * context costs as much as a block. */

static const EVP_MD *
ngx_http_chatmaid_crypto_md(void)
{
#if (OPENSSL_VERSION_NUMBER >= 0x30000000L)

    static EVP_MD  *md;

    if (md == NULL) {
        md = EVP_MD_fetch(NULL, "SHA256", NULL);
    }

    return md;

#else

    return EVP_sha256();

#endif
}


ngx_int_t
ngx_http_chatmaid_crypto_sha256(ngx_log_t *log, ngx_str_t *data, u_char *md)
{
    const EVP_MD       *type;

    static EVP_MD_CTX  *ctx;

    /* with its type given again, a context would be set up anew */

    type = NULL;

    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();
        type = ngx_http_chatmaid_crypto_md();
    }

    if (ctx == NULL
        || EVP_DigestInit_ex(ctx, type, NULL) != 1
        || EVP_DigestUpdate(ctx, data->data, data->len) != 1
        || EVP_DigestFinal_ex(ctx, md, NULL) != 1)
    {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;

        ngx_http_chatmaid_crypto_failed(log, "EVP_Digest");
        return NGX_ERROR;
    }

    return NGX_OK;
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

    return ngx_http_chatmaid_crypto_sha256(pool->log, &data, md);
}


ngx_http_chatmaid_hmac_t *
ngx_http_chatmaid_crypto_hmac_key(ngx_pool_t *pool, ngx_str_t *key)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_chatmaid_hmac_t  *hmac;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    hmac = HMAC_CTX_new();

    cln->handler = ngx_http_chatmaid_crypto_hmac_cleanup;
    cln->data = hmac;

    if (hmac == NULL
        || HMAC_Init_ex(hmac, key->data, key->len,
                        ngx_http_chatmaid_crypto_md(), NULL)
           != 1)
    {
        ngx_http_chatmaid_crypto_failed(pool->log, "HMAC_Init_ex");
        return NULL;
    }

    return hmac;
}


static void
ngx_http_chatmaid_crypto_hmac_cleanup(void *data)
{
    HMAC_CTX_free(data);
}


ngx_int_t
ngx_http_chatmaid_crypto_hmac_begin(ngx_log_t *log,
    ngx_http_chatmaid_hmac_t *hmac)
{
    if (HMAC_Init_ex(hmac, NULL, 0, NULL, NULL) != 1) {
        ngx_http_chatmaid_crypto_failed(log, "HMAC_Init_ex");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_crypto_hmac_update(ngx_log_t *log,
    ngx_http_chatmaid_hmac_t *hmac, u_char *data, size_t len)
{
    if (HMAC_Update(hmac, data, len) != 1) {
        ngx_http_chatmaid_crypto_failed(log, "HMAC_Update");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_crypto_hmac_end(ngx_log_t *log,
    ngx_http_chatmaid_hmac_t *hmac, u_char *md)
{
    if (HMAC_Final(hmac, md, NULL) != 1) {
        ngx_http_chatmaid_crypto_failed(log, "HMAC_Final");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* RAND_bytes() costs almost the same for 16 bytes as for a thousand.  A child
 * process must not use the bytes that its parent has drawn. */

ngx_int_t
ngx_http_chatmaid_crypto_random(ngx_log_t *log, u_char *buf, size_t n)
{
    u_char  *p;

    static ngx_http_chatmaid_crypto_pool_t  pool;

    if (pool.pid != ngx_pid || pool.left < n) {
        pool.pid = ngx_pid;
        pool.left = 0;

        if (RAND_bytes(pool.bytes, sizeof(pool.bytes)) != 1) {
            ngx_http_chatmaid_crypto_failed(log, "RAND_bytes");
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


static void
ngx_http_chatmaid_crypto_failed(ngx_log_t *log, const char *function)
{
    ERR_clear_error();

    ngx_log_error(NGX_LOG_ALERT, log, 0, "chatmaid %s() failed", function);
}
