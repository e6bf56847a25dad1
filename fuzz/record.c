
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the store takes from a record in Redis.  The first byte chooses what is
 * asked for; each further line is an element of the array that the script
 * returns: ":" begins a number, "-" an error, anything else is a string.
 */


#include "redis_server.h"
#include "ngx_http_chatmaid_store_claim.h"
#include "ngx_http_chatmaid_store_look.h"


static ngx_str_t record_reply(ngx_pool_t *pool, harness_input_t *in);
static void record_init(ngx_http_chatmaid_claim_t *claim, ngx_pool_t *pool,
    u_char how);
static void record_handler(void *data);
static void record_check(ngx_http_chatmaid_claim_t *claim, u_char how);


static ngx_http_chatmaid_main_conf_t  *record_conf;


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    ngx_http_conf_ctx_t  *main;

    redis_server_start();

    main = (ngx_http_conf_ctx_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                                ngx_http_module);
    record_conf = main->main_conf[ngx_http_chatmaid_module.ctx_index];

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                      how;
    ngx_int_t                   rc;
    ngx_str_t                   reply;
    ngx_pool_t                 *pool;
    ngx_uint_t                  called, turn;
    harness_input_t             in;
    ngx_http_chatmaid_claim_t   claim;

    if (size > 4096) {
        return 0;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);
    harness_check(pool != NULL);

    harness_input(&in, pool, data, size);
    how = harness_byte(&in);
    reply = record_reply(pool, &in);

    (void) redis_server_connected();

    record_init(&claim, pool, how);
    called = 0;
    claim.data = &called;

    rc = (how & 1) ? ngx_http_chatmaid_store_look(&claim)
                   : record_conf->store->claim(&claim);

    if (rc == NGX_AGAIN) {

        redis_server_send(&reply, reply.len, how & 2);

        for (turn = 0; turn < 4 && !called; turn++) {
            harness_skip(61000);
            harness_run();
        }

        harness_check(called == 1);
    }

    record_check(&claim, how);

    if (!(how & 1) && claim.result == NGX_HTTP_CHATMAID_CLAIMED) {

        /* it leaves the zone as it was */

        claim.may_be_accepted = 0;
        claim.taken_over = 0;

        if (how & 4) {
            ngx_str_set(&claim.answer, "{}");
            claim.status = 201;
            rc = record_conf->store->finish(&claim);

        } else {
            rc = record_conf->store->remove(&claim);
        }

        ngx_str_set(&reply, "*2" CRLF "$2" CRLF "ok" CRLF ":1" CRLF);
        redis_server_send(&reply, reply.len, 0);
    }

    record_conf->store->abandon(&claim);

    /* a command that nothing answered must not get the next input's reply */

    harness_skip(61000);
    harness_run();

    ngx_destroy_pool(pool);

    return 0;
}


static ngx_str_t
record_reply(ngx_pool_t *pool, harness_input_t *in)
{
    u_char      *p;
    ngx_str_t    text, line, lines[16];
    ngx_uint_t   i, n;

    for (n = 0; n < 16 && in->pos < in->last; n++) {
        lines[n] = harness_line(in);
    }

    text.data = ngx_pnalloc(pool, 8192 + 16 * 64);
    harness_check(text.data != NULL);

    p = ngx_sprintf(text.data, "*%ui" CRLF, n);

    for (i = 0; i < n; i++) {
        line = lines[i];

        if (line.len && (line.data[0] == ':' || line.data[0] == '-')) {
            p = ngx_sprintf(p, "%V" CRLF, &line);

        } else {
            p = ngx_sprintf(p, "$%uz" CRLF "%V" CRLF, line.len, &line);
        }
    }

    text.len = p - text.data;

    return text;
}


static void
record_init(ngx_http_chatmaid_claim_t *claim, ngx_pool_t *pool, u_char how)
{
    static u_char  number[4];

    ngx_memzero(claim, sizeof(ngx_http_chatmaid_claim_t));

    /* mostly another record: the zone keeps what is done */

    if (!(how & 128) && ++number[0] == 0 && ++number[1] == 0) {
        number[2]++;
    }

    ngx_memcpy(claim->id, number, sizeof(number));
    ngx_memcpy(claim->previous_id, number, sizeof(number));
    claim->previous_id[31] = 1;
    claim->fingerprint[0] = how;
    ngx_memcpy(claim->owner, number, sizeof(number));

    claim->ttl = 3600000;
    claim->lease_time = 8000;
    claim->pool = pool;
    claim->mcf = record_conf;
    claim->handler = record_handler;

    if (how & 8) {
        claim->window = 120000;
        claim->window_number = 1;
    }

    claim->webhook_event = !!(how & 16);
    claim->waited = !!(how & 32);
    claim->former_ended = !!(how & 64);
    claim->former_removed = !!(how & 64);
}


static void
record_handler(void *data)
{
    ngx_uint_t *called = data;

    (*called)++;
}


static void
record_check(ngx_http_chatmaid_claim_t *claim, u_char how)
{
    harness_check(claim->result <= NGX_HTTP_CHATMAID_AMBIGUOUS);

    if (!(how & 1)) {
        harness_check(claim->result != NGX_HTTP_CHATMAID_ABSENT
                      && claim->result != NGX_HTTP_CHATMAID_AMBIGUOUS);
    }

    /* without a record that says so there is no answer */

    harness_check((claim->result == NGX_HTTP_CHATMAID_DONE)
                  || claim->answer.len == 0);

    if (claim->result == NGX_HTTP_CHATMAID_DONE && !(how & 1)) {
        harness_check(claim->status >= 200 && claim->status <= 299);
    }

    if (claim->result == NGX_HTTP_CHATMAID_NO_STORE) {
        harness_check(claim->reason != NULL);
    }

    if (claim->waited && claim->store == NGX_HTTP_CHATMAID_STORE_NONE
        && !(how & 1))
    {
        harness_check(claim->result != NGX_HTTP_CHATMAID_CLAIMED);
    }
}
