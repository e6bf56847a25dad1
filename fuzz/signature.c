
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The X-Chatmaid-Signature header: the first line is the header, the rest the
 * body.  "%" in the header stands for the signature that would be right.
 */


#include "harness.h"
#include "ngx_http_chatmaid_webhook_signature.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>


static ngx_array_t *signature_secrets(ngx_http_request_t *r);
static void signature_right(ngx_str_t *t, ngx_str_t *body, u_char *hex);
static ngx_str_t signature_fill(ngx_http_request_t *r, ngx_str_t *header,
    ngx_str_t *body);
static ngx_uint_t signature_expected(ngx_str_t *header, ngx_str_t *t,
    ngx_uint_t *right, ngx_str_t *body);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t                               rc;
    ngx_str_t                               line, header, body, t;
    ngx_uint_t                              right;
    const char                             *reason;
    harness_input_t                         in;
    ngx_http_request_t                     *r;
    ngx_http_chatmaid_webhook_signature_t   signature;

    r = harness_request("/webhook");
    harness_input(&in, r->pool, data, size);

    line = harness_line(&in);
    body = harness_rest(&in);
    header = signature_fill(r, &line, &body);

    harness_body(r, &body);

    reason = NULL;
    rc = ngx_http_chatmaid_webhook_signature_parse(&header, &signature,
                                                   &reason);

    if (signature_expected(&header, &t, &right, &body)) {
        harness_check(rc == NGX_OK);
        harness_check(harness_equal(&signature.t, &t));
        harness_check(signature.n > 0 && signature.n <= 8);
        harness_check(signature.time == strtoll(harness_text(r->pool, &t),
                                                NULL, 10));

        rc = ngx_http_chatmaid_webhook_signature_check(r, &signature,
                                                       signature_secrets(r));

        harness_check(rc == (right ? NGX_OK : NGX_DECLINED));

    } else {
        harness_check(rc == NGX_DECLINED);
        harness_check(reason != NULL);
    }

    harness_end(r);

    return 0;
}


static ngx_array_t *
signature_secrets(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    harness_check(conf->webhook_secrets != NULL);

    return conf->webhook_secrets;
}


static void
signature_right(ngx_str_t *t, ngx_str_t *body, u_char *hex)
{
    u_char        *text, md[EVP_MAX_MD_SIZE];
    ngx_uint_t     i;
    unsigned int   len;

    static const char  secret[] = "whsec_fuzz";

    text = ngx_alloc(t->len + 1 + body->len, ngx_cycle->log);
    harness_check(text != NULL);

    ngx_memcpy(text, t->data, t->len);
    text[t->len] = '.';
    ngx_memcpy(text + t->len + 1, body->data, body->len);

    HMAC(EVP_sha256(), secret, sizeof(secret) - 1, text,
         t->len + 1 + body->len, md, &len);

    for (i = 0; i < len; i++) {
        sprintf((char *) hex + 2 * i, "%02x", md[i]);
    }

    ngx_free(text);
}


/* The time that is signed is what stands between "t=" and a comma. */

static ngx_str_t
signature_fill(ngx_http_request_t *r, ngx_str_t *header, ngx_str_t *body)
{
    u_char      *p, *d, *last, hex[2 * EVP_MAX_MD_SIZE + 1];
    ngx_str_t    t, filled;
    ngx_uint_t   n;

    last = header->data + header->len;

    ngx_str_set(&t, "1");

    for (p = header->data; last - p >= 2; p++) {
        if (p[0] == 't' && p[1] == '=') {
            t.data = p + 2;
            t.len = 0;

            while (t.data + t.len < last && t.data[t.len] != ',') {
                t.len++;
            }

            break;
        }
    }

    signature_right(&t, body, hex);

    for (n = 0, p = header->data; p < last; p++) {
        n += (*p == '%');
    }

    filled.data = ngx_pnalloc(r->pool, header->len + 63 * n);
    harness_check(filled.data != NULL);

    for (d = filled.data, p = header->data; p < last; p++) {
        if (*p == '%') {
            d = ngx_cpymem(d, hex, 64);

        } else {
            *d++ = *p;
        }
    }

    filled.len = d - filled.data;

    return filled;
}


/* What the documents say, by another way: whether the header is well-formed,
 * its t, and whether one of its v1 is right. */

static ngx_uint_t
signature_expected(ngx_str_t *header, ngx_str_t *t, ngx_uint_t *right,
    ngx_str_t *body)
{
    size_t      from, to, end, i, at;
    u_char     *h, hex[2 * EVP_MAX_MD_SIZE + 1];
    ngx_uint_t  pass, times, all, good;

    h = header->data;
    times = all = good = 0;
    *right = 0;
    ngx_str_null(t);

    for (pass = 0; pass < 2; pass++) {

        for (from = 0; from < header->len; from = end + 1) {

            for (end = from; end < header->len && h[end] != ','; end++) { }

            to = end;

            while (from < to && (h[from] == ' ' || h[from] == '\t')) {
                from++;
            }

            while (from < to && (h[to - 1] == ' ' || h[to - 1] == '\t')) {
                to--;
            }

            if (pass == 0 && to - from >= 2 && h[from] == 't'
                && h[from + 1] == '=')
            {
                times++;
                t->data = h + from + 2;
                t->len = to - from - 2;

            } else if (to - from >= 3 && h[from] == 'v' && h[from + 1] == '1'
                       && h[from + 2] == '=')
            {
                at = from + 3;

                for (i = at; i < to && isxdigit(h[i]); i++) { }

                if (pass == 0) {
                    all++;
                    good += (i == to && to - at == 64);

                } else if (i == to && to - at == 64
                           && ngx_strncasecmp(h + at, hex, 64) == 0)
                {
                    *right = 1;
                }
            }
        }

        if (pass == 0) {

            if (times != 1 || t->len < 1 || t->len > 15 || t->data[0] == '0'
                || all > 8 || good == 0)
            {
                return 0;
            }

            for (i = 0; i < t->len; i++) {
                if (!isdigit(t->data[i])) {
                    return 0;
                }
            }

            signature_right(t, body, hex);
        }
    }

    return 1;
}
