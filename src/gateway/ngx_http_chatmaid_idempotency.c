
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_idempotency.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_digits.h"
#include "ngx_http_chatmaid_request.h"


#define NGX_HTTP_CHATMAID_KEY_MAX      255        /* characters */
#define NGX_HTTP_CHATMAID_KEYLESS_TTL  120000  /* milliseconds, at least */


static ngx_int_t ngx_http_chatmaid_idempotency_unquote(ngx_http_request_t *r,
    ngx_str_t *value, ngx_str_t *key);
static ngx_int_t ngx_http_chatmaid_idempotency_keyless(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_msec_t window);
static ngx_int_t ngx_http_chatmaid_idempotency_random(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation);
static ngx_int_t ngx_http_chatmaid_idempotency_window(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, int64_t number, ngx_str_t *key);
static ngx_int_t ngx_http_chatmaid_idempotency_auto(ngx_http_request_t *r,
    u_char *md, ngx_str_t *key);
static ngx_int_t ngx_http_chatmaid_idempotency_record(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_str_t *key, u_char *id);
static ngx_uint_t ngx_http_chatmaid_idempotency_is_auto(ngx_str_t *key);
static void ngx_http_chatmaid_idempotency_fingerprint(
    ngx_http_chatmaid_idempotency_t *operation, u_char *hex, ngx_str_t *field);
static ngx_int_t ngx_http_chatmaid_idempotency_digest(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_str_t *fields,
    ngx_uint_t n, u_char *md);


static ngx_str_t  ngx_http_chatmaid_idempotency_prefix = ngx_string("auto-");


