
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * JSON of others as ranges of bytes.  What the module only passes on, or takes
 * a member or two from, is never rewritten: numbers of any size, escapes that
 * are half a surrogate pair and repeated members stay as they are.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_TEXT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* What a string becomes where UTF-8, or a line of text, can't hold it. */

#define NGX_HTTP_CHATMAID_JSON_UTF8       0  /* half a surrogate pair: U+FFFD */
#define NGX_HTTP_CHATMAID_JSON_PRINTABLE  1  /* it, and a control character:
                                                "\uXXXX" */


/* Cuts off the white space around a text and a byte order mark before it. */
void ngx_http_chatmaid_json_text_trim(ngx_str_t *text);

/* The same, and checks it.  NGX_OK, or NGX_DECLINED: it is not JSON. */
ngx_int_t ngx_http_chatmaid_json_text_check(ngx_str_t *text);


/* The functions below take a text that was checked, or a value of it. */

/* Finds a member of an object; a repeated name means its last value, as in
 * JavaScript.  0: there is none, or the value is no object. */
ngx_uint_t ngx_http_chatmaid_json_text_member(ngx_str_t *object,
    const char *name, ngx_str_t *value);

/* Takes an element of an array off "rest", which is the array at first.  0:
 * there are no more, or the value is no array. */
ngx_uint_t ngx_http_chatmaid_json_text_next(ngx_str_t *rest,
    ngx_str_t *element);

/* Writes an object, which has its members in the order of their names, with
 * another one in its place; the name needs no escape.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_text_insert(ngx_pool_t *pool,
    ngx_str_t *object, const char *name, ngx_str_t *value, ngx_str_t *text);

/* Decodes a string, as one of the forms above.  A string without escapes is not
 * copied.  NGX_OK; NGX_DECLINED: the value is no string; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_text_string(ngx_pool_t *pool,
    ngx_str_t *value, ngx_uint_t form, ngx_str_t *string);

/* Compares what two strings have between their quotes, by the decoded bytes:
 * less than 0, 0, or more. */
ngx_int_t ngx_http_chatmaid_json_text_compare(ngx_str_t *one, ngx_str_t *two);

/* Whether the name of a member, again what it has between its quotes, is this
 * one, which needs no escape. */
ngx_uint_t ngx_http_chatmaid_json_text_is(ngx_str_t *string, ngx_str_t *name);

/* Decodes one escape, or a surrogate pair of them, and moves *pos behind it.
 * Half a surrogate pair is its own number. */
uint32_t ngx_http_chatmaid_json_text_unescape(u_char **pos, u_char *last);

/* Writes a character as UTF-8; half a surrogate pair gets three bytes too. */
u_char *ngx_http_chatmaid_json_text_utf8(u_char *out, uint32_t ch);


#endif /* _NGX_HTTP_CHATMAID_JSON_TEXT_H_INCLUDED_ */
