
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_crypto.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>


ngx_int_t
ngx_http_chatmaid_sha256(ngx_log_t *log, ngx_str_t *data, u_char *md)
{
    if (EVP_Digest(data->data, data->len, md, NULL, EVP_sha256(), NULL) != 1) {
        ERR_clear_error();
        ngx_log_error(NGX_LOG_ALERT, log, 0, "chatmaid EVP_Digest() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_sha256_fields(ngx_pool_t *pool, ngx_str_t *fields,
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
        p = ngx_sprintf(p, "%uz:%V,", fields[i].len, &fields[i]);
    }

    data.len = p - data.data;

    return ngx_http_chatmaid_sha256(pool->log, &data, md);
}


ngx_int_t
ngx_http_chatmaid_random(ngx_log_t *log, u_char *buf, size_t n)
{
    if (RAND_bytes(buf, n) != 1) {
        ngx_log_error(NGX_LOG_ALERT, log, 0, "chatmaid RAND_bytes() failed");
        return NGX_ERROR;
    }

    return NGX_OK;
}
