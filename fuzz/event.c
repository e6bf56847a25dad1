
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The identity of a webhook's event.  The first line chooses the spelling and
 * the change, the rest is the body.  Two spellings of one value have one
 * identity; another name, data or, where it counts, timestamp have another.
 */


#include "json.h"
#include "ngx_http_chatmaid_webhook_event.h"


static ngx_int_t event_read(ngx_http_request_t *r, ngx_str_t *body,
    ngx_http_chatmaid_webhook_event_t *event);
static void event_check_change(ngx_http_request_t *r, ngx_str_t *body,
    json_value_t *value, harness_input_t *choice,
    ngx_http_chatmaid_webhook_event_t *event);
static ngx_uint_t event_same_member(json_value_t *one, json_value_t *two,
    const char *name);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t                           rc;
    ngx_str_t                           choices, body, other;
    json_value_t                       *value, *name;
    harness_input_t                     in, choice;
    ngx_http_request_t                 *r;
    ngx_http_chatmaid_webhook_event_t   event, again;

    if (size > 4096) {
        return 0;
    }

    r = harness_request("/webhook");
    harness_input(&in, r->pool, data, size);

    choices = harness_line(&in);
    body = harness_rest(&in);

    rc = event_read(r, &body, &event);
    value = json_parse(r->pool, &body);

    if (value) {
        name = json_find(value, "event");

        /* a name that is there twice, in whatever object, is refused */

        harness_check((rc == NGX_OK)
                      == (!json_repeats(value)
                          && name && name->type == '"' && name->n > 0));

    } else {
        harness_check(rc != NGX_OK || body.len > 64);
    }

    if (rc == NGX_OK && value) {

        harness_input(&choice, r->pool, choices.data, choices.len);
        other = json_spell(r->pool, value, &choice);

        harness_check(event_read(r, &other, &again) == NGX_OK);
        harness_check(ngx_memcmp(event.id, again.id, sizeof(event.id)) == 0);
        harness_check(harness_equal(&event.name, &again.name));
        harness_check(harness_equal(&event.message_id, &again.message_id));

        harness_input(&choice, r->pool, choices.data, choices.len);
        event_check_change(r, &body, value, &choice, &event);
    }

    harness_end(r);

    return 0;
}


static ngx_int_t
event_read(ngx_http_request_t *r, ngx_str_t *body,
    ngx_http_chatmaid_webhook_event_t *event)
{
    ngx_int_t                           rc;
    ngx_str_t                           reason, copy;
    ngx_http_chatmaid_webhook_scope_t   scope;

    copy.len = body->len;
    copy.data = ngx_pnalloc(r->pool, body->len);
    harness_check(copy.data != NULL);
    ngx_memcpy(copy.data, body->data, body->len);

    ngx_str_set(&scope.account_name, "fuzz");
    ngx_str_set(&scope.location, "/webhook");
    ngx_str_null(&reason);
    ngx_memzero(event, sizeof(ngx_http_chatmaid_webhook_event_t));

    rc = ngx_http_chatmaid_webhook_event_read(r->pool, &copy, &scope, event,
                                              &reason);

    harness_check(rc == NGX_OK || rc == NGX_DECLINED || rc == NGX_ABORT
                  || rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE);
    harness_check((rc != NGX_DECLINED && rc != NGX_ABORT) || reason.len);

    return rc;
}


static void
event_check_change(ngx_http_request_t *r, ngx_str_t *body, json_value_t *value,
    harness_input_t *choice, ngx_http_chatmaid_webhook_event_t *event)
{
    ngx_str_t                           other;
    ngx_uint_t                          same;
    json_value_t                       *changed, *id;
    harness_input_t                     plain;
    ngx_http_chatmaid_webhook_event_t   again;

    changed = json_parse(r->pool, body);
    harness_check(json_change(r->pool, changed, choice));

    if (json_repeats(changed)) {
        return;
    }

    harness_input(&plain, r->pool, NULL, 0);
    other = json_spell(r->pool, changed, &plain);

    if (event_read(r, &other, &again) != NGX_OK) {
        return;
    }

    same = event_same_member(value, changed, "event")
           && event_same_member(value, changed, "data");

    id = json_find(json_find(value, "data"), "messageId");

    if (!ngx_http_chatmaid_webhook_event_of_message(event)
        || id == NULL || id->type != '"' || id->n == 0)
    {
        same = same && event_same_member(value, changed, "timestamp");
    }

    harness_check((ngx_memcmp(event->id, again.id, sizeof(event->id)) == 0)
                  == same);
}


static ngx_uint_t
event_same_member(json_value_t *one, json_value_t *two, const char *name)
{
    one = json_find(one, name);
    two = json_find(two, name);

    return (one && two) ? json_same(one, two) : one == two;
}
