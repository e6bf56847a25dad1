
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The operation key in a header, which is the whole input, and what is derived
 * from it.
 */


#include "harness.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_idempotency.h"


static ngx_http_request_t *operation_key_request(void);
static ngx_int_t operation_key_read(const char *why, ngx_str_t *header,
    ngx_str_t *key);
static ngx_uint_t operation_key_expected(ngx_str_t *header, ngx_str_t *key);
static void operation_key_check_names(ngx_str_t *key, u_char other);
static void operation_key_check_keyless(u_char other);
static ngx_str_t operation_key_answered(ngx_str_t *key);


static u_char  operation_key_bytes[4096];


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, "chatmaid_idempotency_scope $http_x_scope;");
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char     expected_bytes[1024], key_bytes[1024];
    ngx_str_t  header, key, again, expected, quoted;

    if (size > 600) {
        return 0;
    }

    header.data = (u_char *) data;
    header.len = size;
    key.data = key_bytes;
    expected.data = expected_bytes;

    if (!operation_key_expected(&header, &expected)) {
        harness_check(operation_key_read("refused", &header, &key)
                      == NGX_DECLINED);
        return 0;
    }

    harness_check(operation_key_read("taken", &header, &key) == NGX_OK);
    harness_check(harness_equal(&key, &expected));

    /* the answer's header names the same operation */

    quoted = operation_key_answered(&key);
    again.data = expected_bytes;

    harness_check(operation_key_read("answered", &quoted, &again) == NGX_OK);
    harness_check(harness_equal(&key, &again));

    operation_key_check_names(&key, data[0]);
    operation_key_check_keyless(data[0]);

    return 0;
}


/* Its caller has a scope. */

static ngx_http_request_t *
operation_key_request(void)
{
    ngx_str_t            scope = ngx_string("fuzz");
    ngx_http_request_t  *r;

    r = harness_request("/chatmaid/");
    harness_header(r, "X-Scope", &scope);

    return r;
}


/* Writes the key to key->data. */

static ngx_int_t
operation_key_read(const char *why, ngx_str_t *header, ngx_str_t *key)
{
    ngx_int_t            rc;
    ngx_str_t            read;
    const char          *reason;
    harness_input_t      in;
    ngx_http_request_t  *r;

    reason = NULL;
    r = harness_request("/chatmaid/");

    harness_input(&in, r->pool, header->data, header->len);
    read = harness_rest(&in);
    harness_header(r, "Idempotency-Key", &read);

    rc = ngx_http_chatmaid_idempotency_header(r, &read, &reason);

    if (rc == NGX_OK) {
        ngx_memcpy(key->data, read.data, read.len);
        key->len = read.len;

        /* there may be one header only */

        harness_header(r, "Idempotency-Key", header);
        harness_check(ngx_http_chatmaid_idempotency_header(r, &read, &reason)
                      == NGX_DECLINED);

    } else {
        harness_check(reason != NULL);
        harness_check(read.len == 0);
    }

    harness_end(r);

    return rc;
}


/* RFC 9651, once more. */

static ngx_uint_t
operation_key_expected(ngx_str_t *header, ngx_str_t *key)
{
    size_t  i, last;

    key->len = 0;
    last = header->len;
    i = 0;

    if (last && header->data[0] == '"') {

        if (last < 2 || header->data[last - 1] != '"') {
            return 0;
        }

        i = 1;
        last--;
    }

    for ( /* void */ ; i < last; i++) {

        if (last != header->len) {

            if (header->data[i] == '"') {
                return 0;
            }

            if (header->data[i] == '\\') {
                if (++i == last || (header->data[i] != '"'
                                    && header->data[i] != '\\'))
                {
                    return 0;
                }
            }
        }

        if (header->data[i] < 0x21 || header->data[i] > 0x7e) {
            return 0;
        }

        key->data[key->len++] = header->data[i];
    }

    return key->len >= 1 && key->len <= 255;
}


/* Other keys, and other messages, have other records and other keys for
 * Chatmaid; the same ones have the same. */

