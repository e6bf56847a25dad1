
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_redis.h"
#include "ngx_http_chatmaid_store_claim.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


static void ngx_http_chatmaid_store_redis_renew(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_renew_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_store_redis_finish(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_finish_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_store_redis_mark_ambiguous(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_mark_ambiguous_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_store_redis_remove(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_remove_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_store_redis_not_removed(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_flush_event(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_abandon(
    ngx_http_chatmaid_claim_t *claim);


ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_redis = {
    ngx_http_chatmaid_store_claim,
    ngx_http_chatmaid_store_redis_renew,
    ngx_http_chatmaid_store_redis_finish,
    ngx_http_chatmaid_store_redis_mark_ambiguous,
    ngx_http_chatmaid_store_redis_remove,
    ngx_http_chatmaid_store_redis_abandon,
    ngx_http_chatmaid_store_claim_clock
};


/* The record in the zone is renewed for as long as the send lasts.  Whether
 * further tries may begin depends on the lease in Redis, so claim->lease_end
 * stays the end of that lease. */

static void
ngx_http_chatmaid_store_redis_renew(ngx_http_chatmaid_claim_t *claim)
{
    ngx_msec_t                 lease_end;
    ngx_http_chatmaid_words_t  words;

    lease_end = claim->lease_end;

    ngx_http_chatmaid_store_zone.renew(claim);

    if (claim->zone_only) {
        return;
    }

    claim->lease_end = lease_end;

    if (claim->renew_command
        || (ngx_msec_int_t) (lease_end - ngx_current_msec) <= 0)
    {
        return;
    }

    claim->asked_at = ngx_current_msec;

    ngx_http_chatmaid_store_script_begin(&words, claim);
    ngx_http_chatmaid_store_script_owner(&words, claim);
    ngx_http_chatmaid_store_script_lease(&words, claim);

    claim->renew_command = ngx_http_chatmaid_store_script_run(
                                  claim->mcf->redis,
                                  &ngx_http_chatmaid_store_script_renew, &words,
                                  ngx_http_chatmaid_store_redis_renew_handler,
                                  claim);
}


static void
ngx_http_chatmaid_store_redis_renew_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t  *claim = data;

    claim->renew_command = NULL;

    switch (ngx_http_chatmaid_store_script_result(error, reply)) {

    case 1:
        claim->lease_end = claim->asked_at + claim->lease_time;
        return;

    case 0:
        claim->lease_end = ngx_current_msec;    /* another owner has it */
    }
}


static ngx_int_t
ngx_http_chatmaid_store_redis_finish(ngx_http_chatmaid_claim_t *claim)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_words_t  words;

    if (claim->webhook_event) {
        ngx_http_chatmaid_store_zone_mark_delivered(claim);
    }

    ngx_http_chatmaid_store_script_begin(&words, claim);
    ngx_http_chatmaid_store_script_fingerprint(&words, claim);
    ngx_http_chatmaid_store_script_number(&words, claim->ttl);
    ngx_http_chatmaid_store_script_word(&words, claim->answer.data,
                                        claim->answer.len);
    ngx_http_chatmaid_store_script_number(&words, claim->status);

    rc = ngx_http_chatmaid_store_script_run_claim(claim,
                                 &ngx_http_chatmaid_store_script_finish, &words,
                                 ngx_http_chatmaid_store_redis_finish_handler);

    if (rc == NGX_AGAIN) {
        ngx_http_chatmaid_store_redis_flush_event(claim);
        return NGX_AGAIN;
    }

    (void) ngx_http_chatmaid_store_zone.finish(claim);
    ngx_http_chatmaid_store_zone_untold(claim);

    return NGX_OK;
}


static void
ngx_http_chatmaid_store_redis_finish_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t  *claim = data;

    ngx_uint_t  recorded;

    claim->command = NULL;

    recorded = (ngx_http_chatmaid_store_script_result(error, reply)
                != NGX_ERROR);

    /* a record that began without Redis stays in the zone too: not all workers
     * may have Redis back yet, and it may soon be away again */

    if (!recorded || claim->zone_only) {
        (void) ngx_http_chatmaid_store_zone.finish(claim);
    }

    if (recorded) {
        ngx_http_chatmaid_store_zone_forget(claim);
        claim->rc = NGX_OK;

    } else {
        ngx_http_chatmaid_store_zone_untold(claim);
        ngx_http_chatmaid_store_script_log_failed(claim->mcf, error, reply);
    }

    claim->handler(claim->data);
}


static ngx_int_t
ngx_http_chatmaid_store_redis_mark_ambiguous(ngx_http_chatmaid_claim_t *claim)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_words_t  words;

    (void) ngx_http_chatmaid_store_zone.mark_ambiguous(claim);

    ngx_http_chatmaid_store_script_begin(&words, claim);
    ngx_http_chatmaid_store_script_owner(&words, claim);
    ngx_http_chatmaid_store_script_fingerprint(&words, claim);
    ngx_http_chatmaid_store_script_number(&words, claim->ttl);

    rc = ngx_http_chatmaid_store_script_run_claim(claim,
                         &ngx_http_chatmaid_store_script_mark_ambiguous, &words,
                         ngx_http_chatmaid_store_redis_mark_ambiguous_handler);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_chatmaid_store_zone_untold(claim);

    return NGX_OK;
}


static void
ngx_http_chatmaid_store_redis_mark_ambiguous_handler(void *data,
    ngx_uint_t error, redisReply *reply)
{
    ngx_http_chatmaid_claim_t  *claim = data;

    claim->command = NULL;

    if (ngx_http_chatmaid_store_script_result(error, reply) != NGX_ERROR) {
        ngx_http_chatmaid_store_zone_confirmed(claim);

    } else {
        ngx_http_chatmaid_store_zone_untold(claim);
    }

    claim->handler(claim->data);
}


static ngx_int_t
ngx_http_chatmaid_store_redis_remove(ngx_http_chatmaid_claim_t *claim)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_words_t  words;

    claim->rc = NGX_DECLINED;

    if (!claim->webhook_event
        && (claim->may_be_accepted
            || (ngx_msec_int_t) (claim->lease_end - ngx_current_msec) <= 0))
    {
        return ngx_http_chatmaid_store_redis_mark_ambiguous(claim);
    }

    if (claim->webhook_event) {
        (void) ngx_http_chatmaid_store_zone.remove(claim);
    }

    ngx_http_chatmaid_store_script_begin(&words, claim);
    ngx_http_chatmaid_store_script_owner(&words, claim);

    rc = ngx_http_chatmaid_store_script_run_claim(claim,
                                 &ngx_http_chatmaid_store_script_remove, &words,
                                 ngx_http_chatmaid_store_redis_remove_handler);

    if (rc == NGX_AGAIN) {
        ngx_http_chatmaid_store_redis_flush_event(claim);
        return NGX_AGAIN;
    }

    ngx_http_chatmaid_store_redis_not_removed(claim);

    return NGX_OK;
}


static void
ngx_http_chatmaid_store_redis_remove_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t  *claim = data;

    claim->command = NULL;

    switch (ngx_http_chatmaid_store_script_result(error, reply)) {

    case 1:
        (void) ngx_http_chatmaid_store_zone.remove(claim);
        break;

    case 0:
        (void) ngx_http_chatmaid_store_zone.mark_ambiguous(claim);
        ngx_http_chatmaid_store_zone_confirmed(claim);
        break;

    default:
        ngx_http_chatmaid_store_redis_not_removed(claim);
    }

    claim->handler(claim->data);
}


