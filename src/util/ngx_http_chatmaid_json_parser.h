
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The parser for all JSON that the module receives (RFC 8259).  It checks a
 * text and finds where its values are; it copies nothing and allocates nothing.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_PARSER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_PARSER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_JSON_MAX_DEPTH  2048

/* The most tokens that a JSON text of this length can have. */
#define ngx_http_chatmaid_json_max_tokens(len)  (((len) + 1) / 2)


/*
 * A token is a value, or the name of a member; the value of that member is then
 * the next token.  Siblings are linked: the elements of an array, or the names
 * of an object.
 */

typedef struct {
    uint32_t                         start;   /* offset of its first byte */
    uint32_t                         end;     /* offset after its last byte; for
                                                 an object or array: its first
                                                 child, 0 if it is empty */
    uint32_t                         next;    /* sibling, 0 for the last one */
} ngx_http_chatmaid_json_token_t;


/*
 * While an object or array is open, "next" of its token is the token of the
 * object or array around it, and "end" is its latest child.
 */

typedef struct {
    u_char                          *first;
    u_char                          *pos;     /* after a failure: its place */
    u_char                          *last;
    const char                      *reason;  /* of a failure, static */

    ngx_http_chatmaid_json_token_t  *tokens;  /* NULL: check only */
    uint32_t                         max;     /* size of "tokens" */
    uint32_t                         ntokens;
    uint32_t                         open;    /* the innermost open token */
    ngx_uint_t                       depth;

    /* refuse bytes that are not UTF-8 */
    unsigned                         utf8:1;

    /* refuse \u0000 and an escape that is half a surrogate pair */
    unsigned                         unicode:1;

    /* result: some number is not a plain integer of at most 18 digits */
    unsigned                         numbers:1;

    /* after a failure: there was no room for more tokens */
    unsigned                         full:1;

    /* after a failure: its cause is half a surrogate pair; the string that
     * contains it is a member's name */
    unsigned                         half:1;
    unsigned                         name:1;

    /* a bit for each depth; 1: an object is open there, 0: an array */
    u_char                           objects[NGX_HTTP_CHATMAID_JSON_MAX_DEPTH
                                             / 8];
} ngx_http_chatmaid_json_parser_t;


/* Parses the text from parser->first to parser->last.  The caller provides a
 * zeroed parser and sets these two, the options "utf8" and "unicode" and, to
 * get tokens, "tokens" and "max".  NGX_OK; NGX_DECLINED: the text is not JSON
 * or was refused, or there are too many tokens ("full"). */
ngx_int_t ngx_http_chatmaid_json_parser_run(
    ngx_http_chatmaid_json_parser_t *parser);

/* Returns the 16 bits of an escape \uXXXX at p, or NGX_ERROR if there is no
 * such escape. */
ngx_int_t ngx_http_chatmaid_json_parser_unit(u_char *p, u_char *last);


#endif /* _NGX_HTTP_CHATMAID_JSON_PARSER_H_INCLUDED_ */
