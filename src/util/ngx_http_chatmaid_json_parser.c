
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json_parser.h"


static ngx_int_t ngx_http_chatmaid_json_parser_value(
    ngx_http_chatmaid_json_parser_t *parser);
static ngx_int_t ngx_http_chatmaid_json_parser_open(
    ngx_http_chatmaid_json_parser_t *parser, ngx_uint_t object);
static ngx_int_t ngx_http_chatmaid_json_parser_name(
    ngx_http_chatmaid_json_parser_t *parser);
static ngx_int_t ngx_http_chatmaid_json_parser_after(
    ngx_http_chatmaid_json_parser_t *parser);
static ngx_int_t ngx_http_chatmaid_json_parser_close(
    ngx_http_chatmaid_json_parser_t *parser);
static ngx_int_t ngx_http_chatmaid_json_parser_string(
    ngx_http_chatmaid_json_parser_t *parser);
static u_char *ngx_http_chatmaid_json_parser_plain(u_char *p, u_char *last);
static ngx_int_t ngx_http_chatmaid_json_parser_escape(
    ngx_http_chatmaid_json_parser_t *parser);
static size_t ngx_http_chatmaid_json_parser_utf8(u_char *p, u_char *last);
static ngx_int_t ngx_http_chatmaid_json_parser_number(
    ngx_http_chatmaid_json_parser_t *parser);
static u_char *ngx_http_chatmaid_json_parser_digits(u_char *p, u_char *last);
static ngx_int_t ngx_http_chatmaid_json_parser_word(
    ngx_http_chatmaid_json_parser_t *parser, const char *word, size_t len);
static ngx_inline ngx_int_t ngx_http_chatmaid_json_parser_token(
    ngx_http_chatmaid_json_parser_t *parser, ngx_uint_t child);
static ngx_int_t ngx_http_chatmaid_json_parser_scalar(
    ngx_http_chatmaid_json_parser_t *parser, u_char *last);
static ngx_uint_t ngx_http_chatmaid_json_parser_in_object(
    ngx_http_chatmaid_json_parser_t *parser);
static ngx_inline ngx_uint_t ngx_http_chatmaid_json_parser_space(
    ngx_http_chatmaid_json_parser_t *parser);
static ngx_int_t ngx_http_chatmaid_json_parser_fail(
    ngx_http_chatmaid_json_parser_t *parser, u_char *pos, const char *reason);


/*
 * The functions below return NGX_OK after the end of a value, NGX_AGAIN where
 * another value must begin, and NGX_DECLINED after a failure.
 */

ngx_int_t
ngx_http_chatmaid_json_parser_run(ngx_http_chatmaid_json_parser_t *parser)
{
    ngx_int_t  rc;

    parser->pos = parser->first;

    if (parser->last - parser->first > NGX_MAX_INT32_VALUE) {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "too large");
    }

    do {
        rc = ngx_http_chatmaid_json_parser_value(parser);

        while (rc == NGX_OK && parser->depth) {
            rc = ngx_http_chatmaid_json_parser_after(parser);
        }

    } while (rc == NGX_AGAIN);

    if (rc == NGX_OK && ngx_http_chatmaid_json_parser_space(parser)) {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                            "something follows the JSON text");
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_json_parser_value(ngx_http_chatmaid_json_parser_t *parser)
{
    u_char      ch;
    ngx_uint_t  child;

    if (!ngx_http_chatmaid_json_parser_space(parser)) {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "not JSON");
    }

    ch = *parser->pos;
    child = (parser->depth
             && !ngx_http_chatmaid_json_parser_in_object(parser));

    if (ngx_http_chatmaid_json_parser_token(parser, child) != NGX_OK) {
        return NGX_DECLINED;
    }

    switch (ch) {

    case '{':
    case '[':
        return ngx_http_chatmaid_json_parser_open(parser, ch == '{');

    case '"':
        parser->name = 0;
        return ngx_http_chatmaid_json_parser_string(parser);

    case 't':
        return ngx_http_chatmaid_json_parser_word(parser, "true", 4);

    case 'f':
        return ngx_http_chatmaid_json_parser_word(parser, "false", 5);

    case 'n':
        return ngx_http_chatmaid_json_parser_word(parser, "null", 4);

    default:
        return ngx_http_chatmaid_json_parser_number(parser);
    }
}


