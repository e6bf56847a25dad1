
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_look.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


static void ngx_http_chatmaid_store_look_in_zone(
    ngx_http_chatmaid_claim_t *claim);
static ngx_uint_t ngx_http_chatmaid_store_look_find(
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_store_look_in_redis(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_look_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_store_look_away(ngx_http_chatmaid_claim_t *claim);


/* The replies of look.lua: {state, begun[, answer]}. */

static ngx_http_chatmaid_store_script_state_t
    ngx_http_chatmaid_store_look_states[] =
{
    { ngx_string("none"), NGX_HTTP_CHATMAID_ABSENT, 2 },
    { ngx_string("in_flight"), NGX_HTTP_CHATMAID_IN_FLIGHT, 2 },
    { ngx_string("ambiguous"), NGX_HTTP_CHATMAID_AMBIGUOUS, 2 },
    { ngx_string("done"), NGX_HTTP_CHATMAID_DONE, 3 },
    { ngx_string("foreign"), NGX_HTTP_CHATMAID_FOREIGN, 2 },
    { ngx_null_string, 0, 0 }
};


ngx_int_t
ngx_http_chatmaid_store_look(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_store_look_in_zone(claim);

    return (claim->result == NGX_HTTP_CHATMAID_ABSENT && claim->mcf->redis)
           ? ngx_http_chatmaid_store_look_in_redis(claim) : NGX_OK;
}


/* A check that answers CLAIMED has found no record, or one that a claim could
 * take over: an ambiguous one. */

static void
ngx_http_chatmaid_store_look_in_zone(ngx_http_chatmaid_claim_t *claim)
{
    ngx_uint_t  found;

    do {
        claim->taken_over = 0;
        found = ngx_http_chatmaid_store_look_find(claim);

        ngx_http_chatmaid_store_zone_check(claim);

        /* REUSED: since find() another message's record has taken its place */

    } while (found && claim->result == NGX_HTTP_CHATMAID_REUSED);

    if (claim->result == NGX_HTTP_CHATMAID_CLAIMED) {
        claim->result = claim->taken_over ? NGX_HTTP_CHATMAID_AMBIGUOUS
                                          : NGX_HTTP_CHATMAID_ABSENT;
    }
}


/* Reads the fingerprint, which check() compares.  Returns 0 if there is no
 * record. */

static ngx_uint_t
ngx_http_chatmaid_store_look_find(ngx_http_chatmaid_claim_t *claim)
{
    ngx_uint_t                   found;
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_find(zone, claim->id);
    found = (rec && rec->state != NGX_HTTP_CHATMAID_RECORD_REMOVED);

    if (found) {
        ngx_memcpy(claim->fingerprint, rec->fingerprint,
                   NGX_HTTP_CHATMAID_ID_LEN);

        claim->begun = ngx_http_chatmaid_store_zone.clock()
                       - (ngx_msec_int_t) (ngx_current_msec - rec->begun);
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return found;
}


static ngx_int_t
ngx_http_chatmaid_store_look_in_redis(ngx_http_chatmaid_claim_t *claim)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_words_t  words;

    words.n = 0;
    words.nkeys = 0;

    ngx_http_chatmaid_store_script_record(&words, claim, claim->id);

    ngx_http_chatmaid_store_script_former_owner(&words, claim,
                                                claim->former_removed);

    rc = ngx_http_chatmaid_store_script_run_claim(claim,
                                   &ngx_http_chatmaid_store_script_look, &words,
                                   ngx_http_chatmaid_store_look_handler);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_chatmaid_store_look_away(claim);

    return NGX_OK;
}


static void
ngx_http_chatmaid_store_look_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t *claim = data;

    ngx_http_chatmaid_store_script_state_t  *state;

    claim->command = NULL;

    state = ngx_http_chatmaid_store_script_state(
                             ngx_http_chatmaid_store_look_states, error, reply);

    if (state == NULL
        || (state->result == NGX_HTTP_CHATMAID_DONE
            && reply->element[2]->type != REDIS_REPLY_STRING))
    {
        ngx_http_chatmaid_store_look_away(claim);

    } else {
        claim->store = NGX_HTTP_CHATMAID_STORE_REDIS;
        claim->result = state->result;
        claim->begun = reply->element[1]->integer;

        if (state->result == NGX_HTTP_CHATMAID_DONE) {
            (void) ngx_http_chatmaid_store_script_take_answer(claim,
                                                            reply->element[2]);
        }
    }

    claim->handler(claim->data);
}


/* Whatever "fallback" says, only Redis knows whether another gateway has such a
 * record. */

static void
ngx_http_chatmaid_store_look_away(ngx_http_chatmaid_claim_t *claim)
{
    claim->store = NGX_HTTP_CHATMAID_STORE_NONE;
    claim->result = NGX_HTTP_CHATMAID_NO_STORE;
    claim->reason = "Redis does not answer";
}