static void
operation_key_check_names(ngx_str_t *key, u_char other)
{
    ngx_str_t                         derived[3];
    ngx_uint_t                        i;
    ngx_http_request_t               *r;
    ngx_http_chatmaid_claim_t         claims[3];
    ngx_http_chatmaid_problem_t       problem;
    ngx_http_chatmaid_idempotency_t   operation;

    r = operation_key_request();

    for (i = 0; i < 3; i++) {
        ngx_memzero(&operation, sizeof(operation));
        ngx_memzero(&claims[i], sizeof(ngx_http_chatmaid_claim_t));

        operation.claim = &claims[i];
        operation.key.len = key->len;
        operation.key.data = ngx_pstrdup(r->pool, key);
        claims[i].fingerprint[0] = other;

        harness_check(ngx_http_chatmaid_idempotency_scope(r, &problem,
                                                        &operation.key_scope)
                      == NGX_OK);

        if (i == 2) {
            operation.key.data[key->len - 1] ^= 1;
        }

        if (key->data[0] & 1) {
            claims[2].fingerprint[31] = 1;
        }

        harness_check(ngx_http_chatmaid_idempotency_name(r, &operation)
                      == NGX_OK);
        harness_check(ngx_http_chatmaid_idempotency_derive(r, &operation,
                                                           &derived[i])
                      == NGX_OK);
        harness_check(derived[i].len == 64);
    }

    harness_check(harness_equal(&derived[0], &derived[1]));
    harness_check(!harness_equal(&derived[0], &derived[2]));
    harness_check(ngx_memcmp(claims[0].id, claims[1].id, 32) == 0);
    harness_check(ngx_memcmp(claims[0].id, claims[2].id, 32) != 0);

    harness_end(r);
}


/* Sends without a key, of a window or each by itself; and without a scope. */

static void
operation_key_check_keyless(u_char other)
{
    ngx_str_t                         first;
    ngx_msec_t                        window;
    ngx_http_request_t               *r;
    ngx_http_chatmaid_claim_t         claim;
    ngx_http_chatmaid_problem_t       problem;
    ngx_http_chatmaid_loc_conf_t     *conf;
    ngx_http_chatmaid_idempotency_t   operation;

    r = operation_key_request();
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    ngx_memzero(&operation, sizeof(operation));
    ngx_memzero(&claim, sizeof(ngx_http_chatmaid_claim_t));
    operation.claim = &claim;
    operation.keyless = 1;
    claim.fingerprint[0] = other;

    harness_check(ngx_http_chatmaid_idempotency_scope(r, &problem,
                                                      &operation.key_scope)
                  == NGX_OK);
    harness_check(ngx_http_chatmaid_idempotency_name(r, &operation) == NGX_OK);
    harness_check(operation.key.len == 5 + 64);
    harness_check(ngx_memcmp(claim.id, claim.previous_id, 32) != 0);

    claim.use_previous = 1;
    ngx_http_chatmaid_idempotency_claimed(&operation);
    harness_check(harness_equal(&operation.key, &operation.previous_key));

    window = conf->window;
    conf->window = 0;

    harness_check(ngx_http_chatmaid_idempotency_name(r, &operation) == NGX_OK);
    first = operation.key;
    harness_check(first.len == 5 + 64);
    harness_check(ngx_http_chatmaid_idempotency_name(r, &operation) == NGX_OK);
    harness_check(!harness_equal(&operation.key, &first));

    conf->window = window;

    harness_end(r);

    r = harness_request("/chatmaid/");
    ngx_memzero(&problem, sizeof(problem));
    harness_check(ngx_http_chatmaid_idempotency_scope(r, &problem,
                                                      &operation.key_scope)
                  == NGX_DECLINED);
    harness_end(r);
}


static ngx_str_t
operation_key_answered(ngx_str_t *key)
{
    u_char                     *p, *last;
    ngx_str_t                  *answer, value;
    ngx_http_request_t         *r;
    ngx_http_chatmaid_reply_t  *reply;

    static const char  name[] = "Idempotency-Key: ";

    r = harness_request("/chatmaid/");
    reply = ngx_http_chatmaid_answer_get_reply(r);
    harness_check(reply != NULL);

    reply->key = key;
    harness_check(ngx_http_chatmaid_answer_empty(r, reply) == NGX_OK);

    answer = harness_answer();
    last = answer->data + answer->len;

    p = ngx_strlcasestrn(answer->data, last, (u_char *) name,
                         sizeof(name) - 2);
    harness_check(p != NULL);

    p += sizeof(name) - 1;
    value.data = operation_key_bytes;
    value.len = ngx_strlchr(p, last, CR) - p;
    ngx_memcpy(value.data, p, value.len);

    harness_end(r);

    return value;
}
