
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json_exact.h"
#include "ngx_http_chatmaid_json.h"


/*
 * The form: in a string, a character that jansson does not take is MARK and its
 * number in four hexadecimal digits, and so is MARK itself, a character that
 * JSON has unescaped and hardly anybody uses; a number is a string of MARK, "n"
 * and its value.
 */
#define NGX_HTTP_CHATMAID_EXACT_MARK    0x7f

/* The most that one byte of a text grows to: MARK, or a digit. */
#define NGX_HTTP_CHATMAID_EXACT_GROWTH  5

/* A number with an exponent from here on is left as it is: no sum with it is
 * sure to fit. */
#define NGX_HTTP_CHATMAID_EXACT_MAX     1000000000000000


static u_char *ngx_http_chatmaid_json_exact_write(u_char *out, ngx_str_t *text);
static u_char *ngx_http_chatmaid_json_exact_text(u_char **out, u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_json_exact_escape(u_char **out, u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_json_exact_mark(u_char *out, ngx_uint_t ch);
static ngx_int_t ngx_http_chatmaid_json_exact_unit(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_exact_number(u_char **out, u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_json_exact_digits(u_char *out, u_char *first,
    u_char **pos, u_char *last);
static u_char *ngx_http_chatmaid_json_exact_power(u_char *out, int64_t power);


ngx_int_t
ngx_http_chatmaid_json_exact_parse(ngx_log_t *log, ngx_str_t *text,
    json_t **json, const char **reason)
{
    u_char        *out, *last;
    json_error_t   error;

    out = ngx_alloc(NGX_HTTP_CHATMAID_EXACT_GROWTH * text->len + 1, log);
    if (out == NULL) {
        return NGX_ERROR;
    }

    last = ngx_http_chatmaid_json_exact_write(out, text);

    if (last == NULL) {
        ngx_free(out);
        *reason = "not JSON";
        return NGX_DECLINED;
    }

    *json = json_loadb((char *) out, last - out,
                       JSON_REJECT_DUPLICATES|JSON_DECODE_ANY, &error);

    ngx_free(out);

    if (*json) {
        return NGX_OK;
    }

    if (json_error_code(&error) == json_error_out_of_memory
        || json_error_code(&error) == json_error_unknown)
    {
        return NGX_ERROR;
    }

    *reason = ngx_http_chatmaid_json_reason(&error);

    return NGX_DECLINED;
}


/*
 * Gives the end of what was written, or NULL where a number is none, or a NUL
 * follows something, which jansson would overlook.  All else that is wrong is
 * left as it is, for jansson to refuse.
 */

static u_char *
ngx_http_chatmaid_json_exact_write(u_char *out, ngx_str_t *text)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p == '"') {
            p = ngx_http_chatmaid_json_exact_text(&out, p, last);

        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            p = ngx_http_chatmaid_json_exact_number(&out, p, last);

            if (p == NULL) {
                return NULL;
            }

        } else if (*p == '\0') {
            return NULL;

        } else {
            *out++ = *p++;
        }
    }

    return out;
}


/* A string from its opening quote on; gives what follows it. */

static u_char *
ngx_http_chatmaid_json_exact_text(u_char **out, u_char *p, u_char *last)
{
    u_char  *q;

    q = *out;
    *q++ = *p++;

    while (p < last) {

        if (*p == '"') {
            *q++ = *p++;
            break;
        }

        if (*p == '\\') {
            p = ngx_http_chatmaid_json_exact_escape(&q, p, last);

        } else if (*p == NGX_HTTP_CHATMAID_EXACT_MARK) {
            q = ngx_http_chatmaid_json_exact_mark(q, *p++);

        } else {
            *q++ = *p++;
        }
    }

    *out = q;

    return p;
}


/* Nothing but \u0000, MARK and half a surrogate pair is changed. */

static u_char *
ngx_http_chatmaid_json_exact_escape(u_char **out, u_char *p, u_char *last)
{
    size_t     len;
    ngx_int_t  unit, low;

    unit = ngx_http_chatmaid_json_exact_unit(p, last);
    len = (unit == NGX_ERROR) ? 2 : sizeof("\\u0000") - 1;

    if (unit >= 0xd800 && unit < 0xdc00) {
        low = ngx_http_chatmaid_json_exact_unit(p + len, last);

        if (low >= 0xdc00 && low < 0xe000) {
            len *= 2;
            unit = NGX_ERROR;       /* a whole pair: like any other character */
        }
    }

    if (unit == 0 || unit == NGX_HTTP_CHATMAID_EXACT_MARK
        || (unit >= 0xd800 && unit < 0xe000))
    {
        *out = ngx_http_chatmaid_json_exact_mark(*out, unit);

    } else {
        len = ngx_min(len, (size_t) (last - p));
        *out = ngx_cpymem(*out, p, len);
    }

    return p + len;
}


static u_char *
ngx_http_chatmaid_json_exact_mark(u_char *out, ngx_uint_t ch)
{
    u_char  bytes[2];

    bytes[0] = (u_char) (ch >> 8);
    bytes[1] = (u_char) ch;

    *out++ = NGX_HTTP_CHATMAID_EXACT_MARK;

    return ngx_hex_dump(out, bytes, sizeof(bytes));
}


/* The number of a "\uXXXX", or NGX_ERROR: something else. */

static ngx_int_t
ngx_http_chatmaid_json_exact_unit(u_char *p, u_char *last)
{
    if (last - p < (ptrdiff_t) sizeof("\\u0000") - 1
        || p[0] != '\\' || p[1] != 'u')
    {
        return NGX_ERROR;
    }

    return ngx_hextoi(p + 2, 4);
}


/*
 * A number (RFC 8259, section 6), written in the one way that its value has:
 * the digits without zeros at either end, then the power of ten.  So 100, 1e2
 * and 100.0 are equal.  NULL where it is none, or in place of a name: it would
 * become one.
 */

static u_char *
ngx_http_chatmaid_json_exact_number(u_char **out, u_char *p, u_char *last)
{
    u_char   *q, *start, *value, *first, *part;
    int64_t   power, exponent, sign;

    q = *out;
    *q++ = '"';
    *q++ = NGX_HTTP_CHATMAID_EXACT_MARK;
    *q++ = 'n';

    start = p;
    value = q;

    if (*p == '-') {
        *q++ = *p++;
    }

    first = q;
    part = p;
    q = ngx_http_chatmaid_json_exact_digits(q, first, &p, last);

    if (p == part || (*part == '0' && p - part > 1)) {
        return NULL;
    }

    power = 0;
    exponent = 0;

    if (p < last && *p == '.') {
        part = ++p;
        q = ngx_http_chatmaid_json_exact_digits(q, first, &p, last);

        if (p == part) {
            return NULL;
        }

        power = part - p;
    }

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;
        sign = 1;

        if (p < last && (*p == '+' || *p == '-')) {
            sign = (*p++ == '-') ? -1 : 1;
        }

        for (part = p; p < last && *p >= '0' && *p <= '9'; p++) {
            exponent = ngx_min(exponent * 10 + (*p - '0'),
                               NGX_HTTP_CHATMAID_EXACT_MAX);
        }

        if (p == part) {
            return NULL;
        }

        power += sign * exponent;
    }

    if (q == first) {
        q = value;
        *q++ = '0';                 /* without a sign */

    } else if (exponent == NGX_HTTP_CHATMAID_EXACT_MAX) {
        q = ngx_cpymem(value, start, p - start);

    } else {
        q = ngx_http_chatmaid_json_exact_power(q, power);
    }

    *q++ = '"';
    *out = q;

    for (part = p; part < last; part++) {
        if (*part != ' ' && *part != '\t' && *part != CR && *part != LF) {
            return (*part == ':') ? NULL : p;
        }
    }

    return p;
}


