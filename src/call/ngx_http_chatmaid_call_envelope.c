
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_envelope.h"
#include "ngx_http_chatmaid_json_tree.h"


static void ngx_http_chatmaid_call_envelope_members(
    ngx_http_chatmaid_json_tree_t *tree,
    ngx_http_chatmaid_call_envelope_t *envelope);


ngx_int_t
ngx_http_chatmaid_call_envelope_read(ngx_pool_t *pool, ngx_str_t *answer,
    ngx_http_chatmaid_call_envelope_t *envelope)
{
    ngx_int_t                      rc;
    ngx_http_chatmaid_json_tree_t  tree;

    ngx_memzero(envelope, sizeof(ngx_http_chatmaid_call_envelope_t));

    rc = ngx_http_chatmaid_json_tree_read(pool, answer, &tree);

    if (rc != NGX_OK) {
        return rc;
    }

    envelope->text = tree.text;

    ngx_http_chatmaid_call_envelope_members(&tree, envelope);

    ngx_http_chatmaid_json_tree_free(&tree);

    return NGX_OK;
}


static void
ngx_http_chatmaid_call_envelope_members(ngx_http_chatmaid_json_tree_t *tree,
    ngx_http_chatmaid_call_envelope_t *envelope)
{
    uint32_t  data, value;

    value = ngx_http_chatmaid_json_tree_member(tree, 0, "success");

    envelope->failed = (value && ngx_http_chatmaid_json_tree_type(tree, value)
                                 == 'f');

    data = ngx_http_chatmaid_json_tree_member(tree, 0, "data");

    if (data == 0) {
        return;
    }

    ngx_http_chatmaid_json_tree_bytes(tree, data, &envelope->data);

    value = ngx_http_chatmaid_json_tree_member(tree, 0, "pagination");

    if (value) {
        ngx_http_chatmaid_json_tree_bytes(tree, value, &envelope->pagination);
    }

    value = ngx_http_chatmaid_json_tree_member(tree, data, "id");

    if (value && ngx_http_chatmaid_json_tree_type(tree, value) == '"') {
        ngx_http_chatmaid_json_tree_bytes(tree, value, &envelope->id);
        envelope->id.data++;
        envelope->id.len -= 2;
    }
}
