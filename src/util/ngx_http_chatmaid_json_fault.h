
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Tells the author of a JSON text what is wrong with it.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_FAULT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_FAULT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_chatmaid_json_parser.h"


/* Writes to the pool, as "reason", what the parser refused and where: the line,
 * the column and, for half a surrogate pair, the JSON pointer, for which the
 * parser must have had tokens.  Of the text, "reason" contains only that escape
 * and names of members.  Returns NGX_DECLINED, or NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_json_fault(ngx_pool_t *pool,
    ngx_http_chatmaid_json_parser_t *parser, ngx_str_t *reason);


#endif /* _NGX_HTTP_CHATMAID_JSON_FAULT_H_INCLUDED_ */
