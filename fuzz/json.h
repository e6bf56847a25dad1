
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * JSON for the oracles: a reader, a writer of the same value in another
 * spelling, and one that changes a value.  It shares nothing with the module's
 * code, and makes no effort to be fast.
 */


#ifndef _JSON_H_INCLUDED_
#define _JSON_H_INCLUDED_


#include "harness.h"


typedef struct json_value_s  json_value_t;

struct json_value_s {
    u_char         type;       /* '{' '[' '"' '0' 't' 'f' 'n' */
    json_value_t  *name;       /* of a member: a string */
    json_value_t  *first;      /* child of an array or object */
    json_value_t  *next;       /* sibling */
    ngx_str_t      text;       /* of a number */
    uint32_t      *chars;      /* of a string: half a surrogate pair is one */
    ngx_uint_t     n;
};


/* NULL: it is not JSON, or deeper than this reader goes. */
json_value_t *json_parse(ngx_pool_t *pool, ngx_str_t *text);

/* The last member of this name, or NULL. */
json_value_t *json_find(json_value_t *object, const char *name);

/* Whether an object in it has two members of one name. */
ngx_uint_t json_repeats(json_value_t *value);

/* Whether a string or name in it has NUL, or half a surrogate pair. */
ngx_uint_t json_odd(json_value_t *value);

/* Writes the value with other white space, escapes, order of members and forms
 * of numbers, as the bytes of "choice" say. */
ngx_str_t json_spell(ngx_pool_t *pool, json_value_t *value,
    harness_input_t *choice);

/* Changes one value within this one, be it the order of two elements; 0 if
 * there is nothing to change. */
ngx_uint_t json_change(ngx_pool_t *pool, json_value_t *value,
    harness_input_t *choice);

/* Whether both are the same value; members in any order. */
ngx_uint_t json_same(json_value_t *one, json_value_t *two);


#endif /* _JSON_H_INCLUDED_ */
