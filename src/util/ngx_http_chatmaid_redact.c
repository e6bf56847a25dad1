
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redact.h"


static u_char *ngx_http_chatmaid_redact_find(ngx_str_t *secret, u_char *p,
    u_char *last, u_char **next);
static u_char *ngx_http_chatmaid_redact_match(ngx_str_t *secret, u_char *p,
    u_char *last);


ngx_int_t
ngx_http_chatmaid_redact(ngx_pool_t *pool, ngx_str_t *secret, ngx_str_t *text)
{
    u_char      *p, *found, *src, *next, *last;
    ngx_uint_t   n;

    static ngx_str_t  redacted = ngx_string("[redacted]");

    /* nearly always it is not there, and no escape that could be a part of it */

    if (text->len == 0
        || (memmem(text->data, text->len, secret->data, secret->len) == NULL
            && memmem(text->data, text->len, "\\u00", 4) == NULL))
    {
        return NGX_DECLINED;
    }

    n = 0;
    last = text->data + text->len;

    for (p = text->data;
         ngx_http_chatmaid_redact_find(secret, p, last, &next);
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
        found = ngx_http_chatmaid_redact_find(secret, src, last, &next);

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


/* Where the secret stands, and *next is behind it; or NULL. */

static u_char *
ngx_http_chatmaid_redact_find(ngx_str_t *secret, u_char *p, u_char *last,
    u_char **next)
{
    for ( /* void */ ; p < last; p++) {

        if (*p != secret->data[0] && *p != '\\') {
            continue;
        }

        *next = ngx_http_chatmaid_redact_match(secret, p, last);

        if (*next) {
            return p;
        }
    }

    return NULL;
}


/* The end of the secret if it begins here, or NULL.  JSON may write each
 * character as an escape. */

static u_char *
ngx_http_chatmaid_redact_match(ngx_str_t *secret, u_char *p, u_char *last)
{
    size_t  i;

    for (i = 0; i < secret->len; i++) {

        if (p < last && *p == secret->data[i]) {
            p++;
            continue;
        }

        if (last - p < 6 || ngx_strncmp(p, "\\u00", 4) != 0
            || ngx_hextoi(p + 4, 2) != secret->data[i])
        {
            return NULL;
        }

        p += 6;
    }

    return p;
}
