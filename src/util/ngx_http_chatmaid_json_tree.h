
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Received JSON that is read, compared, or changed before it is passed on.  A
 * tree is the text and its tokens, which take at most 6 times the memory of the
 * text.  After parse(), members are in the order of their names, and no name
 * occurs twice in one object.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_TREE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_TREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_chatmaid_json_parser.h"


/* The number of spare tokens: each member that is added or wrapped needs
 * two. */
#define NGX_HTTP_CHATMAID_JSON_TREE_SPARE  8

/* This many tokens, including the spare ones, need no memory from the pool. */
#define NGX_HTTP_CHATMAID_JSON_TREE_FEW    64


/* Values and names are given by the numbers of their tokens.  The root is token
 * 0; because it is no child of any other token, 0 also means "none". */

typedef struct {
    ngx_pool_t                      *pool;
    ngx_str_t                        text;
    size_t                           room;     /* free bytes after the text */

    ngx_http_chatmaid_json_token_t  *tokens;
    uint32_t                         ntokens;
    uint32_t                         max;      /* size of "tokens" */
    uint32_t                         repeated; /* a name that occurs twice */

    /* members are in the order of their names, and each name occurs once */
    unsigned                         sorted:1;

    /* the text is a copy in the pool, made before its first change */
    unsigned                         copied:1;

    /* some number is not a plain integer of at most 18 digits: only then the
     * canonical text (see json_write.h) differs from the other one */
    unsigned                         numbers:1;

    /* "tokens" points here unless there are more: a tree must not be copied */
    ngx_http_chatmaid_json_token_t   few[NGX_HTTP_CHATMAID_JSON_TREE_FEW];
} ngx_http_chatmaid_json_tree_t;


/* Parses one JSON text, which must last as long as the tree.  If "unicode" is
 * 1, \u0000 and half a surrogate pair are refused.  NGX_OK: the caller may free
 * the tree by tree_free(), else the pool does.  NGX_DECLINED: the text was
 * refused, and *reason says why (see json_fault.h).  NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_json_tree_parse(ngx_pool_t *pool,
    ngx_str_t *text, ngx_uint_t unicode, ngx_http_chatmaid_json_tree_t *tree,
    ngx_str_t *reason);

/* The same for a text that is only read, as leniently as in JavaScript: a
 * string may contain any bytes, names may be repeated, and members keep their
 * order.  tree->text becomes the text without a byte order mark and without
 * white space around it.  NGX_OK; NGX_DECLINED: it is not JSON; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_read(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_json_tree_t *tree);

/* Sets *bytes to the text of a member's value.  Only after read(); if the value
 * is an object or array, its object must be the root. */
void ngx_http_chatmaid_json_tree_bytes(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_str_t *bytes);

/* Frees the tokens, and the text if it was copied: strings that point into that
 * text are then invalid.  The tree must not be used after this. */
void ngx_http_chatmaid_json_tree_free(ngx_http_chatmaid_json_tree_t *tree);

/* Returns the type of a value as its first byte: '{', '[', '"', 't', 'f' or
 * 'n', or '0' for all numbers. */
u_char ngx_http_chatmaid_json_tree_type(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value);

/* Returns the value of a member, the last one with this name.  0: there is
 * none, or "object" is not an object. */
uint32_t ngx_http_chatmaid_json_tree_member(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, const char *name);

/* Return the first element of an array, or the first name of an object, and the
 * next one; 0: there is none.  The value of a name is the token after it. */
uint32_t ngx_http_chatmaid_json_tree_first(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t value);
uint32_t ngx_http_chatmaid_json_tree_next(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t child);

/* Decodes a string to one of the forms of json_text.h; the result is in the
 * pool or in the tree's text.  NGX_OK; NGX_DECLINED: the value is not a string;
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_string(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t value, ngx_uint_t form,
    ngx_str_t *string);

/*
 * Changes to an object, only after parse().  At most four members can be added
 * or wrapped.  New names must need no escape, and must not be in the object
 * yet.
 */

/* Removes a member; does nothing if there is none. */
void ngx_http_chatmaid_json_tree_remove(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name);

/* Renames a member.  NGX_OK, also if there is no such member; NGX_ERROR: no
 * memory, and the member is lost. */
ngx_int_t ngx_http_chatmaid_json_tree_rename(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, const char *from,
    const char *to);

/* Adds a member whose value is a string, which is escaped.  NGX_OK;
 * NGX_DECLINED: the string is not UTF-8; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_tree_add(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name, ngx_str_t *string);

/* Replaces the value of a member by an array that contains only that value.
 * NGX_OK; NGX_ERROR: there is no such member, or no memory. */
ngx_int_t ngx_http_chatmaid_json_tree_wrap(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name);


#endif /* _NGX_HTTP_CHATMAID_JSON_TREE_H_INCLUDED_ */
