
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A send's body and what goes on to Chatmaid.  The first byte chooses the face,
 * whether a key is known and which allocation fails, the rest of the first line
 * the spelling and the change; then comes the body.  Two spellings of one
 * message have one fingerprint, different ones two.
 */


#include "json.h"
#include "ngx_http_chatmaid_message.h"


typedef struct {
    ngx_int_t                   rc;
    ngx_str_t                   key;
    ngx_str_t                   text;
    u_char                      fingerprint[32];
    ngx_http_chatmaid_reply_t  *reply;
} message_t;


static void message_read(ngx_http_request_t *r, ngx_str_t *body,
    u_char how, message_t *message);
static void message_fail(ngx_http_request_t *r, ngx_str_t *body, u_char how);
static json_value_t *message_written(ngx_http_request_t *r,
    message_t *message);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, "chatmaid_sender +15550100001;");
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char               how;
    ngx_str_t            choices, body, other;
    json_value_t        *value, *written;
    message_t            first, again;
    harness_input_t      in, choice;
    ngx_http_request_t  *r;

    if (size > 8192) {
        return 0;
    }

    r = harness_request("/chatmaid/");
    harness_input(&in, r->pool, data, size);

    how = harness_byte(&in);

    if (how & 1) {
        ngx_str_set(&r->uri, "/chatmaid/v1/messages/send");
    }

    choices = harness_line(&in);
    body = harness_rest(&in);

    if (how & 4) {
        message_fail(r, &body, how);
        harness_end(r);
        return 0;
    }

    message_read(r, &body, how, &first);
    value = json_parse(r->pool, &body);

    if (first.rc != NGX_OK || value == NULL || json_repeats(value)) {
        harness_end(r);
        return 0;
    }

    harness_check(!json_odd(value));

    written = message_written(r, &first);

    harness_input(&choice, r->pool, choices.data, choices.len);
    other = json_spell(r->pool, value, &choice);

    message_read(r, &other, how, &again);

    harness_check(again.rc == NGX_OK);
    harness_check(harness_equal(&first.key, &again.key));
    harness_check(json_same(written, message_written(r, &again)));
    harness_check(ngx_memcmp(first.fingerprint, again.fingerprint, 32) == 0);

    /* another message */

    harness_input(&choice, r->pool, choices.data, choices.len);
    value = json_parse(r->pool, &body);

    if (json_change(r->pool, value, &choice) && !json_repeats(value)) {
        harness_input(&choice, r->pool, NULL, 0);
        other = json_spell(r->pool, value, &choice);

        message_read(r, &other, how, &again);

        if (again.rc == NGX_OK) {
            harness_check(json_same(written, message_written(r, &again))
                          == (ngx_memcmp(first.fingerprint, again.fingerprint,
                                         32) == 0));
        }
    }

    harness_end(r);

    return 0;
}


static void
message_read(ngx_http_request_t *r, ngx_str_t *body, u_char how,
    message_t *message)
{
    ngx_str_t  text;

    harness_body(r, body);

    ngx_str_null(&message->key);
    ngx_str_null(&message->text);

    if (how & 2) {
        ngx_str_set(&message->key, "order-1");
    }

    message->reply = ngx_http_chatmaid_answer_get_reply(r);
    harness_check(message->reply != NULL);

    message->rc = ngx_http_chatmaid_message_read(r, message->reply,
                                                 &message->key, &message->text,
                                                 message->fingerprint);

    harness_check(message->rc == NGX_OK || message->rc == NGX_DECLINED);

    if (message->rc == NGX_DECLINED) {
        harness_check(ngx_http_chatmaid_answer_problem_text(r, message->reply,
                                                   &message->reply->problem,
                                                   "not_sent", &text)
                      == NGX_OK);
    }
}


/* Without memory it ends all the same. */

static void
message_fail(ngx_http_request_t *r, ngx_str_t *body, u_char how)
{
    ngx_int_t  rc;
    message_t  message;

    harness_body(r, body);

    ngx_str_null(&message.key);
    ngx_str_null(&message.text);

    message.reply = ngx_http_chatmaid_answer_get_reply(r);
    harness_check(message.reply != NULL);

    harness_fail_memory(1 + (how >> 3));

    rc = ngx_http_chatmaid_message_read(r, message.reply, &message.key,
                                        &message.text, message.fingerprint);
    harness_fail_memory(0);

    harness_check(rc == NGX_OK || rc == NGX_DECLINED || rc == NGX_ERROR);
}


/* What goes on is JSON, whose members have Chatmaid's names. */

static json_value_t *
message_written(ngx_http_request_t *r, message_t *message)
{
    json_value_t  *written;

    written = json_parse(r->pool, &message->text);

    harness_check(written != NULL && written->type == '{');
    harness_check(json_find(written, "to") != NULL);
    harness_check(json_find(written, "idempotencyKey") == NULL);
    harness_check(json_find(written, "fromPhoneId") != NULL);

    return written;
}
