
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Received JSON as ranges of bytes.  JSON that the module only passes on, or of
 * which it reads a member or two, is never rewritten: numbers of any size,
 * escapes that are half a surrogate pair and repeated members stay as they are.
 */


#ifndef _NGX_HTTP_CHATMAID_JSON_TEXT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_JSON_TEXT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Forms of a decoded string: what becomes of characters that UTF-8, or a line
 * of text, can't hold. */

#define NGX_HTTP_CHATMAID_JSON_UTF8       0  /* half a surrogate pair: U+FFFD */
#define NGX_HTTP_CHATMAID_JSON_PRINTABLE  1  /* half a surrogate pair or a
                                                control character: "\uXXXX" */


/* Removes a byte order mark before a text, and white space around it, by moving
 * the ends of *text.  text->data must not be NULL. */
void ngx_http_chatmaid_json_text_trim(ngx_str_t *text);

/* The same, and checks the text.  NGX_OK, or NGX_DECLINED: it is not JSON. */
ngx_int_t ngx_http_chatmaid_json_text_check(ngx_str_t *text);


/* The functions below take a text that has been checked, or a value in it.
 * What they give back points into that text, unless they have a pool. */

/* Finds a member of an object.  Of a repeated name the last value counts, as in
 * JavaScript.  Returns 1 and sets *value; 0: there is no such member, or
 * "object" is not an object. */
ngx_uint_t ngx_http_chatmaid_json_text_member(ngx_str_t *object,
    const char *name, ngx_str_t *value);

/* Takes the next element from "rest", which the caller first sets to the whole
 * array.  Returns 1 and sets *element; 0: there are no more elements, or the
 * value is not an array. */
ngx_uint_t ngx_http_chatmaid_json_text_next(ngx_str_t *rest,
    ngx_str_t *element);

/* Writes to the pool, as *text, a copy of an object with another member.  The
 * members are in the order of their names, and the new one is put in its place;
 * "name" must need no escape.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_text_insert(ngx_pool_t *pool,
    ngx_str_t *object, const char *name, ngx_str_t *value, ngx_str_t *text);

/* Decodes a string to one of the forms above.  The result is in the pool, or
 * still in the text if nothing has to be decoded.  NGX_OK; NGX_DECLINED: the
 * value is not a string; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_json_text_string(ngx_pool_t *pool,
    ngx_str_t *value, ngx_uint_t form, ngx_str_t *string);

/* Compares the contents of two strings (the bytes between their quotes) by
 * their decoded bytes.  Returns less than 0, 0, or more than 0. */
ngx_int_t ngx_http_chatmaid_json_text_compare(ngx_str_t *one, ngx_str_t *two);

/* Whether the content of a string, decoded, equals "name", which must need no
 * escape. */
ngx_uint_t ngx_http_chatmaid_json_text_is(ngx_str_t *string, ngx_str_t *name);

/* Decodes one escape, or the two escapes of a surrogate pair, and moves *pos
 * behind it.  Returns the character; for half a surrogate pair its 16 bits. */
uint32_t ngx_http_chatmaid_json_text_unescape(u_char **pos, u_char *last);

/* Writes a character as UTF-8, at most four bytes; half a surrogate pair
 * becomes three bytes too.  Returns the end of what it has written. */
u_char *ngx_http_chatmaid_json_text_utf8(u_char *out, uint32_t ch);


#endif /* _NGX_HTTP_CHATMAID_JSON_TEXT_H_INCLUDED_ */