static ngx_int_t
ngx_http_chatmaid_json_parser_open(ngx_http_chatmaid_json_parser_t *parser,
    ngx_uint_t object)
{
    u_char      bit;
    ngx_uint_t  n;

    n = parser->depth;

    if (n == NGX_HTTP_CHATMAID_JSON_MAX_DEPTH) {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "nested too deeply");
    }

    bit = (u_char) (1 << n % 8);

    if (object) {
        parser->objects[n / 8] |= bit;

    } else {
        parser->objects[n / 8] &= ~bit;
    }

    parser->depth++;

    if (parser->tokens) {
        n = parser->ntokens - 1;
        parser->tokens[n].next = parser->open;
        parser->open = n;
    }

    parser->pos++;

    if (ngx_http_chatmaid_json_parser_space(parser)
        && *parser->pos == (object ? '}' : ']'))
    {
        return ngx_http_chatmaid_json_parser_close(parser);
    }

    return object ? ngx_http_chatmaid_json_parser_name(parser) : NGX_AGAIN;
}


static ngx_int_t
ngx_http_chatmaid_json_parser_name(ngx_http_chatmaid_json_parser_t *parser)
{
    ngx_int_t  rc;

    if (!ngx_http_chatmaid_json_parser_space(parser) || *parser->pos != '"') {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "not JSON");
    }

    if (ngx_http_chatmaid_json_parser_token(parser, 1) != NGX_OK) {
        return NGX_DECLINED;
    }

    parser->name = 1;
    rc = ngx_http_chatmaid_json_parser_string(parser);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_http_chatmaid_json_parser_space(parser) || *parser->pos != ':') {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "not JSON");
    }

    parser->pos++;

    return NGX_AGAIN;
}


/* Reads what follows a value in an object or array. */

static ngx_int_t
ngx_http_chatmaid_json_parser_after(ngx_http_chatmaid_json_parser_t *parser)
{
    ngx_uint_t  object;

    if (!ngx_http_chatmaid_json_parser_space(parser)) {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "not JSON");
    }

    object = ngx_http_chatmaid_json_parser_in_object(parser);

    if (*parser->pos == ',') {
        parser->pos++;
        return object ? ngx_http_chatmaid_json_parser_name(parser) : NGX_AGAIN;
    }

    if (*parser->pos == (object ? '}' : ']')) {
        return ngx_http_chatmaid_json_parser_close(parser);
    }

    return ngx_http_chatmaid_json_parser_fail(parser, parser->pos, "not JSON");
}


