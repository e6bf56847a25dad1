
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_operation.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_json.h"


#define NGX_HTTP_CHATMAID_KEY_MAX   255        /* characters */
#define NGX_HTTP_CHATMAID_WINDOW    120        /* seconds */


static ngx_int_t ngx_http_chatmaid_operation_unquote(ngx_http_request_t *r,
    ngx_str_t *value, ngx_str_t *key);


ngx_int_t
ngx_http_chatmaid_operation_header(ngx_http_request_t *r, ngx_str_t *key,
    const char **reason)
{
    ngx_int_t         rc;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static const char  name[] = "idempotency-key";

    ngx_str_null(key);

    part = &r->headers_in.headers.part;

    h = ngx_http_chatmaid_header(part, name, NULL);

    if (h == NULL) {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_header(part, name, h)) {
        *reason = "there must be one Idempotency-Key header";
        return NGX_DECLINED;
    }

    if (h->value.len == 0 || h->value.data[0] != '"') {
        *key = h->value;

    } else {
        rc = ngx_http_chatmaid_operation_unquote(r, &h->value, key);

        if (rc != NGX_OK) {
            ngx_str_null(key);
            *reason = "the Idempotency-Key header begins like a quoted string, "
                      "but is none";
            return rc;
        }
    }

    *reason = ngx_http_chatmaid_operation_check(key);

    if (*reason) {
        ngx_str_null(key);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* RFC 9651, section 3.3.3: "\" escapes itself and the quote, nothing else. */

static ngx_int_t
ngx_http_chatmaid_operation_unquote(ngx_http_request_t *r, ngx_str_t *value,
    ngx_str_t *key)
{
    u_char  *p, *d, *last;

    key->data = ngx_pnalloc(r->pool, value->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    d = key->data;
    last = value->data + value->len;

    for (p = value->data + 1; p < last && *p != '"'; p++) {

        if (*p == '\\') {
            p++;

            if (p == last || (*p != '"' && *p != '\\')) {
                return NGX_DECLINED;
            }
        }

        *d++ = *p;
    }

    key->len = d - key->data;

    return (p == last - 1) ? NGX_OK : NGX_DECLINED;
}


const char *
ngx_http_chatmaid_operation_check(ngx_str_t *key)
{
    size_t  i;

    if (key->len == 0) {
        return "an idempotency key must not be empty";
    }

    if (key->len > NGX_HTTP_CHATMAID_KEY_MAX) {
        return "an idempotency key must have at most 255 characters";
    }

    for (i = 0; i < key->len; i++) {
        if (key->data[i] <= ' ' || key->data[i] >= 0x7f) {
            return "an idempotency key must be of visible ASCII characters";
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_chatmaid_operation_fingerprint(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_str_t  text;

    ctx->fingerprint.len = NGX_HTTP_CHATMAID_SHA256_HEX;
    ctx->fingerprint.data = ngx_pnalloc(r->pool, NGX_HTTP_CHATMAID_SHA256_HEX);

    if (ctx->fingerprint.data == NULL
        || ngx_http_chatmaid_json_dump(r->pool, ctx->message, JSON_SORT_KEYS,
                                       &text)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_sha256(r->connection->log, &text,
                                    ctx->fingerprint.data);
}


ngx_int_t
ngx_http_chatmaid_operation_keyless(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    u_char                        *p;
    ngx_str_t                      fields[5];
    ngx_http_chatmaid_loc_conf_t  *conf;

    u_char                         window[NGX_TIME_T_LEN];

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    p = ngx_pnalloc(r->pool, sizeof("auto-") - 1
                             + NGX_HTTP_CHATMAID_SHA256_HEX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->key.data = p;
    ctx->key.len = sizeof("auto-") - 1 + NGX_HTTP_CHATMAID_SHA256_HEX;

    p = ngx_cpymem(p, "auto-", sizeof("auto-") - 1);

    ngx_str_set(&fields[0], "chatmaid-auto-1");
    fields[1] = conf->account;
    ngx_str_set(&fields[2], "");
    fields[3] = ctx->fingerprint;
    fields[4].data = window;
    fields[4].len = ngx_sprintf(window, "%T",
                                ngx_time() / NGX_HTTP_CHATMAID_WINDOW)
                    - window;

    return ngx_http_chatmaid_sha256_fields(r->pool, fields, 5, p);
}


ngx_int_t
ngx_http_chatmaid_operation_derive(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_str_t *key)
{
    ngx_str_t                      fields[5];
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    key->len = NGX_HTTP_CHATMAID_SHA256_HEX;
    key->data = ngx_pnalloc(r->pool, NGX_HTTP_CHATMAID_SHA256_HEX);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&fields[0], "chatmaid-1");
    fields[1] = conf->account;
    ngx_str_set(&fields[2], "");
    fields[3] = ctx->key;
    fields[4] = ctx->fingerprint;

    return ngx_http_chatmaid_sha256_fields(r->pool, fields, 5, key->data);
}
