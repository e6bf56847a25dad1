
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Fast decimal and hexadecimal digits, for what each request writes:
 * ngx_sprintf() and ngx_hex_dump() take several times as long.
 */


#ifndef _NGX_HTTP_CHATMAID_DIGITS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_DIGITS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* These two functions return the end of what they have written. */

/* Writes a number in decimal, at most NGX_INT64_LEN bytes. */
u_char *ngx_http_chatmaid_digits_decimal(u_char *p, uint64_t number);

/* Writes len bytes as 2 * len hexadecimal digits, in lower case. */
u_char *ngx_http_chatmaid_digits_hex(u_char *p, const u_char *data,
    size_t len);


/* Reads 2 * len hexadecimal digits of either case as len bytes of "data".
 * NGX_OK; NGX_ERROR: a character is not a hexadecimal digit. */
ngx_int_t ngx_http_chatmaid_digits_from_hex(u_char *data, const u_char *p,
    size_t len);


#endif /* _NGX_HTTP_CHATMAID_DIGITS_H_INCLUDED_ */
