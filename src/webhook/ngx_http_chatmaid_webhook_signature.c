
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_signature.h"
#include "ngx_http_chatmaid_body.h"
#include "ngx_http_chatmaid_digits.h"
#include <openssl/crypto.h>


/* The digits of "t": enough for any clock, and the sum of two such times fits
 * into 64 bits. */
#define NGX_HTTP_CHATMAID_MAX_T  15


static const char *ngx_http_chatmaid_webhook_signature_element(
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_str_t *key,
    ngx_str_t *value, ngx_uint_t *candidates);
static const char *ngx_http_chatmaid_webhook_signature_time(
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_str_t *value);
static ngx_uint_t ngx_http_chatmaid_webhook_signature_digest(u_char *digest,
    ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_webhook_signature_feed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_array_t *secrets);
static void ngx_http_chatmaid_webhook_signature_update(ngx_array_t *secrets,
    u_char *data, size_t len);


/*
 * Elements are separated by commas; spaces and tabs around them are ignored.
 * The key of an element ends at its first "=".  Elements with an unknown key or
 * without "=" are ignored: they may belong to a later version of the header.
 */

ngx_int_t
ngx_http_chatmaid_webhook_signature_parse(ngx_str_t *value,
    ngx_http_chatmaid_webhook_signature_t *signature, const char **reason)
{
    u_char      *p, *last, *end, *next, *equals;
    ngx_str_t    key, text;
    ngx_uint_t   candidates;

    signature->t.len = 0;
    signature->n = 0;
    candidates = 0;

    last = value->data + value->len;

    for (p = value->data; p < last; p = next + 1) {

        next = memchr(p, ',', last - p);

        if (next == NULL) {
            next = last;
        }

        while (p < next && (*p == ' ' || *p == '\t')) {
            p++;
        }

        end = next;

        while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }

        equals = memchr(p, '=', end - p);

        if (equals == NULL) {
            continue;
        }

        key.data = p;
        key.len = equals - p;

        text.data = equals + 1;
        text.len = end - text.data;

        *reason = ngx_http_chatmaid_webhook_signature_element(signature, &key,
                                                              &text,
                                                              &candidates);
        if (*reason) {
            return NGX_DECLINED;
        }
    }

    if (signature->t.len == 0) {
        *reason = "it has no t";
        return NGX_DECLINED;
    }

    if (signature->n == 0) {
        *reason = "it has no v1 of 64 hexadecimal digits";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* Returns NULL, or the reason why the element is refused. */

static const char *
ngx_http_chatmaid_webhook_signature_element(
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_str_t *key,
    ngx_str_t *value, ngx_uint_t *candidates)
{
    u_char  *digest;

    if (key->len == 1 && key->data[0] == 't') {
        return ngx_http_chatmaid_webhook_signature_time(signature, value);
    }

    if (key->len != 2 || key->data[0] != 'v' || key->data[1] != '1') {
        return NULL;
    }

    if (++*candidates > NGX_HTTP_CHATMAID_MAX_V1) {
        return "it has too many v1";
    }

    digest = signature->v1[signature->n];

    /* a v1 of another form can't match, so it is not stored */

    signature->n += ngx_http_chatmaid_webhook_signature_digest(digest, value);

    return NULL;
}


/* Accepts only a form that every parser reads alike, so neither "01" nor
 * "+1". */

static const char *
ngx_http_chatmaid_webhook_signature_time(
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_str_t *value)
{
    size_t  i;

    if (signature->t.len) {
        return "it has more than one t";
    }

    if (value->len == 0 || value->len > NGX_HTTP_CHATMAID_MAX_T
        || value->data[0] == '0')
    {
        return "its t is not a number of 1 to 15 digits";
    }

    signature->time = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            return "its t is not a number of 1 to 15 digits";
        }

        signature->time = signature->time * 10 + (value->data[i] - '0');
    }

    signature->t = *value;

    return NULL;
}


static ngx_uint_t
ngx_http_chatmaid_webhook_signature_digest(u_char *digest, ngx_str_t *value)
{
    return value->len == NGX_HTTP_CHATMAID_SHA256_HEX
           && ngx_http_chatmaid_digits_from_hex(digest, value->data,
                                                NGX_HTTP_CHATMAID_SHA256_LEN)
              == NGX_OK;
}


/* The body is read once for all secrets.  All signatures are compared under all
 * secrets, so that the time taken does not tell which one matched. */

ngx_int_t
ngx_http_chatmaid_webhook_signature_check(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_array_t *secrets)
{
    ngx_uint_t                           i, j, matches;
    ngx_http_chatmaid_webhook_secret_t  *secret;

    u_char                               md[NGX_HTTP_CHATMAID_SHA256_LEN];

    secret = secrets->elts;

    for (i = 0; i < secrets->nelts; i++) {
        ngx_http_chatmaid_crypto_hmac_begin(secret[i].key);
    }

    if (ngx_http_chatmaid_webhook_signature_feed(r, signature, secrets)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    matches = 0;

    for (i = 0; i < secrets->nelts; i++) {

        ngx_http_chatmaid_crypto_hmac_end(secret[i].key, md);

        for (j = 0; j < signature->n; j++) {
            matches += (CRYPTO_memcmp(md, signature->v1[j],
                                      NGX_HTTP_CHATMAID_SHA256_LEN)
                        == 0);
        }
    }

    OPENSSL_cleanse(md, NGX_HTTP_CHATMAID_SHA256_LEN);

    return matches ? NGX_OK : NGX_DECLINED;
}


/* The signed text is t, a dot, and the raw body. */

static ngx_int_t
ngx_http_chatmaid_webhook_signature_feed(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_array_t *secrets)
{
    ssize_t                   len;
    ngx_http_chatmaid_body_t  reader;

    u_char                    piece[8192];

    ngx_http_chatmaid_webhook_signature_update(secrets, signature->t.data,
                                               signature->t.len);
    ngx_http_chatmaid_webhook_signature_update(secrets, (u_char *) ".", 1);

    ngx_http_chatmaid_body_init(&reader, r);

    for ( ;; ) {

        len = ngx_http_chatmaid_body_read(&reader, piece, sizeof(piece));

        if (len <= 0) {
            return (len == 0) ? NGX_OK : NGX_ERROR;
        }

        ngx_http_chatmaid_webhook_signature_update(secrets, piece, len);
    }
}


static void
ngx_http_chatmaid_webhook_signature_update(ngx_array_t *secrets, u_char *data,
    size_t len)
{
    ngx_uint_t                           i;
    ngx_http_chatmaid_webhook_secret_t  *secret;

    secret = secrets->elts;

    for (i = 0; i < secrets->nelts; i++) {
        ngx_http_chatmaid_crypto_hmac_update(secret[i].key, data, len);
    }
}
