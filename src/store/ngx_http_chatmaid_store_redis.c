
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_redis.h"
#include "ngx_http_chatmaid_notes.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


static ngx_int_t ngx_http_chatmaid_store_redis_claim(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_claimed(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_store_redis_is_verdict(ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_store_redis_judge(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim, redisReply *reply);
static void ngx_http_chatmaid_store_redis_own(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_ignored(void *data, ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_store_redis_done(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim, redisReply *answer);
static void ngx_http_chatmaid_store_redis_away(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_renew(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_renewed(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_int_t ngx_http_chatmaid_store_redis_finish(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_finished(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_int_t ngx_http_chatmaid_store_redis_ambiguous(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_marked(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_int_t ngx_http_chatmaid_store_redis_remove(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_redis_removed(void *data, ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_store_redis_abandon(void *store,
    ngx_http_chatmaid_claim_t *claim);
static int64_t ngx_http_chatmaid_store_redis_clock(void *store);
static ngx_int_t ngx_http_chatmaid_store_redis_run(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_redis_script_t *script, ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_redis_pt handler);


ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_redis = {
    ngx_http_chatmaid_store_redis_claim,
    ngx_http_chatmaid_store_redis_renew,
    ngx_http_chatmaid_store_redis_finish,
    ngx_http_chatmaid_store_redis_ambiguous,
    ngx_http_chatmaid_store_redis_remove,
    ngx_http_chatmaid_store_redis_abandon,
    ngx_http_chatmaid_store_redis_clock,
    ngx_http_chatmaid_notes_leave,
    ngx_http_chatmaid_notes_look
};


/* How much Redis' clock is ahead of ours, in milliseconds, when last asked. */

static int64_t  ngx_http_chatmaid_store_redis_ahead;


/* What this nginx has unfinished comes first; else Redis decides. */

static ngx_int_t
ngx_http_chatmaid_store_redis_claim(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_main_conf_t *mcf = store;

    ngx_int_t                   rc;
    ngx_uint_t                  decided;
    ngx_http_chatmaid_words_t   words;

    claim->store = mcf;

    ngx_http_chatmaid_store_zone_look(mcf->zone, claim);

    if (claim->result != NGX_HTTP_CHATMAID_CLAIMED) {
        return NGX_OK;
    }

    ngx_http_chatmaid_store_script_begin(&words, mcf->redis, claim);

    /* whether a keyless send is one of the window before */
    decided = (claim->waited || claim->use_previous);

    if (claim->window && !decided) {
        ngx_http_chatmaid_store_script_record(&words, mcf->redis, claim,
                                              claim->previous);
    }

    ngx_http_chatmaid_store_script_word(&words, claim->may_be_accepted ? "1" : "0", 1);

    ngx_hex_dump(words.former, claim->former, NGX_HTTP_CHATMAID_OWNER_LEN);
    ngx_http_chatmaid_store_script_word(&words, words.former,
                                        claim->ended ? sizeof(words.former) : 0);

    ngx_http_chatmaid_store_script_number(&words, decided ? 0 : claim->window);
    ngx_http_chatmaid_store_script_number(&words, claim->number);

    claim->asked = ngx_current_msec;

    rc = ngx_http_chatmaid_store_redis_run(mcf, claim,
                                           &ngx_http_chatmaid_claim_script, &words,
                                           ngx_http_chatmaid_store_redis_claimed);

    if (rc == NGX_AGAIN) {
        return rc;
    }

    ngx_http_chatmaid_store_redis_away(mcf, claim);

    return NGX_OK;
}


static void
ngx_http_chatmaid_store_redis_claimed(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t *claim = data;

    claim->command = NULL;

    if (ngx_http_chatmaid_store_redis_is_verdict(error, reply)) {
        ngx_http_chatmaid_store_redis_judge(claim->store, claim, reply);

    } else {
        ngx_http_chatmaid_store_redis_complain(error, reply);
        ngx_http_chatmaid_store_redis_away(claim->store, claim);
    }

    claim->handler(claim);
}


/* {word, now, previous[, maybe or answer, status]} */

static ngx_uint_t
ngx_http_chatmaid_store_redis_is_verdict(ngx_uint_t error, redisReply *reply)
{
    redisReply  **element;

    if (error != NGX_HTTP_CHATMAID_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements < 3)
    {
        return 0;
    }

    element = reply->element;

    if (element[0]->type != REDIS_REPLY_STRING
        || element[1]->type != REDIS_REPLY_INTEGER
        || element[2]->type != REDIS_REPLY_INTEGER)
    {
        return 0;
    }

    if (ngx_strcmp(element[0]->str, "claimed") == 0) {
        return reply->elements == 4 && element[3]->type == REDIS_REPLY_STRING;
    }

    if (ngx_strcmp(element[0]->str, "done") == 0) {
        return reply->elements == 5 && element[3]->type == REDIS_REPLY_STRING
               && element[4]->type == REDIS_REPLY_STRING;
    }

    return 1;
}


static void
ngx_http_chatmaid_store_redis_judge(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim, redisReply *reply)
{
    ngx_time_t   *tp;
    const char   *word;

    tp = ngx_timeofday();

    ngx_http_chatmaid_store_redis_ahead = reply->element[1]->integer
                                     - ((int64_t) tp->sec * 1000 + tp->msec);

    claim->use_previous |= (reply->element[2]->integer == 1);

    word = reply->element[0]->str;

    if (ngx_strcmp(word, "claimed") == 0) {
        claim->may_be_accepted |= (reply->element[3]->str[0] == '1');
        ngx_http_chatmaid_store_redis_own(mcf, claim);

    } else if (ngx_strcmp(word, "done") == 0) {
        ngx_http_chatmaid_store_redis_done(mcf, claim, reply->element[3]);
        claim->status = ngx_atoi((u_char *) reply->element[4]->str,
                                 reply->element[4]->len);

    } else if (ngx_strcmp(word, "in_flight") == 0) {
        claim->result = NGX_HTTP_CHATMAID_IN_FLIGHT;

    } else if (ngx_strcmp(word, "reused") == 0) {
        claim->result = NGX_HTTP_CHATMAID_REUSED;

    } else if (ngx_strcmp(word, "clock") == 0) {
        claim->result = NGX_HTTP_CHATMAID_CLOCK;

    } else if (claim->event) {

        /* whatever a newer version says of it: here it is marked in any case */

        ngx_http_chatmaid_store_redis_away(mcf, claim);

    } else {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->reason = "a newer version of the module wrote its record";
    }
}


/*
 * The zone is to say the same as Redis.  Where it can't, or somebody of this
 * nginx was faster while Redis was away, Redis' record is given back.
 */

static void
ngx_http_chatmaid_store_redis_own(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_words_t  words;

    (void) ngx_http_chatmaid_store_zone.claim(mcf->zone, claim);

    claim->local = 0;
    claim->lease = claim->asked + claim->lease_time;

    /* an event that the zone has no room for is known to Redis alone */

    if (claim->event && claim->result == NGX_HTTP_CHATMAID_NO_STORE) {
        claim->result = NGX_HTTP_CHATMAID_CLAIMED;
    }

    if (claim->result == NGX_HTTP_CHATMAID_CLAIMED) {
        return;
    }

    ngx_http_chatmaid_store_script_begin(&words, mcf->redis, claim);

    (void) ngx_http_chatmaid_store_script_run(mcf->redis,
                                              &ngx_http_chatmaid_remove_script,
                                              &words,
                                              ngx_http_chatmaid_store_redis_ignored,
                                              NULL);
}


static void
ngx_http_chatmaid_store_redis_ignored(void *data, ngx_uint_t error,
    redisReply *reply)
{
    /* else the end of its lease says that it is nobody's */
}


static void
ngx_http_chatmaid_store_redis_done(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim, redisReply *answer)
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

    ngx_http_chatmaid_store_zone_forget(mcf->zone, claim);
}


/*
 * Redis may have got the claim all the same, and other gateways may have had
 * theirs: of the tries of this one nothing is certain any more.
 */

static void
ngx_http_chatmaid_store_redis_away(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim)
{
    if (claim->waited) {
        claim->result = NGX_HTTP_CHATMAID_LOST;
        return;
    }

    if (mcf->redis->reject && !claim->event) {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->reason = "Redis does not answer";
        return;
    }

    if (ngx_current_msec - claim->asked >= claim->lease_time) {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->reason = "a lease that it may have had is over";
        return;
    }

    claim->may_be_accepted = 1;
    claim->local = 1;

    (void) ngx_http_chatmaid_store_zone.claim(mcf->zone, claim);
}


void
ngx_http_chatmaid_store_redis_complain(ngx_uint_t error, redisReply *reply)
{
    size_t         i, len;
    u_char         text[200];

    static time_t  last;

    if ((error != NGX_HTTP_CHATMAID_REDIS_ERROR
         && error != NGX_HTTP_CHATMAID_REDIS_OK)
        || (last && ngx_time() - last < 60))
    {
        return;
    }

    last = ngx_time();
    len = 0;

    if (error == NGX_HTTP_CHATMAID_REDIS_ERROR) {
        len = ngx_min(reply->len, sizeof(text));

        for (i = 0; i < len; i++) {
            text[i] = (reply->str[i] < ' ' || reply->str[i] == 0x7f)
                      ? '?' : reply->str[i];
        }
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "chatmaid redis can't keep records, it answers \"%*s\"", len,
                  text);
}


/* The zone's record is kept alive as long as the send is; whether more tries
 * may begin goes by what Redis has said. */

static void
ngx_http_chatmaid_store_redis_renew(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_main_conf_t *mcf = store;

    ngx_msec_t                 lease;
    ngx_http_chatmaid_words_t  words;

    lease = claim->lease;

    ngx_http_chatmaid_store_zone.renew(mcf->zone, claim);

    if (claim->local) {
        return;
    }

    claim->lease = lease;

    if (claim->renewal || (ngx_msec_int_t) (lease - ngx_current_msec) <= 0) {
        return;
    }

    claim->asked = ngx_current_msec;

    ngx_http_chatmaid_store_script_begin(&words, mcf->redis, claim);

    claim->renewal = ngx_http_chatmaid_store_script_run(mcf->redis,
                                              &ngx_http_chatmaid_renew_script,
                                              &words,
                                              ngx_http_chatmaid_store_redis_renewed,
                                              claim);
}


static void
ngx_http_chatmaid_store_redis_renewed(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t *claim = data;

    claim->renewal = NULL;

    if (error != NGX_HTTP_CHATMAID_REDIS_OK) {
        return;
    }

    if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1) {
        claim->lease = claim->asked + claim->lease_time;

    } else {
        claim->lease = ngx_current_msec;        /* it is another's by now */
    }
}


static ngx_int_t
ngx_http_chatmaid_store_redis_finish(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_main_conf_t *mcf = store;

    ngx_int_t                   rc;
    ngx_http_chatmaid_words_t   words;

    /* an event's sender has been answered: here its repeat is known at once */

    if (claim->event) {
        ngx_http_chatmaid_store_zone_mark(mcf->zone, claim);
    }

    ngx_http_chatmaid_store_script_begin(&words, mcf->redis, claim);
    ngx_http_chatmaid_store_script_word(&words, claim->answer.data,
                                        claim->answer.len);
    ngx_http_chatmaid_store_script_number(&words, claim->status);

    rc = ngx_http_chatmaid_store_redis_run(mcf, claim,
                                     &ngx_http_chatmaid_finish_script, &words,
                                     ngx_http_chatmaid_store_redis_finished);

    if (rc == NGX_AGAIN) {
        return rc;
    }

    return ngx_http_chatmaid_store_zone.finish(mcf->zone, claim);
}


static void
ngx_http_chatmaid_store_redis_finished(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t *claim = data;

    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = claim->store;

    claim->command = NULL;

    /* what began without Redis stays in the zone: Redis may not be back yet for
     * all workers, or for long */

    if (error != NGX_HTTP_CHATMAID_REDIS_OK || claim->local) {
        (void) ngx_http_chatmaid_store_zone.finish(mcf->zone, claim);
    }

    if (error == NGX_HTTP_CHATMAID_REDIS_OK) {
        ngx_http_chatmaid_store_zone_forget(mcf->zone, claim);
        claim->rc = NGX_OK;

    } else {
        ngx_http_chatmaid_store_redis_complain(error, reply);
    }

    claim->handler(claim);
}


static ngx_int_t
ngx_http_chatmaid_store_redis_ambiguous(void *store,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_main_conf_t *mcf = store;

    ngx_int_t                  rc;
    ngx_http_chatmaid_words_t  words;

    (void) ngx_http_chatmaid_store_zone.ambiguous(mcf->zone, claim);

    ngx_http_chatmaid_store_script_begin(&words, mcf->redis, claim);

    rc = ngx_http_chatmaid_store_redis_run(mcf, claim,
                                           &ngx_http_chatmaid_ambiguous_script,
                                           &words, ngx_http_chatmaid_store_redis_marked);

    return (rc == NGX_AGAIN) ? NGX_AGAIN : NGX_OK;
}


/* Whether Redis has said so or not: the end of the lease says the same. */

static void
ngx_http_chatmaid_store_redis_marked(void *data, ngx_uint_t error, redisReply *reply)
{
    ngx_http_chatmaid_claim_t *claim = data;

    claim->command = NULL;
    claim->handler(claim);
}


static ngx_int_t
ngx_http_chatmaid_store_redis_remove(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_main_conf_t *mcf = store;

    ngx_int_t                  rc;
    ngx_http_chatmaid_words_t  words;

    claim->rc = NGX_DECLINED;

    if (!claim->event
        && (claim->may_be_accepted
            || (ngx_msec_int_t) (claim->lease - ngx_current_msec) <= 0))
    {
        return ngx_http_chatmaid_store_redis_ambiguous(store, claim);
    }

    ngx_http_chatmaid_store_script_begin(&words, mcf->redis, claim);

    rc = ngx_http_chatmaid_store_redis_run(mcf, claim,
                                     &ngx_http_chatmaid_remove_script, &words,
                                     ngx_http_chatmaid_store_redis_removed);

    if (rc == NGX_AGAIN) {
        return rc;
    }

    return claim->event ? ngx_http_chatmaid_store_zone.remove(mcf->zone, claim)
                        : ngx_http_chatmaid_store_zone.ambiguous(mcf->zone,
                                                                 claim);
}


static void
ngx_http_chatmaid_store_redis_removed(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_claim_t *claim = data;

    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = claim->store;

    claim->command = NULL;

    if (claim->event
        || (error == NGX_HTTP_CHATMAID_REDIS_OK
            && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1))
    {
        (void) ngx_http_chatmaid_store_zone.remove(mcf->zone, claim);

    } else {
        (void) ngx_http_chatmaid_store_zone.ambiguous(mcf->zone, claim);
        claim->rc = NGX_DECLINED;
    }

    claim->handler(claim);
}


static void
ngx_http_chatmaid_store_redis_abandon(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_main_conf_t *mcf = store;

    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(mcf->redis);

    if (claim->command) {
        ngx_http_chatmaid_redis_cancel(redis, claim->command);
        claim->command = NULL;
    }

    if (claim->renewal) {
        ngx_http_chatmaid_redis_cancel(redis, claim->renewal);
        claim->renewal = NULL;
    }

    if (claim->retained) {
        claim->retained = 0;
        ngx_http_chatmaid_redis_release(redis);
    }
}


static int64_t
ngx_http_chatmaid_store_redis_clock(void *store)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec + ngx_http_chatmaid_store_redis_ahead;
}


/* NGX_AGAIN, or NGX_DECLINED where the script can't be sent. */

static ngx_int_t
ngx_http_chatmaid_store_redis_run(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_redis_script_t *script, ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_redis_pt handler)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(mcf->redis);

    if (redis == NULL) {
        return NGX_DECLINED;
    }

    /* until it is abandoned: a worker that is shutting down keeps the
     * connection for the end of its claims */

    if (!claim->retained) {
        claim->retained = 1;
        ngx_http_chatmaid_redis_retain(redis);
    }

    claim->command = ngx_http_chatmaid_store_script_run(mcf->redis, script, words,
                                                        handler, claim);

    return claim->command ? NGX_AGAIN : NGX_DECLINED;
}
