
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_json_tree.h"
#include "ngx_http_chatmaid_json_write.h"


static ngx_int_t ngx_http_chatmaid_webhook_event_members(
    ngx_http_chatmaid_json_tree_t *tree,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *reason);
static ngx_int_t ngx_http_chatmaid_webhook_event_string(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t value, ngx_str_t *text);
static ngx_int_t ngx_http_chatmaid_webhook_event_identity(
    ngx_http_chatmaid_json_tree_t *tree,
    ngx_http_chatmaid_webhook_scope_t *scope,
    ngx_http_chatmaid_webhook_event_t *event);
static ngx_int_t ngx_http_chatmaid_webhook_event_canonical(
    ngx_http_chatmaid_json_tree_t *tree, const char *name, ngx_str_t *text);


ngx_int_t
ngx_http_chatmaid_webhook_event_read(ngx_pool_t *pool, ngx_str_t *body,
    ngx_http_chatmaid_webhook_scope_t *scope,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *reason)
{
    ngx_int_t                      rc;
    ngx_http_chatmaid_json_tree_t  tree;

    rc = ngx_http_chatmaid_json_tree_parse(pool, body, 0, &tree, reason);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_webhook_event_members(&tree, event, reason);

    event->identified = 0;

    if (rc == NGX_OK && scope) {
        rc = ngx_http_chatmaid_webhook_event_identity(&tree, scope, event);
        event->identified = (rc == NGX_OK);
    }

    ngx_http_chatmaid_json_tree_free(&tree);

    return rc;
}


/* Only the name is required: Chatmaid may change everything else that it
 * signs. */

static ngx_int_t
ngx_http_chatmaid_webhook_event_members(ngx_http_chatmaid_json_tree_t *tree,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *reason)
{
    uint32_t  data, name, timestamp, message_id, id;

    if (ngx_http_chatmaid_json_tree_type(tree, 0) != '{') {
        ngx_str_set(reason, "it is not an object");
        return NGX_ABORT;
    }

    name = ngx_http_chatmaid_json_tree_member(tree, 0, "event");
    timestamp = ngx_http_chatmaid_json_tree_member(tree, 0, "timestamp");
    data = ngx_http_chatmaid_json_tree_member(tree, 0, "data");

    message_id = 0;
    id = 0;

    if (data) {
        message_id = ngx_http_chatmaid_json_tree_member(tree, data,
                                                        "messageId");
        id = ngx_http_chatmaid_json_tree_member(tree, data, "id");
    }

    if (ngx_http_chatmaid_webhook_event_string(tree, name, &event->name)
        != NGX_OK
        || ngx_http_chatmaid_webhook_event_string(tree, timestamp,
                                                  &event->timestamp)
           != NGX_OK
        || ngx_http_chatmaid_webhook_event_string(tree, message_id,
                                                  &event->message_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (event->name.len == 0) {
        ngx_str_set(reason, "its \"event\" is not a string, or empty");
        return NGX_ABORT;
    }

    event->has_message_id = (event->message_id.len > 0);

    if (event->has_message_id) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_webhook_event_string(tree, id,
                                                  &event->message_id);
}


/* Copies a string, because variables are read when the body may be gone.  The
 * text is empty if the value is missing (0) or is not a string. */

static ngx_int_t
ngx_http_chatmaid_webhook_event_string(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_str_t *text)
{
    ngx_int_t  rc;

    ngx_str_null(text);

    if (value == 0) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_json_tree_string(tree, value,
                                            NGX_HTTP_CHATMAID_JSON_PRINTABLE,
                                            text);

    if (rc == NGX_OK) {
        text->data = ngx_pstrdup(tree->pool, text);
        return text->data ? NGX_OK : NGX_ERROR;
    }

    return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
}


/*
 * Event identity comes only from signed fields.  The timestamp is left out for
 * an event about a message that has a messageId, because a repeat may have a
 * new one.  It is included otherwise, because two different events may then
 * differ in nothing else.
 */

static ngx_int_t
ngx_http_chatmaid_webhook_event_identity(ngx_http_chatmaid_json_tree_t *tree,
    ngx_http_chatmaid_webhook_scope_t *scope,
    ngx_http_chatmaid_webhook_event_t *event)
{
    ngx_int_t   rc;
    ngx_str_t   fields[6];
    ngx_uint_t  n;

    ngx_str_set(&fields[0], "chatmaid-event-1");
    fields[1] = scope->account_name;
    fields[2] = scope->location;

    rc = ngx_http_chatmaid_webhook_event_canonical(tree, "event", &fields[3]);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_webhook_event_canonical(tree, "data",
                                                       &fields[4]);
    }

    n = 5;

    if (rc == NGX_OK
        && (!event->has_message_id
            || !ngx_http_chatmaid_webhook_event_of_message(event)))
    {
        rc = ngx_http_chatmaid_webhook_event_canonical(tree, "timestamp",
                                                       &fields[n++]);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_crypto_sha256_fields(tree->pool, fields, n,
                                                event->id);

    if (fields[4].data) {
        (void) ngx_pfree(tree->pool, fields[4].data);
    }

    return rc;
}


/* Two values have the same text exactly if they are equal.  The text of a
 * missing value is null. */

static ngx_int_t
ngx_http_chatmaid_webhook_event_canonical(ngx_http_chatmaid_json_tree_t *tree,
    const char *name, ngx_str_t *text)
{
    ngx_int_t  rc;
    uint32_t   value;

    value = ngx_http_chatmaid_json_tree_member(tree, 0, name);

    if (value == 0) {
        ngx_str_null(text);
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_json_write(tree, value, 1, text);

    return (rc == NGX_ABORT) ? NGX_HTTP_REQUEST_ENTITY_TOO_LARGE : rc;
}


ngx_uint_t
ngx_http_chatmaid_webhook_event_of_message(
    ngx_http_chatmaid_webhook_event_t *event)
{
    static ngx_str_t  prefix = ngx_string("message.");

    return event->name.len > prefix.len
           && ngx_strncmp(event->name.data, prefix.data, prefix.len) == 0;
}
