
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The one parser for the JSON of others (RFC 8259).  It checks a text and says
 * where its values are; it copies nothing and allocates nothing.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_PARSER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_PARSER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_JSON_MAX_DEPTH  2048

/* The most tokens that a text of this length has, if it is JSON. */
#define ngx_http_chatmaid_json_max_tokens(len)  (((len) + 1) / 2)


/*
 * A value, or the name of a member: its value is the next token.  Siblings are
 * linked: the elements of an array, the names of an object.
 */

typedef struct {
    uint32_t                         start;   /* offset of its first byte */
    uint32_t                         end;     /* offset after its last byte; for
                                                 an object or array: its first
                                                 child, 0 if it is empty */
    uint32_t                         next;    /* sibling, 0 for the last one */
} ngx_http_chatmaid_json_token_t;


/*
 * While an object or array is open, the "next" of its token is the token around
 * it, and the "end" its latest child.
 */

typedef struct {
    u_char                          *first;
    u_char                          *pos;     /* after a failure: where */
    u_char                          *last;
    const char                      *reason;  /* of a failure, static */

    ngx_http_chatmaid_json_token_t  *tokens;  /* NULL: check only */
    uint32_t                         max;     /* of them there is room for */
    uint32_t                         ntokens;
    uint32_t                         open;    /* the innermost open token */
    ngx_uint_t                       depth;

    /* refuse bytes that are not UTF-8 */
    unsigned                         utf8:1;

    /* refuse \u0000 and an escape that is half a surrogate pair */
    unsigned                         unicode:1;

    /* result: a number is no plain integer of at most 18 digits */
    unsigned                         numbers:1;

    /* of a failure: there is no room for more tokens */
    unsigned                         full:1;

    /* of a failure: it is half a surrogate pair; it is in a member's name */
    unsigned                         half:1;
    unsigned                         name:1;

    /* one bit for each depth: an object is open there, not an array */
    u_char                           objects[NGX_HTTP_CHATMAID_JSON_MAX_DEPTH
                                             / 8];
} ngx_http_chatmaid_json_parser_t;


/* Parses the text from parser->first to parser->last.  The caller has zeroed
 * all but these, "tokens", "max" and the two options.  NGX_OK, or
 * NGX_DECLINED. */
ngx_int_t ngx_http_chatmaid_json_parser_run(
    ngx_http_chatmaid_json_parser_t *parser);

/* The 16 bits of an escape \uXXXX at p, or NGX_ERROR if there is none. */
ngx_int_t ngx_http_chatmaid_json_parser_unit(u_char *p, u_char *last);


#endif /* _NGX_HTTP_CHATMAID_JSON_PARSER_H_INCLUDED_ */
