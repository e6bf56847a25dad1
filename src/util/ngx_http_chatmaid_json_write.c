
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json_write.h"
#include "ngx_http_chatmaid_json_text.h"


/* A canonical text may be this many bytes longer than twice the tree's text. */
#define NGX_HTTP_CHATMAID_JSON_WRITE_MORE      65536

/* Integers of up to 19 digits are written without an exponent. */
#define NGX_HTTP_CHATMAID_JSON_WRITE_DIGITS    19

/* A number whose exponent has at least this magnitude stays as it is, because a
 * sum with that exponent might overflow. */
#define NGX_HTTP_CHATMAID_JSON_WRITE_EXPONENT  1000000000000000


typedef struct {
    ngx_http_chatmaid_json_tree_t  *tree;
    ngx_uint_t                      canonical;
    u_char                         *pos;       /* NULL: only measure */
    size_t                          len;
} ngx_http_chatmaid_json_writer_t;


static void ngx_http_chatmaid_json_write_value(
    ngx_http_chatmaid_json_writer_t *w, uint32_t value);
static void ngx_http_chatmaid_json_write_children(
    ngx_http_chatmaid_json_writer_t *w, uint32_t child, u_char type);
static void ngx_http_chatmaid_json_write_quoted(
    ngx_http_chatmaid_json_writer_t *w, u_char *p, u_char *last);
static void ngx_http_chatmaid_json_write_character(
    ngx_http_chatmaid_json_writer_t *w, uint32_t ch);
static void ngx_http_chatmaid_json_write_number(
    ngx_http_chatmaid_json_writer_t *w, u_char *p, u_char *last);
static ngx_int_t ngx_http_chatmaid_json_write_exponent(u_char *p, u_char *last,
    int64_t *power);
static void ngx_http_chatmaid_json_write_put(
    ngx_http_chatmaid_json_writer_t *w, const void *data, size_t len);


