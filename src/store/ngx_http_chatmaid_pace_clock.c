
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_clock.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_store_script.h"


/* Added to the timeout of a Redis command, because a busy worker handles the
 * reply later. */
#define NGX_HTTP_CHATMAID_PACE_CLOCK_SLACK  1000    /* milliseconds */


static ngx_int_t ngx_http_chatmaid_pace_clock_run(
    ngx_http_chatmaid_pace_clock_t *clock, ngx_uint_t wanted, ngx_msec_t limit,
    uint64_t returned, ngx_uint_t count, ngx_http_chatmaid_redis_pt handler);
static void ngx_http_chatmaid_pace_clock_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_pace_clock_is_reply(
    ngx_http_chatmaid_pace_clock_t *clock, redisReply *reply);
static void ngx_http_chatmaid_pace_clock_ignore_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_pace_clock_log(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_uint_t error, redisReply *reply);


ngx_msec_t
ngx_http_chatmaid_pace_clock_timeout(ngx_http_chatmaid_main_conf_t *mcf)
{
    return mcf->redis ? mcf->redis->timeout + NGX_HTTP_CHATMAID_PACE_CLOCK_SLACK
                      : NGX_HTTP_CHATMAID_PACE_CLOCK_SLACK;
}


ngx_int_t
ngx_http_chatmaid_pace_clock_take(ngx_http_chatmaid_pace_clock_t *clock,
    ngx_http_chatmaid_pace_next_t *next)
{
    return ngx_http_chatmaid_pace_clock_run(clock, next->places, next->limit,
                                       0, 0,
                                       ngx_http_chatmaid_pace_clock_handler);
}


void
ngx_http_chatmaid_pace_clock_return(ngx_http_chatmaid_pace_clock_t *clock,
    ngx_http_chatmaid_pace_next_t *next)
{
    if (next->clock) {
        (void) ngx_http_chatmaid_pace_clock_run(clock, 0, 0,
                                 next->clock, next->places,
                                 ngx_http_chatmaid_pace_clock_ignore_handler);
    }
}


void
ngx_http_chatmaid_pace_clock_hold(ngx_http_chatmaid_pace_clock_t *clock)
{
    (void) ngx_http_chatmaid_pace_clock_run(clock, 0, 0, 0, 0,
                                 ngx_http_chatmaid_pace_clock_ignore_handler);
}


/* Runs pace.lua, which explains the arguments. */

static ngx_int_t
ngx_http_chatmaid_pace_clock_run(ngx_http_chatmaid_pace_clock_t *clock,
    ngx_uint_t wanted, ngx_msec_t limit, uint64_t returned, ngx_uint_t count,
    ngx_http_chatmaid_redis_pt handler)
{
    u_char                            *p;
    ngx_http_chatmaid_rate_t          *rate;
    ngx_http_chatmaid_words_t          words;
    ngx_http_chatmaid_main_conf_t     *mcf;
    ngx_http_chatmaid_pace_account_t  *account;

    mcf = clock->mcf;
    account = clock->account;
    rate = account->rate;

    if (mcf->redis == NULL) {
        return NGX_DECLINED;
    }

    words.n = 0;
    words.nkeys = 0;

    p = ngx_http_chatmaid_store_script_name(words.keys[0], mcf->redis, "pace:",
                                            account->id);
    ngx_http_chatmaid_store_script_key(&words, words.keys[0],
                                       p - words.keys[0]);

    ngx_http_chatmaid_store_script_number(&words, rate->interval);
    ngx_http_chatmaid_store_script_number(&words,
                                          (rate->burst - 1) * rate->interval);
    ngx_http_chatmaid_store_script_number(&words,
                                 ngx_http_chatmaid_pace_places_ahead(account));
    ngx_http_chatmaid_store_script_number(&words, wanted);
    ngx_http_chatmaid_store_script_number(&words, (uint64_t) limit * 1000);
    ngx_http_chatmaid_store_script_number(&words, returned);
    ngx_http_chatmaid_store_script_number(&words, count);

    return ngx_http_chatmaid_store_script_run(mcf->redis,
                                         &ngx_http_chatmaid_store_script_pace,
                                         &words, handler, clock)
           ? NGX_AGAIN : NGX_DECLINED;
}


static void
ngx_http_chatmaid_pace_clock_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_pace_clock_t *clock = data;

    ngx_http_chatmaid_pace_places_t   places;

    if (error != NGX_HTTP_CHATMAID_REDIS_OK
        || !ngx_http_chatmaid_pace_clock_is_reply(clock, reply))
    {
        ngx_http_chatmaid_pace_clock_log(clock->mcf, error, reply);
        clock->handler(clock->data, NULL);
        return;
    }

    if (ngx_http_chatmaid_alarm_pass(clock->mcf->alarms,
                                    ngx_http_chatmaid_alarm_id("pace", NULL)))
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid redis keeps the pace again");
    }

    places.free = reply->element[0]->integer;
    places.taken = reply->element[1]->integer;
    places.wait = reply->element[2]->integer;
    places.clock = reply->element[3]->integer;

    clock->handler(clock->data, &places);
}


/* Whether the reply is four numbers that pace.lua can have returned. */

static ngx_uint_t
ngx_http_chatmaid_pace_clock_is_reply(ngx_http_chatmaid_pace_clock_t *clock,
    redisReply *reply)
{
    size_t   i;
    int64_t  longest;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4) {
        return 0;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_INTEGER
            || reply->element[i]->integer < 0)
        {
            return 0;
        }
    }

    longest = NGX_HTTP_CHATMAID_PACE_MAX_WAIT
              + (int64_t) clock->account->rate->interval;

    return reply->element[0]->integer <= NGX_HTTP_CHATMAID_PACE_MAX_PLACES
           && reply->element[1]->integer <= 1
           && reply->element[2]->integer <= longest;
}


static void
ngx_http_chatmaid_pace_clock_ignore_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    /* if this failed: a place that was not given back is lost; other gateways
     * learn of a 429 when this one asks for places again, or by a 429 of their
     * own */
}


static void
ngx_http_chatmaid_pace_clock_log(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_uint_t error, redisReply *reply)
{
    u_char  *p, text[NGX_HTTP_CHATMAID_STORE_SCRIPT_FAULT];

    if (ngx_http_chatmaid_store_script_is_fault(error)
        && ngx_http_chatmaid_alarm_meet(mcf->alarms,
                                    ngx_http_chatmaid_alarm_id("pace", NULL)))
    {
        p = ngx_http_chatmaid_store_script_fault(text, error, reply);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid redis can't keep the pace, it answers %*s; "
                      "meanwhile each gateway keeps it by itself",
                      (size_t) (p - text), text);
    }
}


void
ngx_http_chatmaid_pace_clock_retain(ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = mcf->redis ? ngx_http_chatmaid_redis_get(mcf->redis) : NULL;

    if (redis) {
        ngx_http_chatmaid_redis_retain(redis);
    }
}


void
ngx_http_chatmaid_pace_clock_release(ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = mcf->redis ? ngx_http_chatmaid_redis_get(mcf->redis) : NULL;

    if (redis) {
        ngx_http_chatmaid_redis_release(redis);
    }
}
