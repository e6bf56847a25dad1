
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redact.h"


static ngx_uint_t ngx_http_chatmaid_redact_head_ends(u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_redact_find(ngx_str_t *secret, u_char *p,
    u_char *last, ngx_uint_t escapes, u_char **next);
static u_char *ngx_http_chatmaid_redact_match(ngx_str_t *secret, u_char *p,
    u_char *last);


ngx_int_t
ngx_http_chatmaid_redact(ngx_pool_t *pool, ngx_str_t *secret, ngx_str_t *text)
{
    u_char      *p, *found, *src, *next, *last;
    ngx_uint_t   n, escapes;

    static ngx_str_t  redacted = ngx_string("[redacted]");

    if (text->len == 0) {
        return NGX_DECLINED;
    }

    n = 0;
    escapes = (memchr(text->data, '\\', text->len) != NULL);
    last = text->data + text->len;

    for (p = text->data;
         ngx_http_chatmaid_redact_find(secret, p, last, escapes, &next);
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
        found = ngx_http_chatmaid_redact_find(secret, src, last, escapes,
                                              &next);

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


ngx_uint_t
ngx_http_chatmaid_redact_head(ngx_str_t *secret, u_char *p, u_char *last)
{
    u_char      *head, *next;
    ngx_uint_t   found;

    found = 0;
    head = p;

    for ( ;; ) {
        p = ngx_http_chatmaid_redact_find(secret, p, last, 0, &next);

        if (p == NULL || ngx_http_chatmaid_redact_head_ends(head, p)) {
            return found;
        }

        ngx_memset(p, '*', next - p);

        found = 1;
        p = next;
    }
}


/* Whether an empty line is between p and last.  Lines end with LF or CR LF
 * (RFC 9112, section 2.2). */

static ngx_uint_t
ngx_http_chatmaid_redact_head_ends(u_char *p, u_char *last)
{
    u_char  *end;

    while (p < last) {

        end = memchr(p, LF, last - p);

        if (end == NULL) {
            return 0;
        }

        if (end == p || (end == p + 1 && *p == CR)) {
            return 1;
        }

        p = end + 1;
    }

    return 0;
}


/* Returns the position of the secret, and sets *next to the byte after it; or
 * returns NULL.  A text without escapes, as most are, need not be searched byte
 * by byte. */

static u_char *
ngx_http_chatmaid_redact_find(ngx_str_t *secret, u_char *p, u_char *last,
    ngx_uint_t escapes, u_char **next)
{
    size_t  at;

    /* memchr() looks for the third byte of the secret: in most texts the
     * underscore of "sk_" is rarer than the "s" */
    at = ngx_min(secret->len - 1, 2);

    for ( /* void */ ; p < last; p++) {

        if (!escapes) {

            if ((size_t) (last - p) < secret->len) {
                return NULL;
            }

            p = memchr(p + at, secret->data[at], last - p - at);

            if (p == NULL) {
                return NULL;
            }

            p -= at;

            if ((size_t) (last - p) < secret->len) {
                return NULL;
            }

            if (ngx_memcmp(p, secret->data, secret->len) != 0) {
                continue;
            }

        } else if (*p != secret->data[0] && *p != '\\') {
            continue;
        }

        *next = ngx_http_chatmaid_redact_match(secret, p, last);

        if (*next) {
            return p;
        }
    }

    return NULL;
}


/* Returns the end of the secret if it begins at p, or NULL.  In JSON each
 * character may be written as an escape. */

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
