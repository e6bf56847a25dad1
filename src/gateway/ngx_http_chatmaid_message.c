
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_message.h"
#include "ngx_http_chatmaid_idempotency.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_sender.h"


#define NGX_HTTP_CHATMAID_MAX_TEXT  4096        /* code points */


typedef struct {
    ngx_http_request_t           *request;
    ngx_http_chatmaid_problem_t  *problem;
    ngx_str_t                    *key;
    json_t                       *message;
    json_t                       *errors;
    ngx_uint_t                    faults;
    ngx_uint_t                    key_faults;   /* of these, the key's */
    unsigned                      native:1;
    unsigned                      denied:1;     /* the sender */
    unsigned                      failed:1;     /* no memory */
} ngx_http_chatmaid_form_t;


static ngx_int_t ngx_http_chatmaid_message_conclude(
    ngx_http_chatmaid_form_t *form);
static const char *ngx_http_chatmaid_message_alias(
    ngx_http_chatmaid_form_t *form, const char *name, const char *own);
static void ngx_http_chatmaid_message_to(ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_content(ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_text(ngx_http_chatmaid_form_t *form,
    const char *name, json_t *text);
static void ngx_http_chatmaid_message_media(ngx_http_chatmaid_form_t *form,
    const char *name);
static ngx_int_t ngx_http_chatmaid_message_sender(
    ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_key(ngx_http_chatmaid_form_t *form);
static ngx_uint_t ngx_http_chatmaid_message_is_recipient(ngx_str_t *to);
static ngx_uint_t ngx_http_chatmaid_message_is_https(ngx_str_t *url);
static ngx_uint_t ngx_http_chatmaid_message_string(json_t *json,
    ngx_str_t *value);
static void ngx_http_chatmaid_message_fault(ngx_http_chatmaid_form_t *form,
    const char *name, const char *detail);


ngx_int_t
ngx_http_chatmaid_message_read(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, json_t *body, ngx_str_t *key,
    json_t **message)
{
    ngx_http_chatmaid_form_t  form;

    ngx_memzero(&form, sizeof(ngx_http_chatmaid_form_t));

    form.request = r;
    form.problem = &reply->problem;
    form.key = key;
    form.native = reply->native;
    form.errors = ngx_http_chatmaid_json_keep(r->pool, json_array());

    if (form.errors == NULL) {
        return NGX_ERROR;
    }

    if (!json_is_object(body)) {
        ngx_http_chatmaid_message_fault(&form, "", "must be an object");
        return ngx_http_chatmaid_message_conclude(&form);
    }

    form.message = ngx_http_chatmaid_json_keep(r->pool, json_copy(body));
    if (form.message == NULL) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_message_key(&form);
    ngx_http_chatmaid_message_to(&form);
    ngx_http_chatmaid_message_content(&form);

    if (ngx_http_chatmaid_message_sender(&form) != NGX_OK) {
        return NGX_ERROR;
    }

    *message = form.message;

    return ngx_http_chatmaid_message_conclude(&form);
}


static ngx_int_t
ngx_http_chatmaid_message_conclude(ngx_http_chatmaid_form_t *form)
{
    if (form->failed) {
        return NGX_ERROR;
    }

    if (form->faults) {
        ngx_http_chatmaid_problem_set(form->request->pool, form->problem,
                                  (form->faults == form->key_faults)
                                  ? NGX_HTTP_CHATMAID_INVALID_IDEMPOTENCY_KEY
                                  : NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                  "the message has %ui fault%s, see errors",
                                  form->faults, form->faults == 1 ? "" : "s");

        form->problem->errors = form->errors;

        return NGX_DECLINED;
    }

    if (form->denied) {
        return ngx_http_chatmaid_sender_deny(form->request->pool,
                                             form->problem);
    }

    return NGX_OK;
}


/* The spelling that the caller chose, or NULL if the member is absent.  The
 * native face knows Chatmaid's own spelling only. */

static const char *
ngx_http_chatmaid_message_alias(ngx_http_chatmaid_form_t *form,
    const char *name, const char *own)
{
    if (form->native || json_object_get(form->message, name) == NULL) {
        return json_object_get(form->message, own) ? own : NULL;
    }

    if (json_object_get(form->message, own)) {
        ngx_http_chatmaid_message_fault(form, own,
                                        "is given under its other name too");
    }

    return name;
}


static void
ngx_http_chatmaid_message_to(ngx_http_chatmaid_form_t *form)
{
    json_t     *to;
    ngx_str_t   value;

    to = json_object_get(form->message, "to");

    if (to == NULL) {
        ngx_http_chatmaid_message_fault(form, "to", "is required");

    } else if (!ngx_http_chatmaid_message_string(to, &value)) {
        ngx_http_chatmaid_message_fault(form, "to", "must be a string");

    } else if (!ngx_http_chatmaid_message_is_recipient(&value)) {
        ngx_http_chatmaid_message_fault(form, "to",
                                        "must be a phone number like "
                                        "+15551234567 or a group id that ends "
                                        "in @g.us");
    }
}


static void
ngx_http_chatmaid_message_content(ngx_http_chatmaid_form_t *form)
{
    json_t      *text, *media;
    const char  *text_name, *media_name;

    text_name = ngx_http_chatmaid_message_alias(form, "text", "content");
    media_name = ngx_http_chatmaid_message_alias(form, "media", "mediaUrls");

    text = text_name ? json_object_get(form->message, text_name) : NULL;
    media = media_name ? json_object_get(form->message, media_name) : NULL;

    if (text == NULL
        && (media == NULL
            || (json_is_array(media) && json_array_size(media) == 0)))
    {
        ngx_http_chatmaid_message_fault(form,
                                        form->native ? "content" : "text",
                                        "is required where there is no media");
    }

    if (text) {
        ngx_http_chatmaid_message_text(form, text_name, text);
    }

    if (media) {
        ngx_http_chatmaid_message_media(form, media_name);
    }
}


static void
ngx_http_chatmaid_message_text(ngx_http_chatmaid_form_t *form,
    const char *name, json_t *text)
{
    size_t      i, n;
    ngx_str_t   value;

    if (!ngx_http_chatmaid_message_string(text, &value)) {
        ngx_http_chatmaid_message_fault(form, name, "must be a string");
        return;
    }

    if (value.len == 0) {
        ngx_http_chatmaid_message_fault(form, name, "must not be empty");
        return;
    }

    for (i = 0, n = 0; i < value.len; i++) {
        n += ((value.data[i] & 0xc0) != 0x80);      /* not a continuation */
    }

    if (n > NGX_HTTP_CHATMAID_MAX_TEXT) {
        ngx_http_chatmaid_message_fault(form, name,
                                        "must have at most 4096 characters");
        return;
    }

    if (ngx_strcmp(name, "content") != 0) {
        form->failed |= (json_object_set(form->message, "content", text) != 0);
        (void) json_object_del(form->message, name);
    }
}


static void
ngx_http_chatmaid_message_media(ngx_http_chatmaid_form_t *form,
    const char *name)
{
    size_t      i;
    json_t     *media, *url;
    u_char     *last;
    ngx_str_t   value;

    u_char      item[sizeof("mediaUrls/") + NGX_SIZE_T_LEN];

    media = json_incref(json_object_get(form->message, name));

    if (json_is_string(media)) {
        url = media;
        media = json_array();
        form->failed |= (json_array_append_new(media, url) != 0);

    } else if (!json_is_array(media)) {
        ngx_http_chatmaid_message_fault(form, name,
                                        "must be a string or an array");
    }

    json_array_foreach(media, i, url) {

        if (!ngx_http_chatmaid_message_string(url, &value)
            || !ngx_http_chatmaid_message_is_https(&value))
        {
            last = json_is_string(json_object_get(form->message, name))
                   ? ngx_sprintf(item, "%s", name)
                   : ngx_sprintf(item, "%s/%uz", name, i);
            *last = '\0';

            ngx_http_chatmaid_message_fault(form, (char *) item,
                                            "must be an https URL");
        }
    }

    (void) json_object_del(form->message, name);

    form->failed |= (json_object_set_new(form->message, "mediaUrls", media)
                     != 0);
}


static ngx_int_t
ngx_http_chatmaid_message_sender(ngx_http_chatmaid_form_t *form)
{
    json_t                      *from;
    ngx_str_t                    value, *own;
    ngx_uint_t                   same;
    const char                  *name;
    ngx_http_chatmaid_sender_t   sender;

    if (ngx_http_chatmaid_sender_get(form->request, &sender) != NGX_OK) {
        return NGX_ERROR;
    }

    own = &sender.value;

    if (!ngx_http_chatmaid_sender_permits(&sender, 1)) {
        form->denied = 1;
        return NGX_OK;
    }

    name = ngx_http_chatmaid_message_alias(form, "from", "fromPhoneId");

    if (name == NULL) {
        from = json_stringn((char *) own->data, own->len);

        if (from == NULL || own->len == 0) {
            json_decref(from);
            ngx_http_chatmaid_message_fault(form,
                                         form->native ? "fromPhoneId" : "from",
                                         "is required");
            return NGX_OK;
        }

        return json_object_set_new(form->message, "fromPhoneId", from) == 0
               ? NGX_OK : NGX_ERROR;
    }

    from = json_object_get(form->message, name);

    if (!ngx_http_chatmaid_message_string(from, &value) || value.len == 0) {
        ngx_http_chatmaid_message_fault(form, name,
                                        "must be a string that is not empty");
        return NGX_OK;
    }

    same = (value.len == own->len
            && ngx_strncmp(value.data, own->data, value.len) == 0);

    if (!ngx_http_chatmaid_sender_permits(&sender, same)) {
        form->denied = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(name, "fromPhoneId") != 0) {

        if (json_object_set(form->message, "fromPhoneId", from) != 0) {
            return NGX_ERROR;
        }

        (void) json_object_del(form->message, name);
    }

    return NGX_OK;
}


static void
ngx_http_chatmaid_message_key(ngx_http_chatmaid_form_t *form)
{
    json_t      *member;
    ngx_str_t    key, *known;
    ngx_uint_t   before;
    const char  *wrong;

    static const char  name[] = "idempotencyKey";

    member = json_object_get(form->message, name);

    if (member == NULL) {
        return;
    }

    known = form->key;
    before = form->faults;

    if (!ngx_http_chatmaid_message_string(member, &key)) {
        ngx_http_chatmaid_message_fault(form, name, "must be a string");

    } else if ((wrong = ngx_http_chatmaid_idempotency_check(&key)) != NULL) {
        ngx_http_chatmaid_message_fault(form, name, wrong);

    } else if (known->len == 0) {
        *known = key;           /* in the body, which the pool keeps */

    } else if (known->len != key.len
               || ngx_strncmp(known->data, key.data, key.len) != 0)
    {
        ngx_http_chatmaid_message_fault(form, name,
                                        "is not the Idempotency-Key header's");
    }

    form->key_faults = form->faults - before;

    (void) json_object_del(form->message, name);
}


/* E.164 (at most 15 digits), or a group's JID, "N@g.us" or "N-N@g.us". */

static ngx_uint_t
ngx_http_chatmaid_message_is_recipient(ngx_str_t *to)
{
    size_t  len, digits;

    static ngx_str_t  group = ngx_string("@g.us");

    if (to->len >= 3 && to->data[0] == '+' && to->data[1] != '0') {
        digits = strspn((char *) to->data + 1, "0123456789");
        return digits == to->len - 1 && digits >= 2 && digits <= 15;
    }

    if (to->len <= group.len
        || ngx_strncmp(to->data + to->len - group.len, group.data, group.len)
           != 0)
    {
        return 0;
    }

    digits = strspn((char *) to->data, "0123456789");

    if (digits == 0) {
        return 0;
    }

    if (to->data[digits] == '-') {
        len = digits + 1;
        digits = strspn((char *) to->data + len, "0123456789");

        if (digits == 0) {
            return 0;
        }

        digits += len;
    }

    return digits == to->len - group.len;
}


static ngx_uint_t
ngx_http_chatmaid_message_is_https(ngx_str_t *url)
{
    size_t  i;

    static ngx_str_t  scheme = ngx_string("https://");

    if (url->len <= scheme.len
        || ngx_strncasecmp(url->data, scheme.data, scheme.len) != 0
        || ngx_strchr("/?#", url->data[scheme.len]))
    {
        return 0;
    }

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= ' ' || url->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_chatmaid_message_string(json_t *json, ngx_str_t *value)
{
    if (!json_is_string(json)) {
        return 0;
    }

    value->data = (u_char *) json_string_value(json);
    value->len = json_string_length(json);

    return 1;
}


/* "name" is a JSON Pointer (RFC 6901) without its first "/". */

static void
ngx_http_chatmaid_message_fault(ngx_http_chatmaid_form_t *form,
    const char *name, const char *detail)
{
    form->faults++;

    (void) json_array_append_new(form->errors,
                                 json_pack("{s:s+, s:s}", "pointer",
                                           *name ? "/" : "", name,
                                           "detail", detail));
}
