
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * For tests: a location with "json_probe;" takes texts, each a netstring, and
 * answers ten netstrings for each:
 *
 *   text      "ok": json_text_check() takes it
 *   tree      "ok", or why json_tree_parse() refuses it
 *   unicode   the same, with "unicode"
 *   jansson   "ok", or the number of jansson's error
 *   same      "same": jansson reads what was written as it reads the text
 *   written   json_write() of it
 *   canonical the same, canonical
 *   data      the range of the member "data"
 *   string    that as a string, printable
 *   edited    the object after the changes that a message gets
 *
 * A failure is "error", and what can't be had is empty.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include "ngx_http_chatmaid_body.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_json_tree.h"
#include "ngx_http_chatmaid_json_write.h"


#define PROBE_FIELDS  10


static char *probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t probe_handler(ngx_http_request_t *r);
static void probe_body(ngx_http_request_t *r);
static void probe_text(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *fields);
static void probe_ranges(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *fields);
static void probe_tree(ngx_pool_t *pool, ngx_str_t *text, ngx_uint_t unicode,
    ngx_str_t *fields);
static void probe_edit(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *edited);
static void probe_jansson(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *fields);
static ngx_chain_t *probe_answer(ngx_pool_t *pool, ngx_str_t *fields,
    ngx_chain_t *cl, size_t *size);


