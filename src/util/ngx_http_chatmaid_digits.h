
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Digits for what each request writes: ngx_sprintf() and ngx_hex_dump() take
 * several times as long.
 */


#ifndef _NGX_HTTP_CHATMAID_DIGITS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_DIGITS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* These return the end of what they have written. */

/* At most NGX_INT64_LEN bytes. */
u_char *ngx_http_chatmaid_digits_decimal(u_char *p, uint64_t number);

/* 2 * len bytes, in lower case. */
u_char *ngx_http_chatmaid_digits_hex(u_char *p, const u_char *data,
    size_t len);


/* Reads 2 * len digits of either case.  NGX_ERROR: one is none. */
ngx_int_t ngx_http_chatmaid_digits_from_hex(u_char *data, const u_char *p,
    size_t len);


#endif /* _NGX_HTTP_CHATMAID_DIGITS_H_INCLUDED_ */
