
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json_fault.h"
#include "ngx_http_chatmaid_json_text.h"


/* The longest reason, in bytes; a JSON pointer that does not fit is cut. */
#define NGX_HTTP_CHATMAID_JSON_FAULT_LEN  512


static u_char *ngx_http_chatmaid_json_fault_half(
    ngx_http_chatmaid_json_parser_t *parser, u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_fault_pointer(
    ngx_http_chatmaid_json_parser_t *parser, uint32_t open, ngx_uint_t depth,
    u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_json_fault_segment(u_char *p, u_char *last,
    ngx_str_t *name);


ngx_int_t
ngx_http_chatmaid_json_fault(ngx_pool_t *pool,
    ngx_http_chatmaid_json_parser_t *parser, ngx_str_t *reason)
{
    u_char      *p, *last;
    ngx_uint_t   line, column;

    line = 1;
    column = 1;

    for (p = parser->first; p < parser->pos; p++) {

        if (*p == LF) {
            line++;
            column = 1;

        } else if ((*p & 0xc0) != 0x80) {
            column++;           /* characters, not bytes */
        }
    }

    reason->data = ngx_pnalloc(pool, NGX_HTTP_CHATMAID_JSON_FAULT_LEN);
    if (reason->data == NULL) {
        return NGX_ERROR;
    }

    last = reason->data + NGX_HTTP_CHATMAID_JSON_FAULT_LEN;
    p = ngx_slprintf(reason->data, last, "%s", parser->reason);

    if (parser->half) {
        p = ngx_http_chatmaid_json_fault_half(parser, p, last - 64);
    }

    p = ngx_slprintf(p, last, ", at line %ui, column %ui", line, column);
    reason->len = p - reason->data;

    return NGX_DECLINED;
}


/* Adds the escape that is half a surrogate pair, and the JSON pointer of the
 * string that contains it, or of the object with a name that contains it. */

static u_char *
ngx_http_chatmaid_json_fault_half(ngx_http_chatmaid_json_parser_t *parser,
    u_char *p, u_char *last)
{
    uint32_t    open;
    ngx_uint_t  depth;

    open = parser->open;
    depth = parser->depth;

    if (parser->name) {
        open = parser->tokens[open].next;
        depth--;
    }

    p = ngx_slprintf(p, last, " (%*s) in %s\"", (size_t) 6, parser->pos,
                     parser->name ? "a name of the object " : "");

    p = ngx_http_chatmaid_json_fault_pointer(parser, open, depth, p, last);

    return ngx_slprintf(p, last, "\"");
}


/* Writes the JSON pointer (RFC 6901) of the value that the parser was reading
 * in the object or array "open". */

static u_char *
ngx_http_chatmaid_json_fault_pointer(ngx_http_chatmaid_json_parser_t *parser,
    uint32_t open, ngx_uint_t depth, u_char *p, u_char *last)
{
    uint32_t                         child;
    ngx_str_t                        name;
    ngx_uint_t                       i;
    ngx_http_chatmaid_json_token_t  *tokens;

    if (depth == 0) {
        return p;
    }

    tokens = parser->tokens;

    p = ngx_http_chatmaid_json_fault_pointer(parser, tokens[open].next,
                                            depth - 1, p, last);
    child = tokens[open].end;

    if (parser->first[tokens[open].start] == '{') {
        name.data = parser->first + tokens[child].start + 1;
        name.len = tokens[child].end - tokens[child].start - 2;

        return ngx_http_chatmaid_json_fault_segment(p, last, &name);
    }

    for (i = 0, open++; open != child; i++) {
        open = tokens[open].next;
    }

    return ngx_slprintf(p, last, "/%ui", i);
}


static u_char *
ngx_http_chatmaid_json_fault_segment(u_char *p, u_char *last, ngx_str_t *name)
{
    u_char  *s, *end, *start;

    if (last - p < (ptrdiff_t) (sizeof("/\"") - 1 + 2 * name->len)) {
        return ngx_slprintf(p, last, "/...");
    }

    *p++ = '/';

    s = name->data;
    end = s + name->len;

    while (s < end) {

        start = p;

        if (*s == '\\') {
            p = ngx_http_chatmaid_json_text_utf8(p,
                               ngx_http_chatmaid_json_text_unescape(&s, end));
        } else {
            *p++ = *s++;
        }

        if (*start == '~') {
            *p++ = '0';

        } else if (*start == '/') {
            *start = '~';
            *p++ = '1';
        }
    }

    return p;
}
