
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_body.h"


static size_t ngx_http_chatmaid_json_read(void *buffer, size_t len,
    void *data);
static void ngx_http_chatmaid_json_cleanup(void *data);


ngx_int_t
ngx_http_chatmaid_json_body(ngx_http_request_t *r, json_t **json,
    ngx_str_t *reason)
{
    json_error_t              error;
    ngx_http_chatmaid_body_t  reader;

    ngx_http_chatmaid_body_init(&reader, r);

    *json = json_load_callback(ngx_http_chatmaid_json_read, &reader,
                               JSON_REJECT_DUPLICATES|JSON_DECODE_ANY, &error);

    if (reader.failed) {
        json_decref(*json);
        return NGX_ERROR;
    }

    if (*json) {
        *json = ngx_http_chatmaid_json_keep(r->pool, *json);
        return *json ? NGX_OK : NGX_ERROR;
    }

    if (json_error_code(&error) == json_error_out_of_memory
        || json_error_code(&error) == json_error_unknown)
    {
        return NGX_ERROR;       /* unknown: memory too, jansson 2.14 says */
    }

    reason->data = ngx_pnalloc(r->pool, 256);
    if (reason->data == NULL) {
        return NGX_ERROR;
    }

    reason->len = ngx_snprintf(reason->data, 256,
                               "%s, at line %d, column %d of the body",
                               ngx_http_chatmaid_json_reason(&error),
                               error.line, error.column)
                  - reason->data;

    return NGX_DECLINED;
}


/* json_load_callback_t.  jansson overlooks a NUL that follows a word; any other
 * control character is refused wherever it is. */

static size_t
ngx_http_chatmaid_json_read(void *buffer, size_t len, void *data)
{
    u_char   *p = buffer;

    ssize_t   i, n;

    n = ngx_http_chatmaid_body_read(data, buffer, len);

    for (i = 0; i < n; i++) {
        if (p[i] == '\0') {
            p[i] = 1;
        }
    }

    return (size_t) n;
}


/* jansson's own texts quote the input. */

const char *
ngx_http_chatmaid_json_reason(json_error_t *error)
{
    switch (json_error_code(error)) {

    case json_error_duplicate_key:
        return "a member name stands twice in one object";

    case json_error_end_of_input_expected:
        return "something follows the JSON text";

    case json_error_premature_end_of_input:
        return "the JSON text ends too early";

    case json_error_invalid_utf8:
        return "not UTF-8";

    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a string holds \\u0000";

    case json_error_numeric_overflow:
        return "a number is too large";

    case json_error_stack_overflow:
        return "nested too deeply";

    default:
        return "not JSON";
    }
}


json_t *
ngx_http_chatmaid_json_keep(ngx_pool_t *pool, json_t *json)
{
    ngx_pool_cleanup_t  *cln;

    if (json == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);

    if (cln == NULL) {
        json_decref(json);
        return NULL;
    }

    cln->handler = ngx_http_chatmaid_json_cleanup;
    cln->data = json;

    return json;
}


static void
ngx_http_chatmaid_json_cleanup(void *data)
{
    json_decref(data);
}


ngx_int_t
ngx_http_chatmaid_json_dump(ngx_pool_t *pool, const json_t *json, size_t flags,
    ngx_str_t *text)
{
    size_t  size;

    flags |= JSON_COMPACT|JSON_ENCODE_ANY;

    /* most are short: a second pass, for the size alone, is rarely needed */

    for (size = 1024; /* void */; size = text->len) {

        text->data = ngx_pnalloc(pool, size);
        if (text->data == NULL) {
            return NGX_ERROR;
        }

        text->len = json_dumpb(json, (char *) text->data, size, flags);

        if (text->len == 0) {
            return NGX_ERROR;
        }

        if (text->len <= size) {
            return NGX_OK;
        }
    }
}


json_t *
ngx_http_chatmaid_json_string(ngx_str_t *text)
{
    size_t   i;
    char    *ascii;
    json_t  *json;

    json = json_stringn((char *) text->data, text->len);

    if (json) {
        return json;
    }

    ascii = ngx_alloc(text->len + 1, ngx_cycle->log);
    if (ascii == NULL) {
        return NULL;
    }

    for (i = 0; i < text->len; i++) {
        ascii[i] = (text->data[i] < 0x80) ? text->data[i] : '?';
    }

    json = json_stringn(ascii, text->len);

    ngx_free(ascii);

    return json;
}
