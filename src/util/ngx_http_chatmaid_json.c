
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json.h"


static void ngx_http_chatmaid_json_cleanup(void *data);


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
ngx_http_chatmaid_json_dump(ngx_pool_t *pool, const json_t *json,
    ngx_str_t *text)
{
    size_t  size;

    /* most texts are short: a second pass, with the size that the first one has
     * returned, is rarely needed */

    for (size = 1024; /* void */; size = text->len) {

        text->data = ngx_pnalloc(pool, size);
        if (text->data == NULL) {
            return NGX_ERROR;
        }

        text->len = json_dumpb(json, (char *) text->data, size,
                               JSON_COMPACT);

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
