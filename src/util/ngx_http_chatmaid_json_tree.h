
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * JSON of others that is read, compared, or changed before it goes on.  A tree
 * is the text and its tokens, at most 6 times the text.  After parse() members
 * are in the order of their names, and no name is there twice in one object.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_TREE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_TREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_chatmaid_json_parser.h"


/* Tokens for what is added, two each time. */
#define NGX_HTTP_CHATMAID_JSON_TREE_SPARE  8

/* So many tokens, the spare ones too, need no memory of the pool. */
#define NGX_HTTP_CHATMAID_JSON_TREE_FEW    64


/* Values and names are tokens.  The root is token 0, which is no child of any:
 * 0 also says that there is none. */

typedef struct {
    ngx_pool_t                      *pool;
    ngx_str_t                        text;
    size_t                           room;     /* after the text */

    ngx_http_chatmaid_json_token_t  *tokens;
    uint32_t                         ntokens;
    uint32_t                         max;
    uint32_t                         repeated; /* a name that is there twice */

    /* members are in the order of their names, which are there once */
    unsigned                         sorted:1;

    /* the text is a copy, which changes need */
    unsigned                         copied:1;

    /* a number is no plain integer of at most 18 digits: only then the
     * canonical text differs from the other one */
    unsigned                         numbers:1;

    /* "tokens", unless there are more: so a tree is not to be copied */
    ngx_http_chatmaid_json_token_t   few[NGX_HTTP_CHATMAID_JSON_TREE_FEW];
} ngx_http_chatmaid_json_tree_t;


/* Parses one JSON text, which must live as long as the tree.  With "unicode"
 * \u0000 and half a surrogate pair are refused.  NGX_OK; NGX_DECLINED and
 * "reason" (see json_fault.h); NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_parse(ngx_pool_t *pool,
    ngx_str_t *text, ngx_uint_t unicode, ngx_http_chatmaid_json_tree_t *tree,
    ngx_str_t *reason);

/* The same for a text that is only read, as leniently as JavaScript does: any
 * bytes make up a string, and members keep their order.  tree->text is the text
 * without a byte order mark and white space around it.  NGX_OK; NGX_DECLINED:
 * it is not JSON; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_read(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_json_tree_t *tree);

/* The bytes, after read(), of the value of a member: of the root, if it is an
 * object or array. */
void ngx_http_chatmaid_json_tree_bytes(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_str_t *bytes);

/* Frees the tree, strings of it too. */
void ngx_http_chatmaid_json_tree_free(ngx_http_chatmaid_json_tree_t *tree);

/* The first byte of a value: '{', '[', '"', 't', 'f' or 'n'; '0' stands for all
 * numbers. */
u_char ngx_http_chatmaid_json_tree_type(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value);

/* The value of a member, the last one of this name, or 0: there is none, or
 * "object" is no object. */
uint32_t ngx_http_chatmaid_json_tree_member(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, const char *name);

/* The first element of an array or name of an object, and the one that follows
 * it; 0: there is none. */
uint32_t ngx_http_chatmaid_json_tree_first(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t value);
uint32_t ngx_http_chatmaid_json_tree_next(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t child);

/* A string as text (see json_text.h).  NGX_OK; NGX_DECLINED: the value is no
 * string; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_string(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t value, ngx_uint_t form,
    ngx_str_t *string);

/*
 * Changes of an object; at most four members can be added or wrapped.  The new
 * names need no escape, and the object does not have them yet.
 */

void ngx_http_chatmaid_json_tree_remove(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name);

/* NGX_OK, NGX_ERROR; a member that is not there stays so. */
ngx_int_t ngx_http_chatmaid_json_tree_rename(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, const char *from,
    const char *to);

/* Adds a string.  NGX_OK; NGX_DECLINED: it is not UTF-8; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_add(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name, ngx_str_t *string);

/* Puts the value of a member into an array.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_wrap(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name);


#endif /* _NGX_HTTP_CHATMAID_JSON_TREE_H_INCLUDED_ */
