
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A value of a tree as text: to be passed on, or to be compared.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_WRITE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_WRITE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_chatmaid_json_tree.h"


/*
 * Writes a value to the pool: no white space, members in the order of their
 * names, no escapes but those that are needed, numbers in their own digits.
 *
 * "canonical" gives each number the one form of its value as well.  Two values
 * are equal exactly where these texts are.
 *
 * NGX_OK; NGX_ABORT: the canonical text would be longer than 64 KiB and twice
 * the tree's text; NGX_ERROR.
 */

ngx_int_t ngx_http_chatmaid_json_write(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_uint_t canonical, ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_JSON_WRITE_H_INCLUDED_ */
