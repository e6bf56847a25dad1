
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Writes a value of a tree as text, which is passed on or compared.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_WRITE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_WRITE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_chatmaid_json_tree.h"


/*
 * Writes a value to the tree's pool, as *text: without white space, the members
 * in the order of the tree, with no escapes but those that JSON needs, and with
 * numbers as they were written.
 *
 * If "canonical" is 1, each number is written in a form that depends only on
 * its value.  After parse(), two values are equal if and only if their
 * canonical texts are.
 *
 * NGX_OK; NGX_ABORT: the canonical text would be longer than twice the tree's
 * text plus 64 KiB; NGX_ERROR: no memory.
 */

ngx_int_t ngx_http_chatmaid_json_write(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_uint_t canonical, ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_JSON_WRITE_H_INCLUDED_ */
