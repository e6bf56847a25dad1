
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_look.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


/* What look.lua calls a state. */

typedef struct {
    ngx_str_t                       name;
    ngx_uint_t                      result;
    ngx_uint_t                      elements;     /* of the reply */
} ngx_http_chatmaid_store_look_state_t;


static void ngx_http_chatmaid_store_look_in_zone(
    ngx_http_chatmaid_claim_t *claim);
static ngx_uint_t ngx_http_chatmaid_store_look_find(
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_store_look_in_redis(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_look_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_http_chatmaid_store_look_state_t *
    ngx_http_chatmaid_store_look_state(ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_store_look_copy_answer(
    ngx_http_chatmaid_claim_t *claim, redisReply *answer);
static void ngx_http_chatmaid_store_look_away(ngx_http_chatmaid_claim_t *claim);


static ngx_http_chatmaid_store_look_state_t
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


/* A claim that may take the record finds it ambiguous, or finds none. */

static void
ngx_http_chatmaid_store_look_in_zone(ngx_http_chatmaid_claim_t *claim)
{
    ngx_uint_t  found;

    do {
        claim->taken_over = 0;
        found = ngx_http_chatmaid_store_look_find(claim);

        ngx_http_chatmaid_store_zone_check(claim);

        /* reused: another message's record has just taken its place */

    } while (found && claim->result == NGX_HTTP_CHATMAID_REUSED);

    if (claim->result == NGX_HTTP_CHATMAID_CLAIMED) {
        claim->result = claim->taken_over ? NGX_HTTP_CHATMAID_AMBIGUOUS
                                          : NGX_HTTP_CHATMAID_ABSENT;
    }
}


/* Learns the fingerprint by which the record can be asked for. */

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

    ngx_hex_dump(words.former_owner, claim->former_owner,
                 NGX_HTTP_CHATMAID_OWNER_LEN);
    ngx_http_chatmaid_store_script_word(&words, words.former_owner,
                                        claim->former_removed
                                        ? sizeof(words.former_owner) : 0);

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
    ngx_http_chatmaid_claim_t             *claim = data;
    ngx_http_chatmaid_store_look_state_t  *state;

    claim->command = NULL;

    state = ngx_http_chatmaid_store_look_state(error, reply);

    if (state == NULL) {
        ngx_http_chatmaid_store_look_away(claim);

    } else {
        claim->store = NGX_HTTP_CHATMAID_STORE_REDIS;
        claim->result = state->result;
        claim->begun = reply->element[1]->integer;

        if (state->result == NGX_HTTP_CHATMAID_DONE) {
            ngx_http_chatmaid_store_look_copy_answer(claim, reply->element[2]);
        }
    }

    claim->handler(claim->data);
}


/* See look.lua: {state, begun[, answer]}.  NULL: it is no such reply. */

static ngx_http_chatmaid_store_look_state_t *
ngx_http_chatmaid_store_look_state(ngx_uint_t error, redisReply *reply)
{
    redisReply                            **element;
    ngx_http_chatmaid_store_look_state_t   *state;

    if (error != NGX_HTTP_CHATMAID_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2)
    {
        return NULL;
    }

    element = reply->element;

    if (element[0]->type != REDIS_REPLY_STRING
        || element[1]->type != REDIS_REPLY_INTEGER
        || element[1]->integer < 0
        || element[1]->integer > NGX_HTTP_CHATMAID_STORE_SCRIPT_MAX_TIME
        || (reply->elements > 2 && element[2]->type != REDIS_REPLY_STRING))
    {
        return NULL;
    }

    for (state = ngx_http_chatmaid_store_look_states;
         state->name.len;
         state++)
    {
        if (element[0]->len == state->name.len
            && ngx_memcmp(element[0]->str, state->name.data, state->name.len)
               == 0)
        {
            return (reply->elements == state->elements) ? state : NULL;
        }
    }

    return NULL;
}


static void
ngx_http_chatmaid_store_look_copy_answer(ngx_http_chatmaid_claim_t *claim,
    redisReply *answer)
{
    claim->answer.len = answer->len;
    claim->answer.data = ngx_pnalloc(claim->pool, answer->len);

    if (claim->answer.data == NULL) {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->reason = "there is no memory";
        return;
    }

    ngx_memcpy(claim->answer.data, answer->str, answer->len);
}


/* Whether there is a record nobody else can say, with any fallback: another
 * gateway may have it. */

static void
ngx_http_chatmaid_store_look_away(ngx_http_chatmaid_claim_t *claim)
{
    claim->store = NGX_HTTP_CHATMAID_STORE_NONE;
    claim->result = NGX_HTTP_CHATMAID_NO_STORE;
    claim->reason = "Redis does not answer";
}