/* Redis could not be told.  The record of a send becomes ambiguous; the record
 * of an event has already been removed from the zone. */

static void
ngx_http_chatmaid_store_redis_not_removed(ngx_http_chatmaid_claim_t *claim)
{
    if (claim->webhook_event) {
        ngx_http_chatmaid_store_zone_removed(claim);
        return;
    }

    (void) ngx_http_chatmaid_store_zone.mark_ambiguous(claim);
    ngx_http_chatmaid_store_zone_untold(claim);
}


/* The sender is answered next.  If it then repeats the event at another
 * gateway, that gateway's command must not reach Redis before this one. */

static void
ngx_http_chatmaid_store_redis_flush_event(ngx_http_chatmaid_claim_t *claim)
{
    if (claim->webhook_event) {
        ngx_http_chatmaid_redis_flush(
                            ngx_http_chatmaid_redis_get(claim->mcf->redis));
    }
}


static void
ngx_http_chatmaid_store_redis_abandon(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(claim->mcf->redis);

    if (claim->command) {
        ngx_http_chatmaid_redis_cancel(redis, claim->command);
        claim->command = NULL;
    }

    if (claim->renew_command) {
        ngx_http_chatmaid_redis_cancel(redis, claim->renew_command);
        claim->renew_command = NULL;
    }

    if (claim->retained) {
        claim->retained = 0;
        ngx_http_chatmaid_redis_release(redis);
    }
}
