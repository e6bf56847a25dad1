
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The X-Chatmaid-Signature header: parsed, and compared with the body's HMAC.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_SIGNATURE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_SIGNATURE_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_crypto.h"


/* A header with more signatures is refused: comparing each one takes time. */
#define NGX_HTTP_CHATMAID_MAX_V1  8


typedef struct {
    ngx_str_t                  t;            /* as received: it is signed */
    int64_t                    time;         /* t as Unix time, in seconds */
    ngx_uint_t                 n;            /* how many v1 there are */
    u_char                     v1[NGX_HTTP_CHATMAID_MAX_V1]
                                 [NGX_HTTP_CHATMAID_SHA256_LEN];
} ngx_http_chatmaid_webhook_signature_t;


/* One chatmaid_webhook_secret_file; "digest" is the SHA-256 of the secret. */

typedef struct {
    ngx_http_chatmaid_hmac_t  *key;
    u_char                     digest[NGX_HTTP_CHATMAID_SHA256_LEN];
    ngx_str_t                  file;
} ngx_http_chatmaid_webhook_secret_t;


/* Parses the header's value; signature->t points into it.  NGX_OK;
 * NGX_DECLINED: the value is malformed, and "reason" says why, without a byte
 * of the value. */
ngx_int_t ngx_http_chatmaid_webhook_signature_parse(ngx_str_t *value,
    ngx_http_chatmaid_webhook_signature_t *signature, const char **reason);

/* Compares each signature with the HMAC of the request's body under each of the
 * secrets (an array of ngx_http_chatmaid_webhook_secret_t).  The body has
 * arrived whole.  NGX_OK: one signature is right; NGX_DECLINED: none is;
 * NGX_ERROR: the body's temporary file can't be read (logged). */
ngx_int_t ngx_http_chatmaid_webhook_signature_check(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_signature_t *signature, ngx_array_t *secrets);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_SIGNATURE_H_INCLUDED_ */
