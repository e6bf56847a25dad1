
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The reader that cuts "data" out of an answer, which is the whole input,
 * beside jansson: what both read is the same, and what jansson reads we do.
 */


#include "harness.h"
#include "ngx_http_chatmaid_call_envelope.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_json_tree.h"
#include "ngx_http_chatmaid_redact.h"
#include <jansson.h>


#define ENVELOPE_FLAGS  (JSON_DECODE_ANY|JSON_ALLOW_NUL)


static void envelope_check(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_call_envelope_t *envelope, json_t *root);
static void envelope_check_member(ngx_pool_t *pool, ngx_str_t *bytes,
    json_t *value);
static void envelope_check_lenient(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_call_envelope_t *envelope);
static void envelope_check_elements(ngx_pool_t *pool, ngx_str_t *text);
static void envelope_check_redact(ngx_pool_t *pool, ngx_str_t *text);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t                             *root;
    ngx_int_t                           rc;
    ngx_str_t                           answer, text;
    ngx_pool_t                         *pool;
    json_error_t                        error;
    harness_input_t                     in;
    ngx_http_chatmaid_call_envelope_t   envelope;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    harness_check(pool != NULL);

    harness_input(&in, pool, data, size);
    answer = harness_rest(&in);
    text = answer;

    rc = ngx_http_chatmaid_call_envelope_read(pool, &answer, &envelope);

    harness_check(rc == NGX_OK || rc == NGX_DECLINED);

    /* the check alone finds the same, within the same bounds */

    harness_check(ngx_http_chatmaid_json_text_check(&text) == rc);

    if (rc == NGX_OK) {
        harness_check(harness_equal(&text, &envelope.text));
        envelope_check_lenient(pool, &text, &envelope);
    }

    /* jansson takes a NUL for the end */

    root = memchr(answer.data, 0, size)
           ? NULL : json_loadb((char *) data, size, ENVELOPE_FLAGS, &error);

    if (root) {
        harness_check(rc == NGX_OK);
        envelope_check(pool, &text, &envelope, root);
        json_decref(root);
    }

    envelope_check_redact(pool, &answer);

    ngx_destroy_pool(pool);

    return 0;
}


static void
envelope_check(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_call_envelope_t *envelope, json_t *root)
{
    json_t     *data, *id;
    ngx_str_t   quoted, string;

    data = json_object_get(root, "data");
    id = json_object_get(data, "id");

    harness_check(envelope->failed
                  == json_is_false(json_object_get(root, "success")));

    envelope_check_member(pool, &envelope->data, data);

    if (data) {
        envelope_check_member(pool, &envelope->pagination,
                              json_object_get(root, "pagination"));
    }

    harness_check((envelope->id.data != NULL) == (id && json_is_string(id)));

    if (envelope->id.data) {
        quoted.data = envelope->id.data - 1;
        quoted.len = envelope->id.len + 2;

        harness_check(ngx_http_chatmaid_json_text_string(pool, &quoted,
                                                    NGX_HTTP_CHATMAID_JSON_UTF8,
                                                    &string)
                      == NGX_OK);
        harness_check(string.len == json_string_length(id)
                      && ngx_memcmp(string.data, json_string_value(id),
                                    string.len)
                         == 0);
    }
}


static void
envelope_check_member(ngx_pool_t *pool, ngx_str_t *bytes, json_t *value)
{
    json_t        *read;
    json_error_t   error;

    harness_check((bytes->len != 0) == (value != NULL));

    if (value) {
        read = json_loadb((char *) bytes->data, bytes->len, ENVELOPE_FLAGS,
                          &error);
        harness_check(read != NULL);
        harness_check(json_equal(read, value));
        json_decref(read);
    }
}


/* The functions that look a member up in the text say the same as the tree. */

static void
envelope_check_lenient(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_call_envelope_t *envelope)
{
    ngx_int_t                      rc;
    uint32_t                       child;
    ngx_str_t                      data, one, two, written;
    ngx_http_chatmaid_json_tree_t  tree;

    if (ngx_http_chatmaid_json_text_member(text, "data", &data)) {
        harness_check(harness_equal(&data, &envelope->data));
        harness_check(ngx_http_chatmaid_json_text_insert(pool, text, "zzz",
                                                         &data, &written)
                      == NGX_OK);
        harness_check(ngx_http_chatmaid_json_text_check(&written) == NGX_OK);
        envelope_check_elements(pool, &data);

    } else {
        harness_check(envelope->data.len == 0);
    }

    harness_check(ngx_http_chatmaid_json_tree_read(pool, text, &tree)
                  == NGX_OK);

    for (child = ngx_http_chatmaid_json_tree_first(&tree, 0);
         child;
         child = ngx_http_chatmaid_json_tree_next(&tree, child))
    {
        rc = ngx_http_chatmaid_json_tree_string(&tree, child,
                                                NGX_HTTP_CHATMAID_JSON_UTF8,
                                                &one);
        harness_check(rc == NGX_OK || rc == NGX_DECLINED);

        rc = ngx_http_chatmaid_json_tree_string(&tree, child,
                                             NGX_HTTP_CHATMAID_JSON_PRINTABLE,
                                             &two);

        if (rc == NGX_OK) {
            harness_check(two.len >= one.len);
        }
    }

    ngx_http_chatmaid_json_tree_free(&tree);
}


static void
envelope_check_elements(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_str_t  rest, element, last, string;

    ngx_str_null(&last);
    rest = *text;

    while (ngx_http_chatmaid_json_text_next(&rest, &element)) {

        harness_check(element.data >= text->data
                      && element.data + element.len
                         <= text->data + text->len);

        if (element.data[0] == '"' && last.len) {
            harness_check(ngx_http_chatmaid_json_text_compare(&element,
                                                              &element)
                          == 0);
            harness_check((ngx_http_chatmaid_json_text_compare(&element, &last)
                           > 0)
                          == (ngx_http_chatmaid_json_text_compare(&last,
                                                                  &element)
                              < 0));
        }

        if (element.data[0] == '"') {
            harness_check(ngx_http_chatmaid_json_text_string(pool, &element,
                                             NGX_HTTP_CHATMAID_JSON_PRINTABLE,
                                             &string)
                          == NGX_OK);

            element.data++;
            element.len -= 2;
            last = element;
        }
    }
}


/* A secret, of two bytes here, is in no answer. */

static void
envelope_check_redact(ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_int_t  rc;
    ngx_str_t  copy, secret = ngx_string("sk");

    copy = *text;
    rc = ngx_http_chatmaid_redact(pool, &secret, &copy);

    harness_check(rc == NGX_OK || rc == NGX_DECLINED);

    /* it may also be there in escapes, as in "\u0073k" */

    harness_check(rc == NGX_OK
                  || memmem(text->data, text->len, "sk", 2) == NULL);
    harness_check(rc == NGX_DECLINED || memmem(text->data, text->len, "sk", 2)
                  || memmem(text->data, text->len, "\\u00", 4));
    harness_check(copy.len < 2 || memmem(copy.data, copy.len, "sk", 2) == NULL);
}
