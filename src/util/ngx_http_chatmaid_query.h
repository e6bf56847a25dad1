
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The arguments of a query, still percent-encoded.
 */


#ifndef _NGX_HTTP_CHATMAID_QUERY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_QUERY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Decodes one character, "%41" or "A", of a query or a path.  Returns where the
 * next one begins. */
u_char *ngx_http_chatmaid_query_decode(u_char *p, u_char *last, u_char *ch);

/* Cuts the first argument off "args".  0: there is none. */
ngx_uint_t ngx_http_chatmaid_query_next(ngx_str_t *args, ngx_str_t *name,
    ngx_str_t *value);

/* Whether "value", decoded, equals "text". */
ngx_uint_t ngx_http_chatmaid_query_is(ngx_str_t *value, ngx_str_t *text);

/* Whether "value", decoded, contains this character. */
ngx_uint_t ngx_http_chatmaid_query_holds(ngx_str_t *value, u_char wanted);

/* Appends an argument and encodes its text.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_query_add(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *name, ngx_str_t *text);

/* Renames the arguments "from" to "to"; all other bytes stay.  NGX_OK,
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_query_rename(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *from, ngx_str_t *to);


#endif /* _NGX_HTTP_CHATMAID_QUERY_H_INCLUDED_ */
