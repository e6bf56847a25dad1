
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The arguments of a query.  The first line is a name, the second a value, the
 * rest the query.
 */


#include "harness.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_wait_query.h"


static ngx_uint_t query_count(ngx_str_t *args, ngx_str_t *wanted);
static void query_check_rename(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *from);
static void query_check_add(ngx_pool_t *pool, ngx_str_t *args,
    ngx_str_t *text);
static void query_check_wait(ngx_http_request_t *r, ngx_str_t *args);


static ngx_str_t  query_other = ngx_string("other-name");
static ngx_str_t  query_wait = ngx_string("wait");
static ngx_str_t  query_until = ngx_string("until");


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t            name, text, args;
    harness_input_t      in;
    ngx_http_request_t  *r;

    r = harness_request("/chatmaid/");
    harness_input(&in, r->pool, data, size);

    name = harness_line(&in);
    text = harness_line(&in);
    args = harness_rest(&in);

    query_check_add(r->pool, &args, &text);

    if (name.len && !ngx_strlchr(name.data, name.data + name.len, '&')
        && !ngx_strlchr(name.data, name.data + name.len, '='))
    {
        query_check_rename(r->pool, &args, &name);
    }

    query_check_wait(r, &args);

    harness_end(r);

    return 0;
}


/* How many arguments have this name, byte for byte; NULL: any. */

static ngx_uint_t
query_count(ngx_str_t *args, ngx_str_t *wanted)
{
    ngx_str_t   rest, name, value;
    ngx_uint_t  n;

    n = 0;
    rest = *args;

    while (ngx_http_chatmaid_query_next(&rest, &name, &value)) {
        n += (wanted == NULL || harness_equal(&name, wanted));

        harness_check(name.data >= args->data
                      && value.data + value.len <= args->data + args->len);
        harness_check(ngx_strlchr(value.data, value.data + value.len, '&')
                      == NULL);

        /* what a value holds, it also is in part */

        (void) ngx_http_chatmaid_query_is(&value, &query_wait);
        harness_check(!ngx_http_chatmaid_query_is(&value, &query_other)
                      || ngx_http_chatmaid_query_holds(&value, '-'));
    }

    return n;
}


static void
query_check_rename(ngx_pool_t *pool, ngx_str_t *args, ngx_str_t *from)
{
    ngx_str_t   renamed;
    ngx_uint_t  before, had;

    renamed = *args;
    before = query_count(args, from);
    had = query_count(args, &query_other);

    harness_check(ngx_http_chatmaid_query_rename(pool, &renamed, from,
                                                 &query_other)
                  == NGX_OK);

    if (!harness_equal(from, &query_other)) {
        harness_check(query_count(&renamed, from) == 0);
        harness_check(query_count(&renamed, &query_other) == had + before);
    }

    harness_check(query_count(&renamed, NULL) == query_count(args, NULL));

    harness_check(renamed.len + before * from->len
                  == args->len + before * query_other.len);
}


/* What was added is there, and is the text. */

static void
query_check_add(ngx_pool_t *pool, ngx_str_t *args, ngx_str_t *text)
{
    ngx_str_t   added, rest, name, value, last;
    ngx_uint_t  before;

    added = *args;
    before = query_count(args, NULL);

    harness_check(ngx_http_chatmaid_query_add(pool, &added, &query_other, text)
                  == NGX_OK);
    harness_check(added.len >= args->len
                  && (args->len == 0
                      || ngx_memcmp(added.data, args->data, args->len) == 0));

    ngx_str_null(&last);
    rest = added;

    while (ngx_http_chatmaid_query_next(&rest, &name, &value)) {
        last = value;
    }

    harness_check(ngx_http_chatmaid_query_is(&last, text));

    /* one that ended in "&" has had an empty argument */

    harness_check(query_count(&added, NULL)
                  == before + 1
                     + (args->len && args->data[args->len - 1] == '&'));
}


static void
query_check_wait(ngx_http_request_t *r, ngx_str_t *args)
{
    ngx_int_t                        rc;
    ngx_str_t                        rest;
    ngx_http_chatmaid_flow_t        *flow;
    ngx_http_chatmaid_reply_t       *reply;
    ngx_http_chatmaid_wait_query_t   query;

    reply = ngx_http_chatmaid_answer_get_reply(r);
    harness_check(reply != NULL);
    flow = ngx_http_chatmaid_flow_create(r, reply);
    harness_check(flow != NULL);

    ngx_memzero(&query, sizeof(query));
    rest = *args;

    rc = ngx_http_chatmaid_wait_query(flow, &rest, &query);

    harness_check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        harness_check(query_count(&rest, &query_wait) == 0);
        harness_check(query_count(&rest, &query_until) == 0);
        harness_check(query.time <= 60000);
        harness_check(query.waits <= 1 && query.untils <= 1);
        harness_check(query.waits || query.time == 0);
    }
}
