
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The arguments of a query, still percent-encoded.
 */


#ifndef _NGX_HTTP_CHATMAID_QUERY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_QUERY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Decodes one byte of a query or a path, "%41" or "A", to *ch.  Returns the
 * position after it.  A "%" without two hexadecimal digits stands for
 * itself. */
u_char *ngx_http_chatmaid_query_decode(u_char *p, u_char *last, u_char *ch);

/* Takes the first argument from "args"; its name and value point into "args",
 * and are still encoded.  Returns 1; 0: there is none. */
ngx_uint_t ngx_http_chatmaid_query_next(ngx_str_t *args, ngx_str_t *name,
    ngx_str_t *value);

/* Whether "value", decoded, equals "text". */
ngx_uint_t ngx_http_chatmaid_query_is(ngx_str_t *value, ngx_str_t *text);

/* Whether "value", decoded, contains this character. */
ngx_uint_t ngx_http_chatmaid_query_holds(ngx_str_t *value, u_char wanted);

/* Appends an argument to "args", which becomes a copy in the pool; "text" is
 * encoded, "name" is not.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_query_add(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *name, ngx_str_t *text);

/* Renames each argument "from" to "to"; all other bytes stay as they are.
 * "args" becomes a copy in the pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_query_rename(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *from, ngx_str_t *to);


#endif /* _NGX_HTTP_CHATMAID_QUERY_H_INCLUDED_ */
