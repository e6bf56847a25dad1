
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_claim.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


static void ngx_http_chatmaid_store_claim_remove_former(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_claim_handler(void *data,
    ngx_uint_t error, redisReply *reply);
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
static void ngx_http_chatmaid_store_claim_fall_back(
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t granted);


/* The replies of claim.lua: {state, now, previous[, answer, status]}.
 * AMBIGUOUS means that the record was claimed, and that an earlier try may have
 * been accepted. */

static ngx_http_chatmaid_store_script_state_t
    ngx_http_chatmaid_store_claim_states[] =
{
    { ngx_string("claimed"), NGX_HTTP_CHATMAID_CLAIMED, 3 },
    { ngx_string("recovered"), NGX_HTTP_CHATMAID_AMBIGUOUS, 3 },
    { ngx_string("done"), NGX_HTTP_CHATMAID_DONE, 5 },
    { ngx_string("in_flight"), NGX_HTTP_CHATMAID_IN_FLIGHT, 3 },
    { ngx_string("reused"), NGX_HTTP_CHATMAID_REUSED, 3 },
    { ngx_string("clock"), NGX_HTTP_CHATMAID_CLOCK, 3 },
    { ngx_string("foreign"), NGX_HTTP_CHATMAID_FOREIGN, 3 },
    { ngx_null_string, 0, 0 }
};


/* By how many milliseconds the clock of Redis was ahead of this machine's clock
 * at the latest reply. */

static int64_t  ngx_http_chatmaid_store_claim_ahead;


/* An unfinished record of this nginx takes precedence over Redis. */

ngx_int_t
ngx_http_chatmaid_store_claim(ngx_http_chatmaid_claim_t *claim)
{
    ngx_int_t                  rc;
    ngx_msec_t                 window;
    ngx_http_chatmaid_words_t  words;

    ngx_http_chatmaid_store_zone_check(claim);

    if (claim->result != NGX_HTTP_CHATMAID_CLAIMED) {
        return NGX_OK;
    }

    if (claim->former_removed) {
        ngx_http_chatmaid_store_claim_remove_former(claim);
    }

    ngx_http_chatmaid_store_script_begin(&words, claim);

    /* not 0 if Redis has to decide to which window the send belongs */
    window = (claim->waited || claim->use_previous) ? 0 : claim->window;

    if (window) {
        ngx_http_chatmaid_store_script_record(&words, claim,
                                              claim->previous_id);
    }

    ngx_http_chatmaid_store_script_owner(&words, claim);
    ngx_http_chatmaid_store_script_fingerprint(&words, claim);
    ngx_http_chatmaid_store_script_lease(&words, claim);
    ngx_http_chatmaid_store_script_word(&words,
                                        claim->may_be_accepted ? "1" : "0", 1);

    if (window || claim->former_ended) {
        ngx_http_chatmaid_store_script_former_owner(&words, claim,
                                                    claim->former_ended);
    }

    if (window) {
        ngx_http_chatmaid_store_script_number(&words, window);
        ngx_http_chatmaid_store_script_number(&words, claim->window_number);
    }

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


/* Removes from Redis what a claim that was given up, or a delivery that failed,
 * may have left there. */

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
    ngx_http_chatmaid_claim_t               *claim = data;
    ngx_http_chatmaid_store_script_state_t  *state;

    claim->command = NULL;

    state = ngx_http_chatmaid_store_script_state(
                            ngx_http_chatmaid_store_claim_states, error, reply);

    if (state && ngx_http_chatmaid_store_claim_is_reply(state->result, reply)) {
        ngx_http_chatmaid_store_script_log_kept(claim->mcf);
        ngx_http_chatmaid_store_claim_read_reply(claim, state->result, reply);

    } else {
        ngx_http_chatmaid_store_script_log_failed(claim->mcf, error, reply);

        /* unless it was refused, Redis may still execute the command */

        ngx_http_chatmaid_store_claim_fall_back(claim,
                              error != NGX_HTTP_CHATMAID_REDIS_UNREACHABLE
                              && error != NGX_HTTP_CHATMAID_REDIS_REFUSED
                              && error != NGX_HTTP_CHATMAID_REDIS_ERROR);
    }

    claim->handler(claim->data);
}


/* Whether the other elements are what claim.lua returns with this result. */

static ngx_uint_t
ngx_http_chatmaid_store_claim_is_reply(ngx_uint_t result, redisReply *reply)
{
    ngx_int_t     status;
    redisReply  **element;

    element = reply->element;

    if (element[2]->type != REDIS_REPLY_INTEGER) {
        return 0;
    }

    if (result == NGX_HTTP_CHATMAID_DONE) {

        if (element[3]->type != REDIS_REPLY_STRING
            || element[4]->type != REDIS_REPLY_STRING)
        {
            return 0;
        }

        status = ngx_atoi((u_char *) element[4]->str, element[4]->len);

        return status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE;
    }

    return 1;
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
    case NGX_HTTP_CHATMAID_AMBIGUOUS:
        claim->may_be_accepted |= (result == NGX_HTTP_CHATMAID_AMBIGUOUS);
        claim->taken_over |= claim->may_be_accepted;
        ngx_http_chatmaid_store_claim_in_zone(claim);
        return;

    case NGX_HTTP_CHATMAID_DONE:
        claim->status = ngx_atoi((u_char *) element[4]->str, element[4]->len);

        if (ngx_http_chatmaid_store_script_take_answer(claim, element[3])
            == NGX_OK)
        {
            ngx_http_chatmaid_store_zone_forget(claim);
        }

        return;

    case NGX_HTTP_CHATMAID_FOREIGN:

        if (claim->webhook_event) {

            /* the mark in Redis is left alone; the zone can still have one */

            ngx_http_chatmaid_store_claim_fall_back(claim, 0);
            return;
        }

        claim->reason = "its record is of another version of the module";
    }

    claim->result = result;
}


/*
 * Redis has granted the record; the zone has to grant it too.  If the zone has
 * no room, or another send of this nginx was faster while Redis was away, the
 * record in Redis is removed again.
 */

static void
ngx_http_chatmaid_store_claim_in_zone(ngx_http_chatmaid_claim_t *claim)
{
    (void) ngx_http_chatmaid_store_zone.claim(claim);

    claim->zone_only = 0;
    claim->lease_end = claim->asked_at + claim->lease_time;

    /* an event for which the zone has no room has a record in Redis only */

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
    ngx_http_chatmaid_store_script_owner(&words, claim);

    (void) ngx_http_chatmaid_store_script_run(claim->mcf->redis,
                                &ngx_http_chatmaid_store_script_remove, &words,
                                ngx_http_chatmaid_store_claim_ignore_handler,
                                NULL);
}


static void
ngx_http_chatmaid_store_claim_ignore_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    /* if this failed, the record becomes free when its lease runs out */
}


/*
 * Redis does not answer.  Other gateways may have sent the message, so it
 * counts as possibly accepted.  "granted" says that Redis may have got the
 * claim, and may grant it now or later.
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

    /* the claim is given up: it must not block its record for a whole lease */

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