static ngx_command_t  probe_commands[] = {

    { ngx_string("json_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      probe_directive,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_chatmaid_json_probe_module = {
    NGX_MODULE_V1,
    &probe_module_ctx,                     /* module context */
    probe_commands,                        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static char *
probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = probe_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
probe_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r, probe_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
probe_body(ngx_http_request_t *r)
{
    size_t        size;
    u_char       *p, *last;
    ngx_str_t     body, text, copy, fields[PROBE_FIELDS];
    ngx_chain_t  *out, *cl;

    if (ngx_http_chatmaid_body_all(r, &body) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    p = body.data;
    last = p + body.len;

    out = ngx_alloc_chain_link(r->pool);
    out->buf = ngx_calloc_buf(r->pool);
    out->buf->sync = 1;
    cl = out;
    size = 0;

    while (p < last) {

        text.len = 0;

        while (*p != ':') {
            text.len = text.len * 10 + (*p++ - '0');
        }

        text.data = ++p;
        p += text.len + 1;

        /* where a sanitizer sees it, if somebody reads beyond its end */

        copy.len = text.len;
        copy.data = ngx_alloc(text.len + (text.len == 0), ngx_cycle->log);
        ngx_memcpy(copy.data, text.data, text.len);

        ngx_memzero(fields, sizeof(fields));
        probe_text(r->pool, &copy, fields);
        cl = probe_answer(r->pool, fields, cl, &size);

        ngx_free(copy.data);
    }

    cl->next = NULL;
    cl->buf->last_buf = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = size;

    ngx_http_send_header(r);
    ngx_http_finalize_request(r, ngx_http_output_filter(r, out));
}


static void
probe_text(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *fields)
{
    probe_tree(pool, text, 1, fields);
    probe_tree(pool, text, 0, fields);
    probe_jansson(pool, text, fields);
    probe_edit(pool, text, &fields[9]);
    probe_ranges(pool, text, fields);
}


static void
probe_tree(ngx_pool_t *pool, ngx_str_t *text, ngx_uint_t unicode,
    ngx_str_t *fields)
{
    ngx_int_t                      rc;
    ngx_http_chatmaid_json_tree_t  tree;

    rc = ngx_http_chatmaid_json_tree_parse(pool, text, unicode, &tree,
                                           &fields[1 + unicode]);

    if (rc == NGX_DECLINED) {
        return;
    }

    ngx_str_set(&fields[1 + unicode], "ok");

    if (rc != NGX_OK
        || ngx_http_chatmaid_json_write(&tree, 0, 0, &fields[5]) != NGX_OK)
    {
        ngx_str_set(&fields[1 + unicode], "error");
        return;
    }

    rc = ngx_http_chatmaid_json_write(&tree, 0, 1, &fields[6]);

    if (rc != NGX_OK) {
        ngx_str_set(&fields[6], "too long");
    }

    ngx_http_chatmaid_json_tree_free(&tree);
}


static void
probe_edit(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *edited)
{
    ngx_str_t                      reason, object, key;
    ngx_http_chatmaid_json_tree_t  tree;

    static ngx_str_t  sender = ngx_string("\"+1\\\n");

    if (ngx_http_chatmaid_json_tree_parse(pool, text, 0, &tree, &reason)
        != NGX_OK
        || ngx_http_chatmaid_json_tree_member(&tree, 0, "edit") == 0)
    {
        return;
    }

    ngx_http_chatmaid_json_tree_remove(&tree, 0, "edit");

    if (ngx_http_chatmaid_json_tree_rename(&tree, 0, "text", "content")
        != NGX_OK
        || ngx_http_chatmaid_json_tree_rename(&tree, 0, "media", "mediaUrls")
           != NGX_OK
        || (ngx_http_chatmaid_json_tree_member(&tree, 0, "mediaUrls")
            && ngx_http_chatmaid_json_tree_wrap(&tree, 0, "mediaUrls")
               != NGX_OK)
        || ngx_http_chatmaid_json_tree_add(&tree, 0, "fromPhoneId", &sender)
           != NGX_OK
        || ngx_http_chatmaid_json_write(&tree, 0, 0, &object) != NGX_OK)
    {
        ngx_str_set(edited, "error");
        return;
    }

    ngx_str_set(&key, "\"KEY\"");

    if (ngx_http_chatmaid_json_text_insert(pool, &object, "idempotencyKey",
                                           &key, edited)
        != NGX_OK)
    {
        ngx_str_set(edited, "error");
    }

    ngx_http_chatmaid_json_tree_free(&tree);
}


static void
probe_ranges(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *fields)
{
    ngx_str_t  json, rest, element;

    json = *text;

    if (ngx_http_chatmaid_json_text_check(&json) != NGX_OK) {
        return;
    }

    ngx_str_set(&fields[0], "ok");

    rest = json;

    while (ngx_http_chatmaid_json_text_next(&rest, &element)) {
        json = element;         /* of an array, the last one */
    }

    if (!ngx_http_chatmaid_json_text_member(&json, "data", &element)) {
        return;
    }

    fields[7].len = element.len;
    fields[7].data = ngx_pstrdup(pool, &element);

    if (ngx_http_chatmaid_json_text_string(pool, &fields[7],
                                           NGX_HTTP_CHATMAID_JSON_PRINTABLE,
                                           &fields[8])
        == NGX_ERROR)
    {
        ngx_str_set(&fields[8], "error");
    }
}


static void
probe_jansson(ngx_pool_t *pool, ngx_str_t *text, ngx_str_t *fields)
{
    size_t         flags;
    json_t        *json, *again;
    json_error_t   error;

    flags = JSON_DECODE_ANY|JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL;

    json = json_loadb((char *) text->data, text->len, flags, &error);

    if (json == NULL) {
        fields[3].data = ngx_pnalloc(pool, NGX_INT64_LEN);
        fields[3].len = ngx_sprintf(fields[3].data, "%d",
                                    json_error_code(&error))
                        - fields[3].data;
        return;
    }

    ngx_str_set(&fields[3], "ok");

    again = json_loadb((char *) fields[5].data, fields[5].len, flags, &error);

    if (again && json_equal(json, again)) {
        ngx_str_set(&fields[4], "same");
    }

    json_decref(json);
    json_decref(again);
}


static ngx_chain_t *
probe_answer(ngx_pool_t *pool, ngx_str_t *fields, ngx_chain_t *cl,
    size_t *size)
{
    size_t      len;
    ngx_uint_t  i;

    for (i = 0, len = 0; i < PROBE_FIELDS; i++) {
        len += fields[i].len + NGX_INT64_LEN + 2;
    }

    cl->next = ngx_alloc_chain_link(pool);
    cl = cl->next;
    cl->buf = ngx_create_temp_buf(pool, len);

    for (i = 0; i < PROBE_FIELDS; i++) {
        cl->buf->last = ngx_sprintf(cl->buf->last, "%uz:%V,", fields[i].len,
                                    &fields[i]);
    }

    *size += cl->buf->last - cl->buf->pos;

    return cl;
}
