
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_uri.h"
#include "ngx_http_chatmaid_query.h"


static ngx_uint_t ngx_http_chatmaid_uri_is_merged(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_uri_path(ngx_http_request_t *r,
    ngx_str_t *path);
static ngx_int_t ngx_http_chatmaid_uri_cut(ngx_str_t *path,
    ngx_str_t *prefix, ngx_uint_t merge);
static const char *ngx_http_chatmaid_uri_danger(ngx_str_t *raw,
    ngx_str_t *decoded);


/* Whether nginx has merged the slashes of the path.  The merge_slashes that it
 * obeyed is that of the port's default server, not of the request's server. */

static ngx_uint_t
ngx_http_chatmaid_uri_is_merged(ngx_http_request_t *r)
{
    u_char  *p, *last;

    if (!r->valid_unparsed_uri || !(r->complex_uri || r->quoted_uri)) {
        return 0;
    }

    last = r->uri.data + r->uri.len;

    for (p = r->uri.data; p + 1 < last; p++) {
        if (p[0] == '/' && p[1] == '/') {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_chatmaid_uri_parse(ngx_http_request_t *r, ngx_str_t *prefix,
    ngx_http_chatmaid_uri_t *uri, const char **reason)
{
    u_char      *p, *last;
    ngx_str_t    path, raw, decoded;
    ngx_uint_t   merge;
    const char  *danger;

    merge = ngx_http_chatmaid_uri_is_merged(r);

    if (r->valid_unparsed_uri
        && memchr(r->unparsed_uri.data, '#', r->unparsed_uri.len))
    {
        *reason = "the request target must not hold \"#\"";
        return NGX_DECLINED;
    }

    if (ngx_http_chatmaid_uri_path(r, &path) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_uri_cut(&path, prefix, merge) != NGX_OK) {
        *reason = "the path must begin with the location's own name, "
                  "without dot segments or an encoded slash";
        return NGX_DECLINED;
    }

    p = path.data;
    last = path.data + path.len;

    uri->n = 0;
    uri->danger = NULL;

    for ( ;; ) {

        for (raw.data = p; p < last && *p != '/'; p++) { /* void */ }

        raw.len = p - raw.data;

        if (ngx_http_chatmaid_uri_segment(r->pool, &raw, &decoded, &danger)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (uri->danger == NULL) {
            uri->danger = danger;
        }

        if (uri->n < NGX_HTTP_CHATMAID_MAX_SEGMENTS) {
            uri->raw[uri->n] = raw;
            uri->decoded[uri->n] = decoded;
        }

        uri->n++;

        if (p == last) {
            return NGX_OK;
        }

        do { p++; } while (merge && p < last && *p == '/');
    }
}


/*
 * The path as the caller wrote it.  After a rewrite or an internal redirect it
 * is not known, and nginx's decoded path is encoded again.
 */

static ngx_int_t
ngx_http_chatmaid_uri_path(ngx_http_request_t *r, ngx_str_t *path)
{
    size_t   i;
    u_char  *p;

    if (r->valid_unparsed_uri) {
        *path = r->unparsed_uri;

        p = memchr(path->data, '?', path->len);

        if (p) {
            path->len = p - path->data;
        }

        return NGX_OK;
    }

    path->len = 3 * r->uri.len;
    path->data = ngx_pnalloc(r->pool, path->len);
    if (path->data == NULL) {
        return NGX_ERROR;
    }

    path->len = 0;

    for (i = 0; i < r->uri.len; i++) {

        if (r->uri.data[i] == '/') {
            path->data[path->len++] = '/';
            continue;
        }

        path->len = (u_char *) ngx_escape_uri(path->data + path->len,
                                              &r->uri.data[i], 1,
                                              NGX_ESCAPE_URI_COMPONENT)
                    - path->data;
    }

    return NGX_OK;
}


/*
 * Cuts the prefix off by the rule by which nginx chose the location: the path
 * is decoded, and its slashes are merged if nginx has merged them.  By another
 * rule a request could get around a location that denies it.
 */

static ngx_int_t
ngx_http_chatmaid_uri_cut(ngx_str_t *path, ngx_str_t *prefix,
    ngx_uint_t merge)
{
    u_char   ch, *p, *last, *next;
    size_t   i;

    p = path->data;
    last = path->data + path->len;

    for (i = 0; i < prefix->len; i++) {

        if (p == last) {
            return NGX_DECLINED;
        }

        ch = *p;
        next = (ch == '%') ? ngx_http_chatmaid_query_decode(p, last, &ch)
                           : p + 1;

        if (ch != prefix->data[i] || (ch == '/' && next != p + 1)) {
            return NGX_DECLINED;
        }

        p = next;

        if (ch == '/' && merge) {
            while (p < last && *p == '/') { p++; }
        }
    }

    path->len = last - p;
    path->data = p;

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_uri_segment(ngx_pool_t *pool, ngx_str_t *raw,
    ngx_str_t *decoded, const char **danger)
{
    u_char  ch, *p, *d, *last;

    last = raw->data + raw->len;

    *decoded = *raw;

    if (memchr(raw->data, '%', raw->len)) {

        decoded->data = ngx_pnalloc(pool, raw->len);
        if (decoded->data == NULL) {
            return NGX_ERROR;
        }

        d = decoded->data;

        for (p = raw->data; p < last; *d++ = ch) {
            p = ngx_http_chatmaid_query_decode(p, last, &ch);
        }

        decoded->len = d - decoded->data;
    }

    *danger = ngx_http_chatmaid_uri_danger(raw, decoded);

    return NGX_OK;
}


static const char *
ngx_http_chatmaid_uri_danger(ngx_str_t *raw, ngx_str_t *decoded)
{
    u_char  *p, *last;

    if (memchr(raw->data, '\\', raw->len)) {
        /* some servers read it as a slash */
        return "the path must not hold a backslash";
    }

    last = decoded->data + decoded->len;

    for (p = decoded->data; p < last; p++) {

        if (*p == '/') {
            return "the path must not hold an encoded slash";
        }

        if (*p < 0x20 || *p == 0x7f) {
            return "the path must not hold a control character";
        }
    }

    if ((decoded->len == 1 && decoded->data[0] == '.')
        || (decoded->len == 2 && decoded->data[0] == '.'
            && decoded->data[1] == '.'))
    {
        return "the path must not hold a dot segment";
    }

    return NULL;
}


void
ngx_http_chatmaid_uri_split(ngx_str_t *path, ngx_http_chatmaid_uri_t *uri)
{
    u_char     *p, *last;
    ngx_str_t   segment;

    p = path->data;
    last = path->data + path->len;

    for (uri->n = 0; /* void */; uri->n++, p++) {

        for (segment.data = p; p < last && *p != '/'; p++) { /* void */ }

        segment.len = p - segment.data;

        if (uri->n < NGX_HTTP_CHATMAID_MAX_SEGMENTS) {
            uri->raw[uri->n] = segment;
            uri->decoded[uri->n] = segment;
        }

        if (p == last) {
            uri->n++;
            return;
        }
    }
}


ngx_uint_t
ngx_http_chatmaid_uri_segment_is(ngx_http_chatmaid_uri_t *uri, ngx_uint_t i,
    const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    return i < uri->n && i < NGX_HTTP_CHATMAID_MAX_SEGMENTS
           && uri->decoded[i].len == len
           && ngx_strncmp(uri->decoded[i].data, text, len) == 0;
}


ngx_uint_t
ngx_http_chatmaid_uri_match(ngx_http_chatmaid_uri_t *uri,
    const char *path, ngx_str_t *id)
{
    u_char      *s, *last;
    ngx_uint_t   i;
    const char  *p;

    p = path;

    for (i = 0; i < uri->n && i < NGX_HTTP_CHATMAID_MAX_SEGMENTS; i++) {

        if (*p == '*') {

            if (uri->raw[i].len == 0) {
                return 0;
            }

            *id = uri->raw[i];
            p++;

        } else {
            s = uri->decoded[i].data;
            last = s + uri->decoded[i].len;

            while (s < last && *s == (u_char) *p && *p) { s++; p++; }

            if (s != last) {
                return 0;
            }
        }

        if (*p == '\0') {
            return i + 1 == uri->n;
        }

        if (*p++ != '/') {
            return 0;
        }
    }

    return 0;
}
