
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_exact.h"
#include "ngx_http_chatmaid_json.h"


/*
 * The form: in a string, a character that jansson may not take is MARK and its
 * number in four hexadecimal digits, MARK itself included; a number is a string
 * of MARK, "n" and its value.  MARK is a character that JSON has unescaped, and
 * that hardly anybody uses.
 */
#define NGX_HTTP_CHATMAID_EXACT_MARK    0x7f

/* The most that one byte of a text grows to: MARK, or a digit. */
#define NGX_HTTP_CHATMAID_EXACT_GROWTH  5

/* An exponent of more digits is left as it is: a sum with it might not fit. */
#define NGX_HTTP_CHATMAID_EXACT_DIGITS  15


static u_char *ngx_http_chatmaid_exact_write(u_char *out, ngx_str_t *text);
static u_char *ngx_http_chatmaid_exact_text(u_char **out, u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_exact_escape(u_char **out, u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_exact_mark(u_char *out, ngx_uint_t ch);
static ngx_int_t ngx_http_chatmaid_exact_unit(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_exact_number(u_char **out, u_char *p,
    u_char *last);
static u_char *ngx_http_chatmaid_exact_digits(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_exact_value(u_char *out, u_char *p,
    u_char *mantissa, u_char *last);


ngx_int_t
ngx_http_chatmaid_exact_parse(ngx_log_t *log, ngx_str_t *text, json_t **json,
    const char **reason)
{
    u_char        *out, *last;
    json_error_t   error;

    out = ngx_alloc(NGX_HTTP_CHATMAID_EXACT_GROWTH * text->len + 1, log);
    if (out == NULL) {
        return NGX_ERROR;
    }

    last = ngx_http_chatmaid_exact_write(out, text);

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
 * Gives the end of what was written, or NULL where a number is none.  All else
 * that is wrong is left as it is, for jansson to refuse.
 */

static u_char *
ngx_http_chatmaid_exact_write(u_char *out, ngx_str_t *text)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        if (*p == '"') {
            p = ngx_http_chatmaid_exact_text(&out, p, last);

        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            p = ngx_http_chatmaid_exact_number(&out, p, last);

            if (p == NULL) {
                return NULL;
            }

        } else {
            *out++ = *p++;
        }
    }

    return out;
}


/* A string from its opening quote on; gives what follows it. */

static u_char *
ngx_http_chatmaid_exact_text(u_char **out, u_char *p, u_char *last)
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
            p = ngx_http_chatmaid_exact_escape(&q, p, last);

        } else if (*p == NGX_HTTP_CHATMAID_EXACT_MARK) {
            q = ngx_http_chatmaid_exact_mark(q, *p++);

        } else {
            *q++ = *p++;
        }
    }

    *out = q;

    return p;
}


/* Whatever way a control character is escaped, it gets the same mark. */

static u_char *
ngx_http_chatmaid_exact_escape(u_char **out, u_char *p, u_char *last)
{
    u_char      *q, *letter;
    size_t       len;
    ngx_int_t    unit, low;

    static u_char  letters[] = "bfnrt";
    static u_char  controls[] = "\b\f\n\r\t";

    q = *out;
    len = 2;
    unit = NGX_ERROR;

    if (last - p > 1) {
        letter = ngx_strlchr(letters, letters + sizeof(letters) - 1, p[1]);

        unit = letter ? controls[letter - letters]
                      : ngx_http_chatmaid_exact_unit(p, last);

        if (letter == NULL && unit != NGX_ERROR) {
            len = sizeof("\\u0000") - 1;
        }
    }

    if (unit >= 0xd800 && unit < 0xdc00) {
        low = ngx_http_chatmaid_exact_unit(p + len, last);

        if (low >= 0xdc00 && low < 0xe000) {
            len *= 2;
            unit = NGX_ERROR;       /* a whole pair: like any other character */
        }
    }

    if ((unit >= 0 && unit < ' ') || unit == NGX_HTTP_CHATMAID_EXACT_MARK
        || (unit >= 0xd800 && unit < 0xe000))
    {
        *out = ngx_http_chatmaid_exact_mark(q, unit);

    } else {
        len = ngx_min(len, (size_t) (last - p));
        *out = ngx_cpymem(q, p, len);
    }

    return p + len;
}