/* Copies digits, zeros only after another one. */

static u_char *
ngx_http_chatmaid_json_exact_digits(u_char *out, u_char *first, u_char **pos,
    u_char *last)
{
    u_char  *p;

    for (p = *pos; p < last && *p >= '0' && *p <= '9'; p++) {

        if (out > first || *p != '0') {
            *out++ = *p;
        }
    }

    *pos = p;

    return out;
}


static u_char *
ngx_http_chatmaid_json_exact_power(u_char *out, int64_t power)
{
    while (out[-1] == '0') {
        out--;
        power++;
    }

    return power ? ngx_sprintf(out, "e%L", power) : out;
}


ngx_int_t
ngx_http_chatmaid_json_exact_string(ngx_pool_t *pool, json_t *json,
    ngx_str_t *text)
{
    size_t       i, len;
    u_char      *p, ch;
    const char  *value;

    if (!json_is_string(json)) {
        return NGX_DECLINED;
    }

    value = json_string_value(json);
    len = json_string_length(json);

    if (len > 1 && value[0] == NGX_HTTP_CHATMAID_EXACT_MARK && value[1] == 'n')
    {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(pool, (sizeof("\\u0000") - 1) * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = 0; i < len; i++) {
        ch = value[i];

        if (ch < ' ') {
            p = ngx_sprintf(p, "\\u%04xd", (ngx_uint_t) ch);

        } else if (ch == NGX_HTTP_CHATMAID_EXACT_MARK) {
            *p++ = '\\';
            *p++ = 'u';             /* its four digits follow */

        } else {
            *p++ = ch;
        }
    }

    text->len = p - text->data;

    return NGX_OK;
}