ngx_int_t
ngx_http_chatmaid_idempotency_header(ngx_http_request_t *r, ngx_str_t *key,
    const char **reason)
{
    ngx_int_t         rc;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static const char  name[] = "idempotency-key";

    ngx_str_null(key);

    part = &r->headers_in.headers.part;

    h = ngx_http_chatmaid_request_header(part, name, NULL);

    if (h == NULL) {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_request_header(part, name, h)) {
        *reason = "must not be repeated";
        return NGX_DECLINED;
    }

    if (h->value.len == 0 || h->value.data[0] != '"') {
        *key = h->value;

    } else {
        rc = ngx_http_chatmaid_idempotency_unquote(r, &h->value, key);

        if (rc != NGX_OK) {
            ngx_str_null(key);
            *reason = "begins like a quoted string, but is none";
            return rc;
        }
    }

    *reason = ngx_http_chatmaid_idempotency_check(key);

    if (*reason) {
        ngx_str_null(key);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* RFC 9651, section 3.3.3: "\" escapes itself and the quote, nothing else. */

static ngx_int_t
ngx_http_chatmaid_idempotency_unquote(ngx_http_request_t *r, ngx_str_t *value,
    ngx_str_t *key)
{
    u_char  *p, *d, *last;

    key->data = ngx_pnalloc(r->pool, value->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    d = key->data;
    last = value->data + value->len;

    for (p = value->data + 1; p < last && *p != '"'; p++) {

        if (*p == '\\') {
            p++;

            if (p == last || (*p != '"' && *p != '\\')) {
                return NGX_DECLINED;
            }
        }

        *d++ = *p;
    }

    key->len = d - key->data;

    return (p == last - 1) ? NGX_OK : NGX_DECLINED;
}


const char *
ngx_http_chatmaid_idempotency_check(ngx_str_t *key)
{
    size_t  i;

    if (key->len == 0) {
        return "must not be empty";
    }

    if (key->len > NGX_HTTP_CHATMAID_KEY_MAX) {
        return "must have at most 255 characters";
    }

    for (i = 0; i < key->len; i++) {
        if (key->data[i] <= ' ' || key->data[i] >= 0x7f) {
            return "must be of visible ASCII characters";
        }
    }

    return NULL;
}


/* A caller whose name space is empty must not get into a shared one. */

ngx_int_t
ngx_http_chatmaid_idempotency_scope(ngx_http_request_t *r,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *scope)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->key_scope == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->key_scope, scope) != NGX_OK) {
        return NGX_ERROR;
    }

    if (scope->len == 0) {
        return ngx_http_chatmaid_problem_set(r->pool, problem,
                                             NGX_HTTP_CHATMAID_SCOPE_DENIED,
                                             "the caller has no idempotency "
                                             "scope here");
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_idempotency_name(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation)
{
    ngx_http_chatmaid_claim_t     *claim;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    claim = operation->claim;

    claim->ttl = conf->ttl;

    if (!operation->keyless) {
        return ngx_http_chatmaid_idempotency_record(r, operation,
                                                    &operation->key,
                                                    claim->id);
    }

    if (conf->idempotency && conf->window) {
        return ngx_http_chatmaid_idempotency_keyless(r, operation,
                                                     conf->window);
    }

    return ngx_http_chatmaid_idempotency_random(r, operation);
}


/*
 * Equal sends of one window have the same key.  A send that comes soon after
 * the window has begun belongs to the record of the window before, if there is
 * one and it began less than a window ago.
 */

static ngx_int_t
ngx_http_chatmaid_idempotency_keyless(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_msec_t window)
{
    int64_t                         now, number;
    ngx_msec_t                      left;
    ngx_http_chatmaid_claim_t      *claim;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    claim = operation->claim;

    now = mcf->store->clock();
    number = now / (int64_t) window;

    if (ngx_http_chatmaid_idempotency_window(r, operation, number,
                                             &operation->key)
        != NGX_OK
        || ngx_http_chatmaid_idempotency_window(r, operation, number - 1,
                                                &operation->previous_key)
           != NGX_OK
        || ngx_http_chatmaid_idempotency_record(r, operation,
                                                &operation->key, claim->id)
           != NGX_OK
        || ngx_http_chatmaid_idempotency_record(r, operation,
                                                &operation->previous_key,
                                                claim->previous_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    left = (ngx_msec_t) ((number + 1) * (int64_t) window - now);

    claim->window = window;
    claim->window_number = number;
    claim->ttl = ngx_max(left + window, NGX_HTTP_CHATMAID_KEYLESS_TTL);

    return NGX_OK;
}


/* A key that no other send has. */

static ngx_int_t
ngx_http_chatmaid_idempotency_random(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation)
{
    u_char  random[NGX_HTTP_CHATMAID_SHA256_LEN];

    if (ngx_http_chatmaid_crypto_random(r->connection->log, random,
                                        sizeof(random))
        != NGX_OK
        || ngx_http_chatmaid_idempotency_auto(r, random, &operation->key)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_idempotency_record(r, operation, &operation->key,
                                                operation->claim->id);
}


static ngx_int_t
ngx_http_chatmaid_idempotency_window(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, int64_t number, ngx_str_t *key)
{
    u_char     md[NGX_HTTP_CHATMAID_SHA256_LEN];
    u_char     fingerprint[NGX_HTTP_CHATMAID_SHA256_HEX];
    u_char     window[NGX_INT64_LEN];
    ngx_str_t  fields[5];

    ngx_str_set(&fields[0], "chatmaid-auto-1");
    ngx_http_chatmaid_idempotency_fingerprint(operation, fingerprint,
                                              &fields[3]);
    fields[4].data = window;
    fields[4].len = ngx_sprintf(window, "%L", number) - window;

    if (ngx_http_chatmaid_idempotency_digest(r, operation, fields, 5, md)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_idempotency_auto(r, md, key);
}


static ngx_int_t
ngx_http_chatmaid_idempotency_auto(ngx_http_request_t *r, u_char *md,
    ngx_str_t *key)
{
    ngx_str_t  prefix = ngx_http_chatmaid_idempotency_prefix;

    key->len = prefix.len + NGX_HTTP_CHATMAID_SHA256_HEX;
    key->data = ngx_pnalloc(r->pool, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(key->data, prefix.data, prefix.len);
    ngx_http_chatmaid_digits_hex(key->data + prefix.len, md,
                                 NGX_HTTP_CHATMAID_SHA256_LEN);

    return NGX_OK;
}


/*
 * Makes the name of a record; the operation key can't be read from it.  If the
 * key has the form of the module's own keys, the fingerprint is part of the
 * name.  So such a key, sent back as a header, names the same record only with
 * the same message, and no caller can choose a key that names the record of
 * another message that was sent without a key.
 */

static ngx_int_t
ngx_http_chatmaid_idempotency_record(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_str_t *key, u_char *id)
{
    u_char      fingerprint[NGX_HTTP_CHATMAID_SHA256_HEX];
    ngx_str_t   fields[5];
    ngx_uint_t  n;

    ngx_str_set(&fields[0], "chatmaid-record-1");
    fields[3] = *key;
    n = 4;

    if (ngx_http_chatmaid_idempotency_is_auto(key)) {
        ngx_str_set(&fields[0], "chatmaid-record-auto-1");
        ngx_http_chatmaid_idempotency_fingerprint(operation, fingerprint,
                                                  &fields[4]);
        n = 5;

        operation->claim->auto_named = 1;
    }

    return ngx_http_chatmaid_idempotency_digest(r, operation, fields, n, id);
}


static ngx_uint_t
ngx_http_chatmaid_idempotency_is_auto(ngx_str_t *key)
{
    size_t     i;
    ngx_str_t  prefix = ngx_http_chatmaid_idempotency_prefix;

    if (key->len != prefix.len + NGX_HTTP_CHATMAID_SHA256_HEX
        || ngx_strncmp(key->data, prefix.data, prefix.len) != 0)
    {
        return 0;
    }

    for (i = prefix.len; i < key->len; i++) {
        if (!((key->data[i] >= '0' && key->data[i] <= '9')
              || (key->data[i] >= 'a' && key->data[i] <= 'f')))
        {
            return 0;
        }
    }

    return 1;
}


void
ngx_http_chatmaid_idempotency_claimed(
    ngx_http_chatmaid_idempotency_t *operation)
{
    if (operation->claim->use_previous) {
        operation->key = operation->previous_key;
    }
}


ngx_int_t
ngx_http_chatmaid_idempotency_derive(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_str_t *key)
{
    u_char     md[NGX_HTTP_CHATMAID_SHA256_LEN];
    u_char     fingerprint[NGX_HTTP_CHATMAID_SHA256_HEX];
    ngx_str_t  fields[5];

    key->len = NGX_HTTP_CHATMAID_SHA256_HEX;
    key->data = ngx_pnalloc(r->pool, NGX_HTTP_CHATMAID_SHA256_HEX);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&fields[0], "chatmaid-1");
    fields[3] = operation->key;
    ngx_http_chatmaid_idempotency_fingerprint(operation, fingerprint,
                                              &fields[4]);

    if (ngx_http_chatmaid_idempotency_digest(r, operation, fields, 5, md)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_digits_hex(key->data, md, NGX_HTTP_CHATMAID_SHA256_LEN);

    return NGX_OK;
}


/* The message's fingerprint in hexadecimal, as one of the fields. */

static void
ngx_http_chatmaid_idempotency_fingerprint(
    ngx_http_chatmaid_idempotency_t *operation, u_char *hex, ngx_str_t *field)
{
    ngx_http_chatmaid_digits_hex(hex, operation->claim->fingerprint,
                                 NGX_HTTP_CHATMAID_SHA256_LEN);

    field->data = hex;
    field->len = NGX_HTTP_CHATMAID_SHA256_HEX;
}


/* The digest of n fields.  The caller sets the first field, a label, and those
 * from the fourth on; account and scope are set here. */

static ngx_int_t
ngx_http_chatmaid_idempotency_digest(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_str_t *fields,
    ngx_uint_t n, u_char *md)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    fields[1] = conf->account;
    fields[2] = operation->key_scope;

    return ngx_http_chatmaid_crypto_sha256_fields(r->pool, fields, n, md);
}
