
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_query.h"


u_char *
ngx_http_chatmaid_query_decode(u_char *p, u_char *last, u_char *ch)
{
    ngx_int_t  n;

    *ch = *p;

    if (*p == '%' && last - p >= 3) {
        n = ngx_hextoi(p + 1, 2);

        if (n != NGX_ERROR) {
            *ch = (u_char) n;
            return p + 3;
        }
    }

    return p + 1;
}


ngx_uint_t
ngx_http_chatmaid_query_next(ngx_str_t *args, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *p, *last, *end;

    if (args->len == 0) {
        return 0;                       /* its data may be NULL */
    }

    p = args->data;
    last = args->data + args->len;

    end = ngx_strlchr(p, last, '&');
    if (end == NULL) {
        end = last;
    }

    args->data = (end == last) ? last : end + 1;
    args->len = last - args->data;

    name->data = p;
    value->data = ngx_strlchr(p, end, '=');

    if (value->data == NULL) {
        name->len = end - p;
        value->data = end;

    } else {
        name->len = value->data - p;
        value->data++;
    }

    value->len = end - value->data;

    return 1;
}


ngx_uint_t
ngx_http_chatmaid_query_is(ngx_str_t *value, ngx_str_t *text)
{
    u_char  ch, *p, *last;
    size_t  i;

    p = value->data;
    last = value->data + value->len;

    for (i = 0; i < text->len && p < last; i++) {

        if (*p == '+') {
            ch = ' ';           /* application/x-www-form-urlencoded */
            p++;

        } else {
            p = ngx_http_chatmaid_query_decode(p, last, &ch);
        }

        if (ch != text->data[i]) {
            return 0;
        }
    }

    return i == text->len && p == last;
}


ngx_uint_t
ngx_http_chatmaid_query_holds(ngx_str_t *value, u_char wanted)
{
    u_char  ch, *p, *last;

    p = value->data;
    last = value->data + value->len;

    while (p < last) {
        p = ngx_http_chatmaid_query_decode(p, last, &ch);

        if (ch == wanted) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_chatmaid_query_add(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *name, ngx_str_t *text)
{
    u_char  *p, *d;

    d = ngx_pnalloc(pool, args->len + 1 + name->len + 1 + 3 * text->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    p = d;

    if (args->len) {
        p = ngx_cpymem(p, args->data, args->len);
        *p++ = '&';
    }

    p = ngx_cpymem(p, name->data, name->len);
    *p++ = '=';
    p = (u_char *) ngx_escape_uri(p, text->data, text->len,
                                  NGX_ESCAPE_URI_COMPONENT);

    args->data = d;
    args->len = p - d;

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_query_rename(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *from, ngx_str_t *to)
{
    size_t   n, len;
    u_char  *p, *last, *d;

    if (args->len == 0) {
        return NGX_OK;
    }

    p = args->data;
    last = args->data + args->len;

    for (n = 1, len = 0; len < args->len; len++) {
        n += (p[len] == '&');
    }

    d = ngx_pnalloc(pool, args->len + n * to->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    args->data = d;

    while (p < last) {

        for (len = 0; p + len < last && p[len] != '&'; len++) { /* void */ }

        if (len >= from->len
            && ngx_memcmp(p, from->data, from->len) == 0
            && (len == from->len || p[from->len] == '='))
        {
            d = ngx_cpymem(d, to->data, to->len);
            p += from->len;
            len -= from->len;
        }

        d = ngx_cpymem(d, p, len);
        p += len;

        if (p < last) {
            *d++ = *p++;
        }
    }

    args->len = d - args->data;

    return NGX_OK;
}
