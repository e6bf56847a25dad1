
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_claim.h"
#include "ngx_http_chatmaid_digits.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


/* What claim.lua calls a state, and the result of the claim. */

typedef struct {
    ngx_str_t                       name;
    ngx_uint_t                      result;
} ngx_http_chatmaid_store_claim_state_t;


static void ngx_http_chatmaid_store_claim_remove_former(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_claim_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static ngx_http_chatmaid_store_claim_state_t *
    ngx_http_chatmaid_store_claim_state(ngx_uint_t error,
    redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_store_claim_is_reply(
    ngx_uint_t result, redisReply *reply);
static void ngx_http_chatmaid_store_claim_read_reply(
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t result, redisReply *reply);
static void ngx_http_chatmaid_store_claim_in_zone(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_claim_remove(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_claim_ignore_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_store_claim_copy_answer(
    ngx_http_chatmaid_claim_t *claim, redisReply *answer);
static void ngx_http_chatmaid_store_claim_fall_back(
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t granted);


static ngx_http_chatmaid_store_claim_state_t
    ngx_http_chatmaid_store_claim_states[] =
{
    { ngx_string("claimed"), NGX_HTTP_CHATMAID_CLAIMED },
    { ngx_string("done"), NGX_HTTP_CHATMAID_DONE },
    { ngx_string("in_flight"), NGX_HTTP_CHATMAID_IN_FLIGHT },
    { ngx_string("reused"), NGX_HTTP_CHATMAID_REUSED },
    { ngx_string("clock"), NGX_HTTP_CHATMAID_CLOCK },
    { ngx_string("foreign"), NGX_HTTP_CHATMAID_FOREIGN },
    { ngx_null_string, 0 }
};


/* By how many milliseconds Redis' clock was ahead of ours when last seen. */

static int64_t  ngx_http_chatmaid_store_claim_ahead;


/* An unfinished record of this nginx takes precedence over Redis. */

ngx_int_t
ngx_http_chatmaid_store_claim(ngx_http_chatmaid_claim_t *claim)
{
    u_char                    *p;
    ngx_int_t                  rc;
    ngx_uint_t                 decided;
    ngx_http_chatmaid_words_t  words;

    ngx_http_chatmaid_store_zone_check(claim);

    if (claim->result != NGX_HTTP_CHATMAID_CLAIMED) {
        return NGX_OK;
    }

    if (claim->former_removed) {
        ngx_http_chatmaid_store_claim_remove_former(claim);
    }

    ngx_http_chatmaid_store_script_begin(&words, claim);

    /* whether a send without a key belongs to the window before */
    decided = (claim->waited || claim->use_previous);

    if (claim->window && !decided) {
        ngx_http_chatmaid_store_script_record(&words, claim,
                                              claim->previous_id);
    }

    ngx_http_chatmaid_store_script_word(&words,
                                        claim->may_be_accepted ? "1" : "0", 1);

    p = words.former_owner;

    if (claim->former_ended) {
        p = ngx_http_chatmaid_digits_hex(p, claim->former_owner,
                                         NGX_HTTP_CHATMAID_OWNER_LEN);
    }

    ngx_http_chatmaid_store_script_word(&words, words.former_owner,
                                        p - words.former_owner);

    ngx_http_chatmaid_store_script_number(&words, decided ? 0 : claim->window);
    ngx_http_chatmaid_store_script_number(&words, claim->window_number);

    claim->asked_at = ngx_current_msec;

    rc = ngx_http_chatmaid_store_script_run_claim(claim,
                                  &ngx_http_chatmaid_store_script_claim, &words,
                                  ngx_http_chatmaid_store_claim_handler);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_chatmaid_store_claim_fall_back(claim, 0);

    return NGX_OK;
}


/* What a claim that was given up, or a delivery that failed, may have left in
 * Redis. */

static void
ngx_http_chatmaid_store_claim_remove_former(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_claim_t  former;

    former = *claim;
    ngx_memcpy(former.owner, claim->former_owner, NGX_HTTP_CHATMAID_OWNER_LEN);

    ngx_http_chatmaid_store_claim_remove(&former);
}


static void
ngx_http_chatmaid_store_claim_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t              *claim = data;
    ngx_http_chatmaid_store_claim_state_t  *state;

    claim->command = NULL;

    state = ngx_http_chatmaid_store_claim_state(error, reply);

    if (state) {
        ngx_http_chatmaid_store_script_log_kept(claim->mcf);
        ngx_http_chatmaid_store_claim_read_reply(claim, state->result, reply);

    } else {
        ngx_http_chatmaid_store_script_log_failed(claim->mcf, error, reply);

        /* a claim that was not refused may be executed yet */

        ngx_http_chatmaid_store_claim_fall_back(claim,
                              error != NGX_HTTP_CHATMAID_REDIS_UNREACHABLE
                              && error != NGX_HTTP_CHATMAID_REDIS_REFUSED
                              && error != NGX_HTTP_CHATMAID_REDIS_ERROR);
    }

    claim->handler(claim->data);
}


/* See claim.lua: {state, now, previous[, maybe or answer, status]}.  NULL: it
 * is no such reply. */

static ngx_http_chatmaid_store_claim_state_t *
ngx_http_chatmaid_store_claim_state(ngx_uint_t error, redisReply *reply)
{
    redisReply                             **element;
    ngx_http_chatmaid_store_claim_state_t   *state;

    if (error != NGX_HTTP_CHATMAID_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
    {
        return NULL;
    }

    element = reply->element;

    if (element[0]->type != REDIS_REPLY_STRING
        || element[1]->type != REDIS_REPLY_INTEGER
        || element[1]->integer < 0
        || element[1]->integer > NGX_HTTP_CHATMAID_STORE_SCRIPT_MAX_TIME
        || element[2]->type != REDIS_REPLY_INTEGER)
    {
        return NULL;
    }

    for (state = ngx_http_chatmaid_store_claim_states;
         state->name.len;
         state++)
    {
        if (element[0]->len == state->name.len
            && ngx_memcmp(element[0]->str, state->name.data, state->name.len)
               == 0)
        {
            return ngx_http_chatmaid_store_claim_is_reply(state->result, reply)
                   ? state : NULL;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_chatmaid_store_claim_is_reply(ngx_uint_t result, redisReply *reply)
{
    ngx_int_t     status;
    redisReply  **element;

    element = reply->element;

    switch (result) {

    case NGX_HTTP_CHATMAID_CLAIMED:
        return reply->elements == 4 && element[3]->type == REDIS_REPLY_STRING
               && element[3]->len == 1;

    case NGX_HTTP_CHATMAID_DONE:

        if (reply->elements != 5 || element[3]->type != REDIS_REPLY_STRING
            || element[4]->type != REDIS_REPLY_STRING)
        {
            return 0;
        }

        status = ngx_atoi((u_char *) element[4]->str, element[4]->len);

        return status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE;

    default:
        return reply->elements == 3;
    }
}


static void
ngx_http_chatmaid_store_claim_read_reply(ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t result, redisReply *reply)
{
    redisReply  **element;

    element = reply->element;

    ngx_http_chatmaid_store_claim_ahead = element[1]->integer
                                     - ngx_http_chatmaid_store_zone.clock();

    claim->store = NGX_HTTP_CHATMAID_STORE_REDIS;
    claim->use_previous |= (element[2]->integer == 1);

    switch (result) {

    case NGX_HTTP_CHATMAID_CLAIMED:
        claim->may_be_accepted |= (element[3]->str[0] != '0');
        claim->taken_over |= claim->may_be_accepted;
        ngx_http_chatmaid_store_claim_in_zone(claim);
        return;

    case NGX_HTTP_CHATMAID_DONE:
        claim->status = ngx_atoi((u_char *) element[4]->str, element[4]->len);
        ngx_http_chatmaid_store_claim_copy_answer(claim, element[3]);
        return;

    case NGX_HTTP_CHATMAID_FOREIGN:

        if (claim->webhook_event) {

            /* its mark is left alone; the zone can still have one */

            ngx_http_chatmaid_store_claim_fall_back(claim, 0);
            return;
        }

        claim->reason = "its record is of another version of the module";
    }

    claim->result = result;
}


/*
 * The zone has to agree with Redis.  If it has no room, or another send of this
 * nginx was faster while Redis was away, the record in Redis is given back.
 */

static void
ngx_http_chatmaid_store_claim_in_zone(ngx_http_chatmaid_claim_t *claim)
{
    (void) ngx_http_chatmaid_store_zone.claim(claim);

    claim->zone_only = 0;
    claim->lease_end = claim->asked_at + claim->lease_time;

    /* an event for which the zone has no room stands in Redis alone */

    if (claim->webhook_event && claim->result == NGX_HTTP_CHATMAID_NO_STORE) {
        claim->result = NGX_HTTP_CHATMAID_CLAIMED;
    }

    if (claim->result != NGX_HTTP_CHATMAID_CLAIMED) {
        ngx_http_chatmaid_store_claim_remove(claim);
        return;
    }

    claim->store = NGX_HTTP_CHATMAID_STORE_REDIS;
}


static void
ngx_http_chatmaid_store_claim_remove(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_words_t  words;

    ngx_http_chatmaid_store_script_begin(&words, claim);

    (void) ngx_http_chatmaid_store_script_run(claim->mcf->redis,
                                &ngx_http_chatmaid_store_script_remove, &words,
                                ngx_http_chatmaid_store_claim_ignore_handler,
                                NULL);
}


static void
ngx_http_chatmaid_store_claim_ignore_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    /* a record that was not removed is free when its lease has run out */
}


static void
ngx_http_chatmaid_store_claim_copy_answer(ngx_http_chatmaid_claim_t *claim,
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

    claim->result = NGX_HTTP_CHATMAID_DONE;

    ngx_http_chatmaid_store_zone_forget(claim);
}


/*
 * Redis does not answer.  It may have got the claim all the same, and other
 * gateways may have sent the message, so it counts as possibly accepted.
 * "granted" tells whether Redis may grant the claim, now or later.
 */

static void
ngx_http_chatmaid_store_claim_fall_back(ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t granted)
{
    claim->store = NGX_HTTP_CHATMAID_STORE_NONE;

    if (claim->waited) {
        claim->result = NGX_HTTP_CHATMAID_LOST;

    } else if (claim->mcf->redis->reject && !claim->webhook_event) {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->redis_away = 1;
        claim->reason = "Redis does not answer";

    } else if (ngx_current_msec - claim->asked_at >= claim->lease_time) {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->redis_away = 1;
        claim->reason = "a lease that it may have had is over";

    } else {
        claim->may_be_accepted = 1;
        claim->zone_only = 1;

        (void) ngx_http_chatmaid_store_zone.claim(claim);
        return;
    }

    /* the claim is given up: it must not hold its record for a whole lease */

    if (granted) {
        ngx_http_chatmaid_store_zone_removed(claim);
    }
}


int64_t
ngx_http_chatmaid_store_claim_clock(void)
{
    return ngx_http_chatmaid_store_zone.clock()
           + ngx_http_chatmaid_store_claim_ahead;
}
