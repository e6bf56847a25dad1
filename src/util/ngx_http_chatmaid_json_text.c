
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_json_parser.h"


#define ngx_http_chatmaid_json_is_space(ch)                                   \
    ((ch) == ' ' || (ch) == '\t' || (ch) == CR || (ch) == LF)


/* Reads the decoded bytes of a string, one after another. */

typedef struct {
    u_char  *pos;
    u_char  *last;
    u_char  *byte;
    u_char  *end;
    u_char   bytes[4];
} ngx_http_chatmaid_json_bytes_t;


static ngx_uint_t ngx_http_chatmaid_json_text_pair(ngx_str_t *rest,
    ngx_str_t *name, ngx_str_t *value);
static u_char *ngx_http_chatmaid_json_text_begin(ngx_str_t *rest,
    u_char bracket);
static void ngx_http_chatmaid_json_text_value(u_char *p, ngx_str_t *rest,
    ngx_str_t *value);
static u_char *ngx_http_chatmaid_json_text_skip(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_text_quoted(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_text_plain(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_text_space(u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_text_decode(u_char *out, u_char *p,
    u_char *last, ngx_uint_t form);
static void ngx_http_chatmaid_json_text_bytes(
    ngx_http_chatmaid_json_bytes_t *bytes, ngx_str_t *string, size_t offset);
static ngx_int_t ngx_http_chatmaid_json_text_byte(
    ngx_http_chatmaid_json_bytes_t *bytes);


void
ngx_http_chatmaid_json_text_trim(ngx_str_t *text)
{
    u_char  *p, *last;

    static ngx_str_t  mark = ngx_string("\xef\xbb\xbf");

    p = text->data;
    last = p + text->len;

    if (text->len >= mark.len && ngx_memcmp(p, mark.data, mark.len) == 0) {
        p += mark.len;
    }

    p = ngx_http_chatmaid_json_text_space(p, last);

    while (last > p && ngx_http_chatmaid_json_is_space(last[-1])) { last--; }

    text->data = p;
    text->len = last - p;
}


ngx_int_t
ngx_http_chatmaid_json_text_check(ngx_str_t *text)
{
    ngx_http_chatmaid_json_parser_t  parser;

    if (text->len == 0) {
        return NGX_DECLINED;
    }

    ngx_http_chatmaid_json_text_trim(text);

    ngx_memzero(&parser, sizeof(ngx_http_chatmaid_json_parser_t));

    parser.first = text->data;
    parser.last = text->data + text->len;

    return ngx_http_chatmaid_json_parser_run(&parser);
}


ngx_uint_t
ngx_http_chatmaid_json_text_member(ngx_str_t *object, const char *name,
    ngx_str_t *value)
{
    ngx_str_t   rest, wanted, member, found;
    ngx_uint_t  n;

    wanted.data = (u_char *) name;
    wanted.len = ngx_strlen(name);

    n = 0;
    rest = *object;

    while (ngx_http_chatmaid_json_text_pair(&rest, &member, &found)) {
        if (ngx_http_chatmaid_json_text_is(&member, &wanted)) {
            *value = found;
            n++;
        }
    }

    return n != 0;
}


/* Takes the next member from "rest", which is the whole object at first.
 * "name" becomes the bytes between the quotes of its name. */

static ngx_uint_t
ngx_http_chatmaid_json_text_pair(ngx_str_t *rest, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *p, *last;

    p = ngx_http_chatmaid_json_text_begin(rest, '{');

    if (p == NULL) {
        return 0;
    }

    last = rest->data + rest->len;

    name->data = p + 1;
    p = ngx_http_chatmaid_json_text_quoted(p, last);
    name->len = p - 1 - name->data;

    p = ngx_http_chatmaid_json_text_space(p, last);         /* the colon */
    p = ngx_http_chatmaid_json_text_space(p + 1, last);

    ngx_http_chatmaid_json_text_value(p, rest, value);

    return 1;
}


ngx_uint_t
ngx_http_chatmaid_json_text_next(ngx_str_t *rest, ngx_str_t *element)
{
    u_char  *p;

    p = ngx_http_chatmaid_json_text_begin(rest, '[');

    if (p == NULL) {
        return 0;
    }

    ngx_http_chatmaid_json_text_value(p, rest, element);

    return 1;
}


/* "rest" begins with the bracket, or with what follows a value.  Returns the
 * beginning of the next child, or NULL if there is none. */

static u_char *
ngx_http_chatmaid_json_text_begin(ngx_str_t *rest, u_char bracket)
{
    u_char  *p, *last;

    if (rest->len == 0) {
        return NULL;                    /* its data may be NULL */
    }

    p = rest->data;
    last = p + rest->len;

    if (*p != bracket && *p != ',') {
        return NULL;
    }

    p = ngx_http_chatmaid_json_text_space(p + 1, last);

    return (*p == ']' || *p == '}') ? NULL : p;
}


/* Sets "value" to the value that begins at p, and "rest" to what follows it. */

static void
ngx_http_chatmaid_json_text_value(u_char *p, ngx_str_t *rest,
    ngx_str_t *value)
{
    u_char  *last;

    last = rest->data + rest->len;

    value->data = p;
    p = ngx_http_chatmaid_json_text_skip(p, last);
    value->len = p - value->data;

    rest->data = ngx_http_chatmaid_json_text_space(p, last);
    rest->len = last - rest->data;
}


static u_char *
ngx_http_chatmaid_json_text_skip(u_char *p, u_char *last)
{
    ngx_uint_t  depth;

    depth = 0;

    do {
        switch (*p) {

        case '"':
            p = ngx_http_chatmaid_json_text_quoted(p, last);
            break;

        case '{':
        case '[':
            depth++;
            p++;
            break;

        case '}':
        case ']':
            depth--;
            p++;
            break;

        default:
            p = ngx_http_chatmaid_json_text_plain(p, last);
        }

    } while (depth && p < last);

    return p;
}


/* A quote ends the string unless an odd number of backslashes precedes it. */

static u_char *
ngx_http_chatmaid_json_text_quoted(u_char *p, u_char *last)
{
    u_char  *quote, *s;

    for (p++; /* void */ ; p = quote + 1) {

        quote = memchr(p, '"', last - p);

        if (quote == NULL) {
            return last;
        }

        for (s = quote; s > p && s[-1] == '\\'; s--) { /* void */ }

        if ((quote - s) % 2 == 0) {
            return quote + 1;
        }
    }
}


/* Skips a number or a word, or what is between two values. */

static u_char *
ngx_http_chatmaid_json_text_plain(u_char *p, u_char *last)
{
    for (p++; p < last && *p > ' '; p++) {

        switch (*p) {
        case ',':
        case '"':
        case '[':
        case ']':
        case '{':
        case '}':
            return p;
        }
    }

    return p;
}


static u_char *
ngx_http_chatmaid_json_text_space(u_char *p, u_char *last)
{
    while (p < last && ngx_http_chatmaid_json_is_space(*p)) { p++; }

    return p;
}


ngx_int_t
ngx_http_chatmaid_json_text_insert(ngx_pool_t *pool, ngx_str_t *object,
    const char *name, ngx_str_t *value, ngx_str_t *text)
{
    u_char      *p, *place;
    ngx_str_t    rest, wanted, member, other;
    ngx_uint_t   before, behind;     /* whether there is a comma */

    wanted.data = (u_char *) name;
    wanted.len = ngx_strlen(name);

    rest = *object;
    place = NULL;

    while (place == NULL
           && ngx_http_chatmaid_json_text_pair(&rest, &member, &other))
    {
        if (ngx_http_chatmaid_json_text_compare(&member, &wanted) > 0) {
            place = member.data - 1;
        }
    }

    text->len = object->len + value->len + wanted.len + sizeof("\"\":,") - 1;
    text->data = ngx_pnalloc(pool, text->len);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    /* at the end a comma precedes it, unless the object is empty */

    before = (place == NULL && rest.len != object->len);
    behind = (place != NULL);

    if (place == NULL) {
        place = object->data + object->len - 1;
    }

    p = ngx_cpymem(text->data, object->data, place - object->data);

    if (before) {
        *p++ = ',';
    }

    *p++ = '"';
    p = ngx_cpymem(p, wanted.data, wanted.len);
    *p++ = '"'; *p++ = ':';
    p = ngx_cpymem(p, value->data, value->len);

    if (behind) {
        *p++ = ',';
    }

    p = ngx_cpymem(p, place, object->data + object->len - place);
    text->len = p - text->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_json_text_string(ngx_pool_t *pool, ngx_str_t *value,
    ngx_uint_t form, ngx_str_t *string)
{
    size_t   len;
    u_char  *p, *last;

    if (value->len < 2 || value->data[0] != '"') {
        return NGX_DECLINED;
    }

    string->data = value->data + 1;
    string->len = value->len - 2;

    /* most strings need no decoding */

    if (memchr(string->data, '\\', string->len) == NULL
        && (form == NGX_HTTP_CHATMAID_JSON_UTF8
            || memchr(string->data, 0x7f, string->len) == NULL))
    {
        return NGX_OK;
    }

    last = string->data + string->len;
    len = string->len;

    for (p = string->data; p < last; p++) {

        if (*p == '\\' || (*p == 0x7f && form)) {
            len += 5;                           /* at most: "\u007f" */
        }
    }

    p = string->data;

    string->data = ngx_pnalloc(pool, form ? len : string->len);
    if (string->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_http_chatmaid_json_text_decode(string->data, p, last, form);
    string->len = p - string->data;

    return NGX_OK;
}


static u_char *
ngx_http_chatmaid_json_text_decode(u_char *out, u_char *p, u_char *last,
    ngx_uint_t form)
{
    uint32_t    ch;
    ngx_uint_t  half;

    while (p < last) {

        if (*p != '\\' && *p != 0x7f) {
            *out++ = *p++;
            continue;
        }

        ch = (*p == '\\') ? ngx_http_chatmaid_json_text_unescape(&p, last)
                          : *p++;

        half = (ch >= 0xd800 && ch <= 0xdfff);

        if (form == NGX_HTTP_CHATMAID_JSON_PRINTABLE
            && (half || ch < ' ' || ch == 0x7f))
        {
            out = ngx_sprintf(out, "\\u%04xD", ch);

        } else {
            out = ngx_http_chatmaid_json_text_utf8(out, half ? 0xfffd : ch);
        }
    }

    return out;
}


uint32_t
ngx_http_chatmaid_json_text_unescape(u_char **pos, u_char *last)
{
    u_char     *p;
    ngx_int_t   unit, low;

    p = *pos;
    *pos = p + 2;

    switch (p[1]) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return LF;
    case 'r': return CR;
    case 't': return '\t';
    case 'u': break;
    default:  return p[1];
    }

    unit = ngx_http_chatmaid_json_parser_unit(p, last);
    *pos = p + 6;

    if (unit >= 0xd800 && unit <= 0xdbff) {
        low = ngx_http_chatmaid_json_parser_unit(p + 6, last);

        if (low >= 0xdc00 && low <= 0xdfff) {
            *pos = p + 12;
            return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
    }

    return (uint32_t) unit;
}


u_char *
ngx_http_chatmaid_json_text_utf8(u_char *out, uint32_t ch)
{
    if (ch < 0x80) {
        *out++ = (u_char) ch;
        return out;
    }

    if (ch < 0x800) {
        *out++ = (u_char) (0xc0 | ch >> 6);

    } else {

        if (ch < 0x10000) {
            *out++ = (u_char) (0xe0 | ch >> 12);

        } else {
            *out++ = (u_char) (0xf0 | ch >> 18);
            *out++ = (u_char) (0x80 | (ch >> 12 & 0x3f));
        }

        *out++ = (u_char) (0x80 | (ch >> 6 & 0x3f));
    }

    *out++ = (u_char) (0x80 | (ch & 0x3f));

    return out;
}


/* An escape is longer than the character for which it stands, so a string with
 * an escape can only be equal if it is longer than the name. */

ngx_uint_t
ngx_http_chatmaid_json_text_is(ngx_str_t *string, ngx_str_t *name)
{
    if (string->len <= name->len) {
        return string->len == name->len
               && ngx_memcmp(string->data, name->data, name->len) == 0;
    }

    return memchr(string->data, '\\', string->len) != NULL
           && ngx_http_chatmaid_json_text_compare(string, name) == 0;
}


ngx_int_t
ngx_http_chatmaid_json_text_compare(ngx_str_t *one, ngx_str_t *two)
{
    size_t                          i, n;
    ngx_int_t                       a, b;
    ngx_http_chatmaid_json_bytes_t  first, second;

    n = ngx_min(one->len, two->len);

    for (i = 0; i < n; i++) {
        if (one->data[i] != two->data[i] || one->data[i] == '\\') {
            break;
        }
    }

    /* the strings are equal up to i, and have no escape before it */

    if (i < n && one->data[i] != '\\' && two->data[i] != '\\') {
        return one->data[i] - two->data[i];
    }

    if (i == n && one->len == two->len) {
        return 0;
    }

    ngx_http_chatmaid_json_text_bytes(&first, one, i);
    ngx_http_chatmaid_json_text_bytes(&second, two, i);

    do {
        a = ngx_http_chatmaid_json_text_byte(&first);
        b = ngx_http_chatmaid_json_text_byte(&second);
    } while (a == b && a != NGX_ERROR);

    return a - b;
}


static void
ngx_http_chatmaid_json_text_bytes(ngx_http_chatmaid_json_bytes_t *bytes,
    ngx_str_t *string, size_t offset)
{
    bytes->pos = string->data + offset;
    bytes->last = string->data + string->len;
    bytes->byte = bytes->bytes;
    bytes->end = bytes->bytes;
}


/* Returns the next byte, or NGX_ERROR at the end. */

static ngx_int_t
ngx_http_chatmaid_json_text_byte(ngx_http_chatmaid_json_bytes_t *bytes)
{
    uint32_t  ch;

    if (bytes->byte == bytes->end) {

        if (bytes->pos == bytes->last) {
            return NGX_ERROR;
        }

        if (*bytes->pos != '\\') {
            return *bytes->pos++;
        }

        ch = ngx_http_chatmaid_json_text_unescape(&bytes->pos, bytes->last);

        bytes->byte = bytes->bytes;
        bytes->end = ngx_http_chatmaid_json_text_utf8(bytes->bytes, ch);
    }

    return *bytes->byte++;
}
