
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_json_exact.h"
#include "ngx_http_chatmaid_json.h"


static ngx_int_t ngx_http_chatmaid_webhook_event_members(ngx_pool_t *pool,
    json_t *json, ngx_http_chatmaid_webhook_event_t *event,
    const char **reason);
static ngx_int_t ngx_http_chatmaid_webhook_event_string(ngx_pool_t *pool,
    json_t *object, const char *name, ngx_str_t *text);
static ngx_int_t ngx_http_chatmaid_webhook_event_identity(ngx_pool_t *pool,
    json_t *json, ngx_str_t *account_name, ngx_str_t *location,
    ngx_http_chatmaid_webhook_event_t *event);
static ngx_int_t ngx_http_chatmaid_webhook_event_canonical(ngx_pool_t *pool,
    json_t *object, const char *name, ngx_str_t *text);


ngx_int_t
ngx_http_chatmaid_webhook_event_read(ngx_pool_t *pool, ngx_str_t *body,
    ngx_str_t *account_name, ngx_str_t *location,
    ngx_http_chatmaid_webhook_event_t *event, const char **reason)
{
    json_t     *json;
    ngx_int_t   rc;

    rc = ngx_http_chatmaid_json_exact_parse(pool->log, body, &json, reason);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_webhook_event_members(pool, json, event, reason);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_webhook_event_identity(pool, json, account_name,
                                                      location, event);
    }

    json_decref(json);

    return rc;
}


/* Only the name is required: Chatmaid may change all else that it signs. */

static ngx_int_t
ngx_http_chatmaid_webhook_event_members(ngx_pool_t *pool, json_t *json,
    ngx_http_chatmaid_webhook_event_t *event, const char **reason)
{
    json_t  *data;

    if (!json_is_object(json)) {
        *reason = "it is not an object";
        return NGX_ABORT;
    }

    data = json_object_get(json, "data");

    if (ngx_http_chatmaid_webhook_event_string(pool, json, "event",
                                               &event->name)
        != NGX_OK
        || ngx_http_chatmaid_webhook_event_string(pool, json, "timestamp",
                                                  &event->timestamp)
           != NGX_OK
        || ngx_http_chatmaid_webhook_event_string(pool, data, "messageId",
                                                  &event->message_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (event->name.len == 0) {
        *reason = "its \"event\" is not a string, or empty";
        return NGX_ABORT;
    }

    event->has_message_id = (event->message_id.len > 0);

    if (event->has_message_id) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_webhook_event_string(pool, data, "id",
                                                  &event->message_id);
}


/* An object's string member; empty if there is none, or no object. */

static ngx_int_t
ngx_http_chatmaid_webhook_event_string(ngx_pool_t *pool, json_t *object,
    const char *name, ngx_str_t *text)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_json_exact_string(pool,
                                             json_object_get(object, name),
                                             text);

    if (rc == NGX_DECLINED) {
        ngx_str_set(text, "");
        return NGX_OK;
    }

    return rc;
}


/*
 * Event identity comes only from signed fields.  A repeat of an event about a
 * message may have a new timestamp.  Where there is no messageId, events that
 * differ may be equal but for their timestamp.
 */

static ngx_int_t
ngx_http_chatmaid_webhook_event_identity(ngx_pool_t *pool, json_t *json,
    ngx_str_t *account_name, ngx_str_t *location,
    ngx_http_chatmaid_webhook_event_t *event)
{
    ngx_str_t   fields[6];
    ngx_uint_t  n;

    ngx_str_set(&fields[0], "chatmaid-event-1");
    fields[1] = *account_name;
    fields[2] = *location;

    if (ngx_http_chatmaid_webhook_event_canonical(pool, json, "event",
                                                  &fields[3])
        != NGX_OK
        || ngx_http_chatmaid_webhook_event_canonical(pool, json, "data",
                                                     &fields[4])
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    n = 5;

    if (!event->has_message_id
        || !ngx_http_chatmaid_webhook_event_of_message(event))
    {
        if (ngx_http_chatmaid_webhook_event_canonical(pool, json, "timestamp",
                                                      &fields[n++])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_chatmaid_crypto_sha256_fields(pool, fields, n, event->id);
}


/* Equal values, and only they, have the same text; a missing value has none. */

static ngx_int_t
ngx_http_chatmaid_webhook_event_canonical(ngx_pool_t *pool, json_t *object,
    const char *name, ngx_str_t *text)
{
    json_t  *value;

    value = json_object_get(object, name);

    if (value == NULL) {
        ngx_str_null(text);
        return NGX_OK;
    }

    return ngx_http_chatmaid_json_dump(pool, value, JSON_SORT_KEYS, text);
}


ngx_uint_t
ngx_http_chatmaid_webhook_event_of_message(
    ngx_http_chatmaid_webhook_event_t *event)
{
    static ngx_str_t  prefix = ngx_string("message.");

    return event->name.len > prefix.len
           && ngx_strncmp(event->name.data, prefix.data, prefix.len) == 0;
}