ngx_int_t
ngx_http_chatmaid_json_write(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_uint_t canonical, ngx_str_t *text)
{
    size_t                           len;
    ngx_http_chatmaid_json_writer_t  w;

    w.tree = tree;
    w.canonical = canonical && tree->numbers;

    /* no text grows but canonical numbers, and members that were added, by
     * their punctuation */

    len = tree->text.len + 2 * NGX_HTTP_CHATMAID_JSON_TREE_SPARE;

    if (w.canonical) {

        w.pos = NULL;
        w.len = 0;

        ngx_http_chatmaid_json_write_value(&w, value);

        if (w.len > 2 * len + NGX_HTTP_CHATMAID_JSON_WRITE_MORE) {
            return NGX_ABORT;
        }

        len = w.len;
    }

    text->data = ngx_pnalloc(tree->pool, len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    w.pos = text->data;
    w.len = 0;

    ngx_http_chatmaid_json_write_value(&w, value);

    text->len = w.len;

    return NGX_OK;
}


static void
ngx_http_chatmaid_json_write_value(ngx_http_chatmaid_json_writer_t *w,
    uint32_t value)
{
    u_char                          *p, *last, type;
    ngx_http_chatmaid_json_token_t  *token;

    token = &w->tree->tokens[value];
    type = ngx_http_chatmaid_json_tree_type(w->tree, value);

    p = w->tree->text.data + token->start;
    last = w->tree->text.data + token->end;

    switch (type) {

    case '{':
    case '[':
        ngx_http_chatmaid_json_write_children(w, token->end, type);
        return;

    case '"':
        ngx_http_chatmaid_json_write_quoted(w, p, last);
        return;

    case '0':
        if (w->canonical) {
            ngx_http_chatmaid_json_write_number(w, p, last);
            return;
        }

        /* fall through */

    default:
        ngx_http_chatmaid_json_write_put(w, p, last - p);
    }
}


static void
ngx_http_chatmaid_json_write_children(ngx_http_chatmaid_json_writer_t *w,
    uint32_t child, u_char type)
{
    ngx_http_chatmaid_json_token_t  *token;

    ngx_http_chatmaid_json_write_put(w, &type, 1);

    for ( /* void */ ; child; child = token->next) {

        token = &w->tree->tokens[child];

        ngx_http_chatmaid_json_write_value(w, child);

        if (type == '{') {
            ngx_http_chatmaid_json_write_put(w, ":", 1);
            ngx_http_chatmaid_json_write_value(w, child + 1);
        }

        if (token->next) {
            ngx_http_chatmaid_json_write_put(w, ",", 1);
        }
    }

    ngx_http_chatmaid_json_write_put(w, (type == '{') ? "}" : "]", 1);
}


/* Writes a string with no escapes but those that JSON needs. */

static void
ngx_http_chatmaid_json_write_quoted(ngx_http_chatmaid_json_writer_t *w,
    u_char *p, u_char *last)
{
    u_char    *escape;
    uint32_t   ch;

    for ( ;; ) {

        escape = memchr(p, '\\', last - p);

        if (escape == NULL) {
            ngx_http_chatmaid_json_write_put(w, p, last - p);
            return;
        }

        ngx_http_chatmaid_json_write_put(w, p, escape - p);

        p = escape;
        ch = ngx_http_chatmaid_json_text_unescape(&p, last);
        ngx_http_chatmaid_json_write_character(w, ch);
    }
}


static void
ngx_http_chatmaid_json_write_character(ngx_http_chatmaid_json_writer_t *w,
    uint32_t ch)
{
    u_char  *p, buf[sizeof("\\u0000")];

    p = buf;

    if (ch == '"' || ch == '\\') {
        *p++ = '\\';
        *p++ = (u_char) ch;

    } else if (ch >= ' ' && (ch < 0xd800 || ch > 0xdfff)) {
        p = ngx_http_chatmaid_json_text_utf8(p, ch);

    } else {
        *p++ = '\\';

        switch (ch) {
        case '\b': *p++ = 'b'; break;
        case '\f': *p++ = 'f'; break;
        case LF:   *p++ = 'n'; break;
        case CR:   *p++ = 'r'; break;
        case '\t': *p++ = 't'; break;
        default:   p = ngx_sprintf(p, "u%04XD", ch);
        }
    }

    ngx_http_chatmaid_json_write_put(w, buf, p - buf);
}


/*
 * Writes a number in the canonical form of its value: an integer of at most 19
 * digits as those digits; any other number as its digits, without zeros at
 * either end, and a power of ten.  So 100, 1e2 and 100.0 become the same text,
 * and 0.5 becomes 5e-1.
 */

static void
ngx_http_chatmaid_json_write_number(ngx_http_chatmaid_json_writer_t *w,
    u_char *p, u_char *last)
{
    u_char   *s, *digits, *end, *point;
    int64_t   n, power;

    u_char    buf[sizeof("e") + NGX_INT64_LEN];

    digits = NULL;              /* the first digit that is not 0 */
    end = NULL;                 /* after the last such digit */
    point = NULL;

    for (s = p + (*p == '-'); s < last && (*s | 0x20) != 'e'; s++) {

        if (*s == '.') {
            point = s;

        } else if (*s != '0') {
            digits = digits ? digits : s;
            end = s + 1;
        }
    }

    if (digits == NULL) {
        ngx_http_chatmaid_json_write_put(w, "0", 1);
        return;
    }

    if (ngx_http_chatmaid_json_write_exponent(s, last, &power) != NGX_OK) {
        ngx_http_chatmaid_json_write_put(w, p, last - p);
        return;
    }

    if (point == NULL) {
        point = s;
    }

    power += (end <= point) ? point - end : point + 1 - end;

    if (*p == '-') {
        ngx_http_chatmaid_json_write_put(w, p, 1);
    }

    n = end - digits;

    if (digits < point && point < end) {
        n--;
        ngx_http_chatmaid_json_write_put(w, digits, point - digits);
        digits = point + 1;
    }

    ngx_http_chatmaid_json_write_put(w, digits, end - digits);

    if (power > 0 && n + power <= NGX_HTTP_CHATMAID_JSON_WRITE_DIGITS) {
        ngx_http_chatmaid_json_write_put(w, "000000000000000000", power);

    } else if (power) {
        s = ngx_sprintf(buf, "e%L", power);
        ngx_http_chatmaid_json_write_put(w, buf, s - buf);
    }
}


/* Reads the exponent, if there is one.  NGX_DECLINED: it is too large. */

static ngx_int_t
ngx_http_chatmaid_json_write_exponent(u_char *p, u_char *last, int64_t *power)
{
    int64_t     value;
    ngx_uint_t  minus;

    value = 0;
    minus = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '-') {
            minus = 1;

        } else if (*p >= '0' && *p <= '9') {
            value = value * 10 + (*p - '0');

            if (value >= NGX_HTTP_CHATMAID_JSON_WRITE_EXPONENT) {
                return NGX_DECLINED;
            }
        }
    }

    *power = minus ? -value : value;

    return NGX_OK;
}


static void
ngx_http_chatmaid_json_write_put(ngx_http_chatmaid_json_writer_t *w,
    const void *data, size_t len)
{
    if (w->pos) {
        w->pos = ngx_cpymem(w->pos, data, len);
    }

    w->len += len;
}
