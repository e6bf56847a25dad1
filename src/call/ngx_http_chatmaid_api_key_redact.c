
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_api_key_redact.h"


static u_char *ngx_http_chatmaid_api_key_redact_find(
    ngx_http_chatmaid_api_key_t *api_key, u_char *p, u_char *last,
    u_char **next);
static u_char *ngx_http_chatmaid_api_key_redact_match(ngx_str_t *key, u_char *p,
    u_char *last);


ngx_int_t
ngx_http_chatmaid_api_key_redact(ngx_pool_t *pool,
    ngx_http_chatmaid_api_key_t *api_key, ngx_str_t *text)
{
    u_char      *p, *found, *src, *next, *last;
    ngx_uint_t   n;

    static ngx_str_t  redacted = ngx_string("[redacted]");

    n = 0;
    last = text->data + text->len;

    for (p = text->data;
         ngx_http_chatmaid_api_key_redact_find(api_key, p, last, &next);
         p = next)
    {
        n++;
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(pool, text->len + n * redacted.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    src = text->data;
    text->data = p;

    for ( ;; ) {
        found = ngx_http_chatmaid_api_key_redact_find(api_key, src, last, &next);

        if (found == NULL) {
            break;
        }

        p = ngx_cpymem(p, src, found - src);
        p = ngx_cpymem(p, redacted.data, redacted.len);
        src = next;
    }

    text->len = ngx_cpymem(p, src, last - src) - text->data;

    return NGX_OK;
}


/* Where the key stands, and *next is behind it; or NULL. */

static u_char *
ngx_http_chatmaid_api_key_redact_find(ngx_http_chatmaid_api_key_t *api_key, u_char *p,
    u_char *last, u_char **next)
{
    for ( /* void */ ; p < last; p++) {

        if (*p != api_key->secret.data[0] && *p != '\\') {
            continue;
        }

        *next = ngx_http_chatmaid_api_key_redact_match(&api_key->secret, p, last);

        if (*next) {
            return p;
        }
    }

    return NULL;
}


/* The end of the key if it begins here, or NULL.  JSON may write each character
 * as an escape. */

static u_char *
ngx_http_chatmaid_api_key_redact_match(ngx_str_t *key, u_char *p, u_char *last)
{
    size_t  i;

    for (i = 0; i < key->len; i++) {

        if (p < last && *p == key->data[i]) {
            p++;
            continue;
        }

        if (last - p < 6 || ngx_strncmp(p, "\\u00", 4) != 0
            || ngx_hextoi(p + 4, 2) != key->data[i])
        {
            return NULL;
        }

        p += 6;
    }

    return p;
}