static ngx_int_t
ngx_http_chatmaid_json_parser_close(ngx_http_chatmaid_json_parser_t *parser)
{
    uint32_t                         outer;
    ngx_http_chatmaid_json_token_t  *token;

    parser->pos++;
    parser->depth--;

    if (parser->tokens) {
        token = &parser->tokens[parser->open];
        outer = token->next;

        token->next = 0;
        token->end = token->end ? parser->open + 1 : 0;

        parser->open = outer;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_json_parser_string(ngx_http_chatmaid_json_parser_t *parser)
{
    u_char  *p, *last;
    size_t   len;

    last = parser->last;

    for (p = parser->pos + 1; /* void */ ; p += len) {

        p = ngx_http_chatmaid_json_parser_plain(p, last);

        if (p == last) {
            break;
        }

        if (*p == '"') {
            return ngx_http_chatmaid_json_parser_scalar(parser, p + 1);
        }

        if (*p == '\\') {
            parser->pos = p;

            if (ngx_http_chatmaid_json_parser_escape(parser) != NGX_OK) {
                return NGX_DECLINED;
            }

            p = parser->pos;
            len = 0;
            continue;
        }

        if (*p < ' ') {
            return ngx_http_chatmaid_json_parser_fail(parser, p, "not JSON");
        }

        len = parser->utf8 ? ngx_http_chatmaid_json_parser_utf8(p, last) : 1;

        if (len == 0) {
            return ngx_http_chatmaid_json_parser_fail(parser, p, "not UTF-8");
        }
    }

    return ngx_http_chatmaid_json_parser_fail(parser, p, "not JSON");
}


/*
 * Skips printable ASCII other than quotes and backslashes, eight bytes at a
 * time.  A subtraction sets the high bit of each byte that is smaller than what
 * is subtracted.  The borrow may also set the high bit of a later byte, but
 * never of an earlier one.
 */

static u_char *
ngx_http_chatmaid_json_parser_plain(u_char *p, u_char *last)
{
    uint64_t  word, quote, backslash, special;

    while (last - p >= 8) {
        ngx_memcpy(&word, p, 8);

        quote = word ^ 0x2222222222222222;
        backslash = word ^ 0x5c5c5c5c5c5c5c5c;

        special = (word - 0x2020202020202020)
                  | (quote - 0x0101010101010101)
                  | (backslash - 0x0101010101010101)
                  | word;

        special &= 0x8080808080808080;

        if (special) {
#if (NGX_HAVE_LITTLE_ENDIAN && (__GNUC__ || __clang__))
            return p + __builtin_ctzll(special) / 8;
#else
            break;
#endif
        }

        p += 8;
    }

    while (p < last && *p >= ' ' && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


/* Checks an escape and moves parser->pos behind it. */

static ngx_int_t
ngx_http_chatmaid_json_parser_escape(ngx_http_chatmaid_json_parser_t *parser)
{
    u_char     *p, *last;
    ngx_int_t   unit, low;

    p = parser->pos;
    last = parser->last;

    if (last - p < 2) {
        return ngx_http_chatmaid_json_parser_fail(parser, last, "not JSON");
    }

    if (p[1] != 'u') {

        if (ngx_strlchr((u_char *) "\"\\/bfnrt", (u_char *) "\"\\/bfnrt" + 8,
                        p[1])
            == NULL)
        {
            return ngx_http_chatmaid_json_parser_fail(parser, p, "not JSON");
        }

        parser->pos = p + 2;
        return NGX_OK;
    }

    unit = ngx_http_chatmaid_json_parser_unit(p, last);

    if (unit == NGX_ERROR) {
        return ngx_http_chatmaid_json_parser_fail(parser, p, "not JSON");
    }

    parser->pos = p + 6;

    if (!parser->unicode) {
        return NGX_OK;
    }

    if (unit == 0) {
        return ngx_http_chatmaid_json_parser_fail(parser, p,
                                                  "a string holds \\u0000");
    }

    if (unit < 0xd800 || unit > 0xdfff) {
        return NGX_OK;
    }

    low = ngx_http_chatmaid_json_parser_unit(p + 6, last);

    if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) {
        parser->half = 1;
        return ngx_http_chatmaid_json_parser_fail(parser, p,
                                                  "half a surrogate pair");
    }

    parser->pos = p + 12;

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_json_parser_unit(u_char *p, u_char *last)
{
    if (last - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return NGX_ERROR;
    }

    return ngx_hextoi(p + 2, 4);
}


/* Returns the length of a UTF-8 character outside ASCII (RFC 3629, section 4),
 * or 0 if it is not valid. */

static size_t
ngx_http_chatmaid_json_parser_utf8(u_char *p, u_char *last)
{
    u_char  low, high;
    size_t  i, len;

    low = 0x80;
    high = 0xbf;

    if (*p < 0xc2 || *p > 0xf4) {
        return 0;
    }

    len = (*p < 0xe0) ? 2 : (*p < 0xf0) ? 3 : 4;

    if ((size_t) (last - p) < len) {
        return 0;
    }

    switch (*p) {
    case 0xe0: low = 0xa0; break;       /* else overlong */
    case 0xed: high = 0x9f; break;      /* else half a surrogate pair */
    case 0xf0: low = 0x90; break;       /* else overlong */
    case 0xf4: high = 0x8f; break;      /* else beyond U+10FFFF */
    }

    if (p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < len; i++) {
        if (p[i] < 0x80 || p[i] > 0xbf) {
            return 0;
        }
    }

    return len;
}


static ngx_int_t
ngx_http_chatmaid_json_parser_number(ngx_http_chatmaid_json_parser_t *parser)
{
    u_char      *p, *last, *digits;
    ngx_uint_t   plain;

    p = parser->pos;
    last = parser->last;
    plain = 1;

    if (*p == '-') {
        p++;
        plain = (p < last && *p != '0');        /* not -0 */
    }

    digits = p;
    p = ngx_http_chatmaid_json_parser_digits(p, last);

    if (p - digits > 18) {
        plain = 0;
    }

    if (p - digits > 1 && *digits == '0') {
        p = digits;
    }

    if (p > digits && p < last && *p == '.') {
        plain = 0;
        digits = p + 1;
        p = ngx_http_chatmaid_json_parser_digits(digits, last);
    }

    if (p > digits && p < last && (*p == 'e' || *p == 'E')) {
        plain = 0;
        p++;

        if (p < last && (*p == '+' || *p == '-')) {
            p++;
        }

        digits = p;
        p = ngx_http_chatmaid_json_parser_digits(p, last);
    }

    if (p == digits) {
        return ngx_http_chatmaid_json_parser_fail(parser, p, "not JSON");
    }

    if (!plain) {
        parser->numbers = 1;
    }

    return ngx_http_chatmaid_json_parser_scalar(parser, p);
}


static u_char *
ngx_http_chatmaid_json_parser_digits(u_char *p, u_char *last)
{
    while (p < last && *p >= '0' && *p <= '9') { p++; }

    return p;
}


static ngx_int_t
ngx_http_chatmaid_json_parser_word(ngx_http_chatmaid_json_parser_t *parser,
    const char *word, size_t len)
{
    if ((size_t) (parser->last - parser->pos) < len
        || ngx_memcmp(parser->pos, word, len) != 0)
    {
        return ngx_http_chatmaid_json_parser_fail(parser, parser->pos,
                                                  "not JSON");
    }

    return ngx_http_chatmaid_json_parser_scalar(parser, parser->pos + len);
}


/* Adds a token that begins here; a child is linked to the innermost open object
 * or array.  If there is no room for it, although there was room for all tokens
 * of a JSON text of this length, the text ends before all is closed: so the
 * failure is placed at the end. */

static ngx_inline ngx_int_t
ngx_http_chatmaid_json_parser_token(ngx_http_chatmaid_json_parser_t *parser,
    ngx_uint_t child)
{
    ngx_http_chatmaid_json_token_t  *token, *open;

    if (parser->tokens == NULL) {
        return NGX_OK;
    }

    if (parser->ntokens == parser->max) {
        parser->full = 1;
        return ngx_http_chatmaid_json_parser_fail(parser, parser->last, NULL);
    }

    token = &parser->tokens[parser->ntokens];

    token->start = parser->pos - parser->first;
    token->end = 0;
    token->next = 0;

    if (child) {
        open = &parser->tokens[parser->open];

        if (open->end) {
            parser->tokens[open->end].next = parser->ntokens;
        }

        open->end = parser->ntokens;
    }

    parser->ntokens++;

    return NGX_OK;
}


/* Ends the token of a string, number or word at "last". */

static ngx_int_t
ngx_http_chatmaid_json_parser_scalar(ngx_http_chatmaid_json_parser_t *parser,
    u_char *last)
{
    if (parser->tokens) {
        parser->tokens[parser->ntokens - 1].end = last - parser->first;
    }

    parser->pos = last;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_chatmaid_json_parser_in_object(
    ngx_http_chatmaid_json_parser_t *parser)
{
    ngx_uint_t  n;

    n = parser->depth - 1;

    return (parser->objects[n / 8] & (1 << n % 8)) != 0;
}


/* Skips white space.  Returns 0 at the end of the text, else 1. */

static ngx_inline ngx_uint_t
ngx_http_chatmaid_json_parser_space(ngx_http_chatmaid_json_parser_t *parser)
{
    u_char  *p, *last;

    last = parser->last;

    for (p = parser->pos; p < last; p++) {
        if (*p > ' ' || (*p != ' ' && *p != '\t' && *p != CR && *p != LF)) {
            break;
        }
    }

    parser->pos = p;

    return p < last;
}


static ngx_int_t
ngx_http_chatmaid_json_parser_fail(ngx_http_chatmaid_json_parser_t *parser,
    u_char *pos, const char *reason)
{
    parser->pos = pos;
    parser->reason = (pos == parser->last) ? "the JSON text ends too early"
                                           : reason;

    return NGX_DECLINED;
}
