
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_message.h"
#include "ngx_http_chatmaid_body.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_idempotency.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_json_tree.h"
#include "ngx_http_chatmaid_json_write.h"
#include "ngx_http_chatmaid_sender.h"


#define NGX_HTTP_CHATMAID_MAX_TEXT    4096      /* code points */
#define NGX_HTTP_CHATMAID_MAX_ERRORS  100       /* in one problem */


typedef struct {
    ngx_http_request_t             *request;
    ngx_http_chatmaid_problem_t    *problem;
    ngx_str_t                      *key;
    ngx_http_chatmaid_json_tree_t   tree;       /* its root is the message */
    json_t                         *errors;     /* the first faults, or NULL */
    ngx_uint_t                      faults;
    ngx_uint_t                      key_faults; /* of these, the key's */
    unsigned                        native:1;
    unsigned                        denied:1;   /* the sender */
    unsigned                        failed:1;   /* no memory */
} ngx_http_chatmaid_form_t;


static void ngx_http_chatmaid_message_check(ngx_http_chatmaid_form_t *form);
static ngx_int_t ngx_http_chatmaid_message_conclude(
    ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_key(ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_to(ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_content(ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_text(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t text);
static void ngx_http_chatmaid_message_media(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t media);
static void ngx_http_chatmaid_message_url(ngx_http_chatmaid_form_t *form,
    const char *pointer, uint32_t url);
static void ngx_http_chatmaid_message_sender(ngx_http_chatmaid_form_t *form);
static void ngx_http_chatmaid_message_from(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t from, ngx_http_chatmaid_sender_t *sender);
static ngx_uint_t ngx_http_chatmaid_message_is_recipient(ngx_str_t *to);
static size_t ngx_http_chatmaid_message_digits(ngx_str_t *text, size_t from);
static ngx_uint_t ngx_http_chatmaid_message_is_https(ngx_str_t *url);
static const char *ngx_http_chatmaid_message_alias(
    ngx_http_chatmaid_form_t *form, const char *name, const char *own,
    uint32_t *value);
static uint32_t ngx_http_chatmaid_message_member(
    ngx_http_chatmaid_form_t *form, const char *name);
static u_char ngx_http_chatmaid_message_type(ngx_http_chatmaid_form_t *form,
    uint32_t value);
static ngx_uint_t ngx_http_chatmaid_message_string(
    ngx_http_chatmaid_form_t *form, uint32_t value, ngx_str_t *string);
static void ngx_http_chatmaid_message_mistyped(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t value, const char *detail);
static void ngx_http_chatmaid_message_fault(ngx_http_chatmaid_form_t *form,
    const char *pointer, const char *detail);
static ngx_int_t ngx_http_chatmaid_message_write(
    ngx_http_chatmaid_form_t *form, ngx_str_t *text, u_char *fingerprint);


ngx_int_t
ngx_http_chatmaid_message_read(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_str_t *key, ngx_str_t *text,
    u_char *fingerprint)
{
    ngx_int_t                 rc;
    ngx_str_t                 body, reason;
    ngx_http_chatmaid_form_t  form;

    ngx_memzero(&form, sizeof(ngx_http_chatmaid_form_t));

    form.request = r;
    form.problem = &reply->problem;
    form.key = key;
    form.native = reply->native;

    if (ngx_http_chatmaid_body_all(r, &body) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_chatmaid_json_tree_parse(r->pool, &body, 1, &form.tree,
                                           &reason);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_JSON,
                                             "%V of the body", &reason);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_chatmaid_message_check(&form);

    rc = ngx_http_chatmaid_message_conclude(&form);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_message_write(&form, text, fingerprint);
    }

    ngx_http_chatmaid_json_tree_free(&form.tree);

    return rc;
}


static void
ngx_http_chatmaid_message_check(ngx_http_chatmaid_form_t *form)
{
    if (ngx_http_chatmaid_message_type(form, 0) != '{') {
        ngx_http_chatmaid_message_fault(form, "", "must be an object");
        return;
    }

    ngx_http_chatmaid_message_key(form);
    ngx_http_chatmaid_message_to(form);
    ngx_http_chatmaid_message_content(form);
    ngx_http_chatmaid_message_sender(form);
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
                                  "the message has %ui fault%s, see errors%s",
                                  form->faults, form->faults == 1 ? "" : "s",
                                  form->faults > NGX_HTTP_CHATMAID_MAX_ERRORS
                                  ? " for the first of them" : "");

        form->problem->errors = form->errors;

        return NGX_DECLINED;
    }

    if (form->denied) {
        return ngx_http_chatmaid_sender_deny(form->request->pool,
                                             form->problem);
    }

    return NGX_OK;
}


/* On the native face null and "" count as no key, because its clients send them
 * when they have none. */

static void
ngx_http_chatmaid_message_key(ngx_http_chatmaid_form_t *form)
{
    uint32_t     member;
    ngx_str_t    key, *known;
    ngx_uint_t   before;
    const char  *wrong;

    static const char  name[] = "idempotencyKey";

    member = ngx_http_chatmaid_message_member(form, name);

    if (member == 0
        || (form->native
            && ngx_http_chatmaid_message_type(form, member) == 'n'))
    {
        return;
    }

    known = form->key;
    before = form->faults;

    if (!ngx_http_chatmaid_message_string(form, member, &key)) {
        ngx_http_chatmaid_message_mistyped(form, name, member,
                                           "must be a string");

    } else if (form->native && key.len == 0) {
        return;

    } else if ((wrong = ngx_http_chatmaid_idempotency_check(&key)) != NULL) {
        ngx_http_chatmaid_message_fault(form, name, wrong);

    } else if (known->len == 0) {
        known->len = key.len;
        known->data = ngx_pstrdup(form->request->pool, &key);
        form->failed |= (known->data == NULL);

    } else if (known->len != key.len
               || ngx_strncmp(known->data, key.data, key.len) != 0)
    {
        ngx_http_chatmaid_message_fault(form, name,
                                        "is not the Idempotency-Key header's");
    }

    form->key_faults = form->faults - before;
}


static void
ngx_http_chatmaid_message_to(ngx_http_chatmaid_form_t *form)
{
    uint32_t                       to;
    ngx_str_t                      value;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(form->request,
                                        ngx_http_chatmaid_module);

    to = ngx_http_chatmaid_message_member(form, "to");

    if (to == 0) {
        ngx_http_chatmaid_message_fault(form, "to", "is required");

    } else if (!ngx_http_chatmaid_message_string(form, to, &value)) {
        ngx_http_chatmaid_message_mistyped(form, "to", to, "must be a string");

    } else if (!form->native
               && conf->recipients == NGX_HTTP_CHATMAID_RECIPIENTS_CHECKED
               && !ngx_http_chatmaid_message_is_recipient(&value))
    {
        ngx_http_chatmaid_message_fault(form, "to",
                                        "must be a phone number like "
                                        "+15551234567 or a group id that ends "
                                        "in @g.us");
    }
}


/*
 * On the native face null counts as left out.  On both faces an empty text
 * beside media does.  Official clients send both.
 */

static void
ngx_http_chatmaid_message_content(ngx_http_chatmaid_form_t *form)
{
    uint32_t     text, media;
    ngx_str_t    value;
    ngx_uint_t   has_media;
    const char  *text_name, *media_name;

    text_name = ngx_http_chatmaid_message_alias(form, "text", "content", &text);
    media_name = ngx_http_chatmaid_message_alias(form, "media", "mediaUrls",
                                                 &media);

    if (form->native) {

        if (text && ngx_http_chatmaid_message_type(form, text) == 'n') {
            text = 0;
        }

        if (media && ngx_http_chatmaid_message_type(form, media) == 'n') {
            media = 0;
        }
    }

    has_media = (media
                 && (ngx_http_chatmaid_message_type(form, media) == '"'
                     || ngx_http_chatmaid_json_tree_first(&form->tree, media)));

    if (text && has_media
        && ngx_http_chatmaid_message_string(form, text, &value)
        && value.len == 0)
    {
        text = 0;

        if (!form->native) {
            ngx_http_chatmaid_json_tree_remove(&form->tree, 0, text_name);
        }

    } else if (text) {
        ngx_http_chatmaid_message_text(form, text_name, text);

    } else if (media == 0
               || (ngx_http_chatmaid_message_type(form, media) == '['
                   && !has_media))
    {
        ngx_http_chatmaid_message_fault(form,
                                        form->native ? "content" : "text",
                                        "is required where there is no media");
    }

    if (media) {
        ngx_http_chatmaid_message_media(form, media_name, media);
    }
}


static void
ngx_http_chatmaid_message_text(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t text)
{
    size_t      i, n;
    ngx_str_t   value;

    if (!ngx_http_chatmaid_message_string(form, text, &value)) {
        ngx_http_chatmaid_message_mistyped(form, name, text,
                                           "must be a string");
        return;
    }

    if (value.len == 0) {
        ngx_http_chatmaid_message_fault(form, name, "must not be empty");
        return;
    }

    for (i = 0, n = 0; i < value.len; i++) {
        n += ((value.data[i] & 0xc0) != 0x80);      /* no continuation byte */
    }

    if (n > NGX_HTTP_CHATMAID_MAX_TEXT) {
        ngx_http_chatmaid_message_fault(form, name,
                                        "must have at most 4096 characters");
    }
}


static void
ngx_http_chatmaid_message_media(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t media)
{
    u_char      *last, type;
    uint32_t     url;
    ngx_uint_t   i;

    u_char       pointer[sizeof("mediaUrls/") + NGX_INT_T_LEN];

    type = ngx_http_chatmaid_message_type(form, media);

    if (type == '"' && !form->native) {
        ngx_http_chatmaid_message_url(form, name, media);
        return;
    }

    if (type != '[') {
        ngx_http_chatmaid_message_mistyped(form, name, media,
                                           form->native
                                           ? "must be an array"
                                           : "must be a string or an array");
        return;
    }

    i = 0;

    for (url = ngx_http_chatmaid_json_tree_first(&form->tree, media);
         url;
         url = ngx_http_chatmaid_json_tree_next(&form->tree, url))
    {
        last = ngx_sprintf(pointer, "%s/%ui", name, i++);
        *last = '\0';

        ngx_http_chatmaid_message_url(form, (char *) pointer, url);
    }
}


static void
ngx_http_chatmaid_message_url(ngx_http_chatmaid_form_t *form,
    const char *pointer, uint32_t url)
{
    ngx_str_t  value;

    if (!ngx_http_chatmaid_message_string(form, url, &value)
        || !ngx_http_chatmaid_message_is_https(&value))
    {
        ngx_http_chatmaid_message_fault(form, pointer, "must be an https URL");
    }
}


static void
ngx_http_chatmaid_message_sender(ngx_http_chatmaid_form_t *form)
{
    uint32_t                     from;
    ngx_int_t                    rc;
    const char                  *name;
    ngx_http_chatmaid_sender_t   sender;

    if (ngx_http_chatmaid_sender_get(form->request, &sender) != NGX_OK) {
        form->failed = 1;
        return;
    }

    if (!ngx_http_chatmaid_sender_permits(&sender, 1)) {
        form->denied = 1;
        return;
    }

    name = ngx_http_chatmaid_message_alias(form, "from", "fromPhoneId", &from);

    if (from) {
        ngx_http_chatmaid_message_from(form, name, from, &sender);
        return;
    }

    rc = NGX_DECLINED;

    if (sender.value.len) {
        rc = ngx_http_chatmaid_json_tree_add(&form->tree, 0, "fromPhoneId",
                                             &sender.value);
    }

    if (rc == NGX_DECLINED) {
        ngx_http_chatmaid_message_fault(form,
                                        form->native ? "fromPhoneId" : "from",
                                        "is required");
    }

    form->failed |= (rc == NGX_ERROR);
}


static void
ngx_http_chatmaid_message_from(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t from, ngx_http_chatmaid_sender_t *sender)
{
    ngx_str_t   value;
    ngx_uint_t  same;

    if (!ngx_http_chatmaid_message_string(form, from, &value)
        || value.len == 0)
    {
        ngx_http_chatmaid_message_mistyped(form, name, from,
                                         "must be a string that is not empty");
        return;
    }

    same = (value.len == sender->value.len
            && ngx_strncmp(value.data, sender->value.data, value.len) == 0);

    if (!ngx_http_chatmaid_sender_permits(sender, same)) {
        form->denied = 1;
    }
}


/* E.164 (at most 15 digits), or a group's JID, "N@g.us" or "N-N@g.us". */

static ngx_uint_t
ngx_http_chatmaid_message_is_recipient(ngx_str_t *to)
{
    size_t  len, digits;

    static ngx_str_t  group = ngx_string("@g.us");

    if (to->len >= 3 && to->data[0] == '+' && to->data[1] != '0') {
        digits = ngx_http_chatmaid_message_digits(to, 1);
        return digits == to->len - 1 && digits >= 2 && digits <= 15;
    }

    if (to->len <= group.len
        || ngx_strncmp(to->data + to->len - group.len, group.data, group.len)
           != 0)
    {
        return 0;
    }

    digits = ngx_http_chatmaid_message_digits(to, 0);

    if (digits == 0) {
        return 0;
    }

    if (to->data[digits] == '-') {
        len = digits + 1;
        digits = ngx_http_chatmaid_message_digits(to, len);

        if (digits == 0) {
            return 0;
        }

        digits += len;
    }

    return digits == to->len - group.len;
}


/* The number of digits from this place on.  The text does not end with a NUL,
 * as strspn() would need. */

static size_t
ngx_http_chatmaid_message_digits(ngx_str_t *text, size_t from)
{
    size_t  i;

    for (i = from; i < text->len; i++) {
        if (text->data[i] < '0' || text->data[i] > '9') {
            break;
        }
    }

    return i - from;
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


/* Returns the name that the caller chose for a member; "value" is set to the
 * member's value, or to 0 if it is absent.  The native face knows only
 * Chatmaid's own names. */

static const char *
ngx_http_chatmaid_message_alias(ngx_http_chatmaid_form_t *form,
    const char *name, const char *own, uint32_t *value)
{
    uint32_t  member;

    *value = ngx_http_chatmaid_message_member(form, own);

    member = form->native ? 0 : ngx_http_chatmaid_message_member(form, name);

    if (member == 0) {
        return own;
    }

    if (*value) {
        ngx_http_chatmaid_message_fault(form, own,
                                        "is given under its other name too");
    }

    *value = member;

    return name;
}


/* The value of a member, or 0. */

static uint32_t
ngx_http_chatmaid_message_member(ngx_http_chatmaid_form_t *form,
    const char *name)
{
    return ngx_http_chatmaid_json_tree_member(&form->tree, 0, name);
}


static u_char
ngx_http_chatmaid_message_type(ngx_http_chatmaid_form_t *form, uint32_t value)
{
    return ngx_http_chatmaid_json_tree_type(&form->tree, value);
}


static ngx_uint_t
ngx_http_chatmaid_message_string(ngx_http_chatmaid_form_t *form,
    uint32_t value, ngx_str_t *string)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_json_tree_string(&form->tree, value,
                                            NGX_HTTP_CHATMAID_JSON_UTF8,
                                            string);

    form->failed |= (rc == NGX_ERROR);

    return (rc == NGX_OK);
}


/* The detail mentions null, because many libraries write null unasked. */

static void
ngx_http_chatmaid_message_mistyped(ngx_http_chatmaid_form_t *form,
    const char *name, uint32_t value, const char *detail)
{
    char  text[64];

    if (ngx_http_chatmaid_message_type(form, value) == 'n') {
        *ngx_snprintf((u_char *) text, sizeof(text) - 1, "%s, not null",
                      detail) = '\0';
        detail = text;
    }

    ngx_http_chatmaid_message_fault(form, name, detail);
}


/* "pointer" is a JSON pointer (RFC 6901) without its first "/". */

static void
ngx_http_chatmaid_message_fault(ngx_http_chatmaid_form_t *form,
    const char *pointer, const char *detail)
{
    if (form->faults++ >= NGX_HTTP_CHATMAID_MAX_ERRORS) {
        return;
    }

    if (form->errors == NULL) {
        form->errors = ngx_http_chatmaid_json_keep(form->request->pool,
                                                   json_array());
        if (form->errors == NULL) {
            form->failed = 1;
            return;
        }
    }

    (void) json_array_append_new(form->errors,
                                 json_pack("{s:s+, s:s}", "pointer",
                                           *pointer ? "/" : "", pointer,
                                           "detail", detail));
}


/* Writes the message in Chatmaid's form.  The fingerprint is the digest of the
 * canonical text. */

static ngx_int_t
ngx_http_chatmaid_message_write(ngx_http_chatmaid_form_t *form,
    ngx_str_t *text, u_char *fingerprint)
{
    ngx_int_t                       rc;
    uint32_t                        media;
    ngx_str_t                       canonical;
    ngx_pool_t                     *pool;
    ngx_http_chatmaid_json_tree_t  *tree;

    pool = form->request->pool;
    tree = &form->tree;

    ngx_http_chatmaid_json_tree_remove(tree, 0, "idempotencyKey");

    if (!form->native
        && (ngx_http_chatmaid_json_tree_rename(tree, 0, "text", "content")
            != NGX_OK
            || ngx_http_chatmaid_json_tree_rename(tree, 0, "media",
                                                  "mediaUrls")
               != NGX_OK
            || ngx_http_chatmaid_json_tree_rename(tree, 0, "from",
                                                  "fromPhoneId")
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    media = ngx_http_chatmaid_message_member(form, "mediaUrls");

    if (media && ngx_http_chatmaid_message_type(form, media) == '"'
        && ngx_http_chatmaid_json_tree_wrap(tree, 0, "mediaUrls") != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_http_chatmaid_json_write(tree, 0, 1, &canonical);

    if (rc == NGX_ABORT) {
        return ngx_http_chatmaid_problem_set(pool, form->problem,
                                             NGX_HTTP_CHATMAID_BODY_TOO_LARGE,
                                             "the message would take too much "
                                             "memory");
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_crypto_sha256(&canonical, fingerprint);

    if (!tree->numbers) {
        *text = canonical;              /* the two texts are equal */
        return NGX_OK;
    }

    (void) ngx_pfree(pool, canonical.data);

    return ngx_http_chatmaid_json_write(tree, 0, 0, text);
}