static u_char *
ngx_http_chatmaid_exact_mark(u_char *out, ngx_uint_t ch)
{
    u_char  bytes[2];

    bytes[0] = (u_char) (ch >> 8);
    bytes[1] = (u_char) ch;

    *out++ = NGX_HTTP_CHATMAID_EXACT_MARK;

    return ngx_hex_dump(out, bytes, sizeof(bytes));
}


/* The number of a "\uXXXX", or NGX_ERROR: something else. */

static ngx_int_t
ngx_http_chatmaid_exact_unit(u_char *p, u_char *last)
{
    if (last - p < (ptrdiff_t) sizeof("\\u0000") - 1
        || p[0] != '\\' || p[1] != 'u')
    {
        return NGX_ERROR;
    }

    return ngx_hextoi(p + 2, 4);
}


/* A number, by RFC 8259, section 6; NULL where it is none. */

static u_char *
ngx_http_chatmaid_exact_number(u_char **out, u_char *p, u_char *last)
{
    u_char  *start, *integer, *mantissa, *q;

    start = p;

    if (*p == '-') {
        p++;
    }

    integer = p;
    p = ngx_http_chatmaid_exact_digits(p, last);

    if (p == integer || (*integer == '0' && p - integer > 1)) {
        return NULL;
    }

    if (p < last && *p == '.') {
        q = p + 1;
        p = ngx_http_chatmaid_exact_digits(q, last);

        if (p == q) {
            return NULL;
        }
    }

    mantissa = p;

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;

        if (p < last && (*p == '+' || *p == '-')) {
            p++;
        }

        q = p;
        p = ngx_http_chatmaid_exact_digits(q, last);

        if (p == q) {
            return NULL;
        }
    }

    q = *out;
    *q++ = '"';
    *q++ = NGX_HTTP_CHATMAID_EXACT_MARK;
    *q++ = 'n';

    q = ngx_http_chatmaid_exact_value(q, start, mantissa, p);

    *q++ = '"';
    *out = q;

    return p;
}


static u_char *
ngx_http_chatmaid_exact_digits(u_char *p, u_char *last)
{
    while (p < last && *p >= '0' && *p <= '9') {
        p++;
    }

    return p;
}


/*
 * The one way to write its value: the digits without zeros at either end, then
 * the power of ten.  So 100, 1e2 and 100.0 are equal.
 */

static u_char *
ngx_http_chatmaid_exact_value(u_char *out, u_char *p, u_char *mantissa,
    u_char *last)
{
    u_char   *q, *first, *exponent;
    int64_t   power, sign;
    unsigned  fraction;

    power = 0;
    sign = 1;
    exponent = mantissa;

    if (exponent < last) {
        exponent++;

        if (*exponent == '+' || *exponent == '-') {
            sign = (*exponent++ == '-') ? -1 : 1;
        }

        while (exponent < last && *exponent == '0') {
            exponent++;
        }

        if (last - exponent > NGX_HTTP_CHATMAID_EXACT_DIGITS) {
            return ngx_cpymem(out, p, last - p);
        }

        while (exponent < last) {
            power = power * 10 + (*exponent++ - '0');
        }

        power *= sign;
    }

    q = out;

    if (*p == '-') {
        *q++ = *p++;
    }

    first = q;
    fraction = 0;

    for ( /* void */ ; p < mantissa; p++) {

        if (*p == '.') {
            fraction = 1;
            continue;
        }

        power -= fraction;

        if (q > first || *p != '0') {
            *q++ = *p;
        }
    }

    if (q == first) {
        *out++ = '0';               /* without a sign */
        return out;
    }

    while (q[-1] == '0') {
        q--;
        power++;
    }

    return power ? ngx_sprintf(q, "e%L", power) : q;
}


ngx_int_t
ngx_http_chatmaid_exact_string(ngx_pool_t *pool, json_t *json, ngx_str_t *text)
{
    size_t       i, len;
    u_char      *p;
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

    /* MARK and four digits become "\u" and these */

    p = ngx_pnalloc(pool, 2 * len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    for (i = 0; i < len; i++) {

        if (value[i] == NGX_HTTP_CHATMAID_EXACT_MARK) {
            *p++ = '\\';
            *p++ = 'u';

        } else {
            *p++ = value[i];
        }
    }

    text->len = p - text->data;

    return NGX_OK;
}
