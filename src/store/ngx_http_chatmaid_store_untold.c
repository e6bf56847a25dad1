
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Each worker looks into the zone now and then.  The worker that gets the lease
 * sends the records to Redis in batches, while Redis answers.  A record stays
 * in the queue until Redis has confirmed it, even if this worker dies.
 *
 * In a Cluster one server may be away: its records are skipped, and the next
 * batch continues behind them.
 */


#include "ngx_http_chatmaid_store_untold.h"
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_untold_queue.h"


#define NGX_HTTP_CHATMAID_STORE_UNTOLD_LOOK   1000  /* milliseconds */

/* The pause, in milliseconds, between the end of a batch and the next one: at
 * most 200 records are sent in a second. */
#define NGX_HTTP_CHATMAID_STORE_UNTOLD_PAUSE  250
#define NGX_HTTP_CHATMAID_STORE_UNTOLD_BATCH  50

/* How many records are looked at for one batch, at most. */
#define NGX_HTTP_CHATMAID_STORE_UNTOLD_LOOKS  200

/* The lease is longer than the timeout of Redis, which limits a batch, by this
 * many milliseconds. */
#define NGX_HTTP_CHATMAID_STORE_UNTOLD_LEASE  2000


/* A record that is being sent to Redis. */

typedef struct {
    u_char                          id[NGX_HTTP_CHATMAID_ID_LEN];
    uint64_t                        serial;
} ngx_http_chatmaid_store_untold_record_t;


typedef struct {
    ngx_http_chatmaid_main_conf_t  *mcf;
    ngx_event_t                     timer;
    ngx_uint_t                      pending;       /* records of this batch */
    uint64_t                        serial;        /* of its last record */

    unsigned                        told:1;        /* some are confirmed */
    unsigned                        left:1;        /* some are not */
    unsigned                        answering:1;   /* some of the batch before
                                                    * were confirmed */

    ngx_http_chatmaid_store_untold_record_t
        records[NGX_HTTP_CHATMAID_STORE_UNTOLD_BATCH];
} ngx_http_chatmaid_store_untold_t;


static void ngx_http_chatmaid_store_untold_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_store_untold_tell_batch(
    ngx_http_chatmaid_store_untold_t *untold, ngx_pool_t *pool);
static ngx_int_t ngx_http_chatmaid_store_untold_tell(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_state_e state,
    ngx_http_chatmaid_store_untold_record_t *record);
static void ngx_http_chatmaid_store_untold_handler(void *data,
    ngx_uint_t error, redisReply *reply);


/* The state of this worker. */

static ngx_http_chatmaid_store_untold_t  ngx_http_chatmaid_store_untold;


void
ngx_http_chatmaid_store_untold_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_event_t  *timer;

    /* without a gateway or webhook there may be a Redis, but there is no
     * zone */

    if (mcf->redis == NULL || mcf->zone == NULL
        || ngx_http_chatmaid_redis_get(mcf->redis) == NULL)
    {
        return;
    }

    ngx_http_chatmaid_store_untold.mcf = mcf;

    timer = &ngx_http_chatmaid_store_untold.timer;

    timer->handler = ngx_http_chatmaid_store_untold_timer_handler;
    timer->data = &ngx_http_chatmaid_store_untold;
    timer->log = cycle->log;
    timer->cancelable = 1;

    ngx_add_timer(timer, NGX_HTTP_CHATMAID_STORE_UNTOLD_PAUSE);
}


static void
ngx_http_chatmaid_store_untold_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_store_untold_t  *untold = ev->data;

    ngx_msec_t   lease_time;
    ngx_pool_t  *pool;

    if (ngx_exiting) {
        return;                 /* other workers continue */
    }

    lease_time = untold->mcf->redis->timeout
                 + NGX_HTTP_CHATMAID_STORE_UNTOLD_LEASE;

    if (!ngx_http_chatmaid_untold_queue_may_tell(untold->mcf, lease_time)) {
        ngx_add_timer(ev, NGX_HTTP_CHATMAID_STORE_UNTOLD_LOOK);
        return;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ev->log);

    if (pool) {
        ngx_http_chatmaid_store_untold_tell_batch(untold, pool);
        ngx_destroy_pool(pool);
    }

    if (untold->pending == 0) {
        untold->answering = 0;
        ngx_add_timer(ev, NGX_HTTP_CHATMAID_STORE_UNTOLD_PAUSE);
    }
}


/* A full batch is sent only if Redis has confirmed records of the batch
 * before. */

static void
ngx_http_chatmaid_store_untold_tell_batch(
    ngx_http_chatmaid_store_untold_t *untold, ngx_pool_t *pool)
{
    ngx_int_t                                 rc;
    ngx_uint_t                                n, looks;
    ngx_http_chatmaid_claim_t                 claim;
    ngx_http_chatmaid_record_state_e          state;
    ngx_http_chatmaid_store_untold_record_t  *record;

    n = untold->answering ? NGX_HTTP_CHATMAID_STORE_UNTOLD_BATCH : 1;

    /* begin with the oldest record, unless records were left: these must not
     * hold up the others */

    if (!untold->left) {
        untold->serial = 0;
    }

    untold->told = 0;
    untold->left = 0;

    for (looks = 0;
         looks < NGX_HTTP_CHATMAID_STORE_UNTOLD_LOOKS && untold->pending < n;
         looks++)
    {
        ngx_memzero(&claim, sizeof(ngx_http_chatmaid_claim_t));

        claim.mcf = untold->mcf;
        claim.pool = pool;

        if (ngx_http_chatmaid_untold_queue_next(&claim, &state,
                                                &untold->serial)
            != NGX_OK)
        {
            untold->serial = 0;
            return;
        }

        record = &untold->records[untold->pending];
        record->serial = untold->serial;
        ngx_memcpy(record->id, claim.id, NGX_HTTP_CHATMAID_ID_LEN);

        rc = ngx_http_chatmaid_store_untold_tell(&claim, state, record);

        if (rc == NGX_ERROR) {
            return;
        }

        if (rc == NGX_OK) {
            untold->pending++;

        } else if (ngx_http_chatmaid_redis_is_cluster(
                          ngx_http_chatmaid_redis_get(untold->mcf->redis)))
        {
            untold->left = 1;

        } else {
            return;                 /* the only server is away */
        }

        ngx_reset_pool(pool);       /* the command has its own copy */
    }
}


/* Sends one record.  NGX_OK; NGX_DECLINED: the server for its key is away;
 * NGX_ERROR: the command could not be queued. */

static ngx_int_t
ngx_http_chatmaid_store_untold_tell(ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_record_state_e state,
    ngx_http_chatmaid_store_untold_record_t *record)
{
    ngx_http_chatmaid_words_t          words;
    ngx_http_chatmaid_redis_t         *redis;
    ngx_http_chatmaid_redis_script_t  *script;

    ngx_http_chatmaid_store_script_begin(&words, claim);

    redis = ngx_http_chatmaid_redis_get(claim->mcf->redis);

    if (!ngx_http_chatmaid_redis_is_near(redis, words.argv[0], words.len[0])) {
        return NGX_DECLINED;
    }

    switch (state) {

    case NGX_HTTP_CHATMAID_RECORD_DONE:
        script = &ngx_http_chatmaid_store_script_finish;
        ngx_http_chatmaid_store_script_fingerprint(&words, claim);
        ngx_http_chatmaid_store_script_number(&words, claim->ttl);
        ngx_http_chatmaid_store_script_word(&words, claim->answer.data,
                                            claim->answer.len);
        ngx_http_chatmaid_store_script_number(&words, claim->status);
        break;

    case NGX_HTTP_CHATMAID_RECORD_REMOVED:
        script = &ngx_http_chatmaid_store_script_remove;
        ngx_http_chatmaid_store_script_owner(&words, claim);
        break;

    default:
        script = &ngx_http_chatmaid_store_script_mark_ambiguous;
        ngx_http_chatmaid_store_script_owner(&words, claim);
        ngx_http_chatmaid_store_script_fingerprint(&words, claim);
        ngx_http_chatmaid_store_script_number(&words, claim->ttl);
    }

    return ngx_http_chatmaid_store_script_run(claim->mcf->redis, script, &words,
                                      ngx_http_chatmaid_store_untold_handler,
                                      record)
           ? NGX_OK : NGX_ERROR;
}


/* A script that Redis refuses with an error, for instance because the key has
 * another type, would fail again later: the record counts as told. */

static void
ngx_http_chatmaid_store_untold_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_store_untold_record_t  *record = data;

    ngx_http_chatmaid_store_untold_t  *untold;

    untold = &ngx_http_chatmaid_store_untold;

    if (error == NGX_HTTP_CHATMAID_REDIS_ERROR) {
        ngx_http_chatmaid_store_script_log_failed(untold->mcf, error, reply);
    }

    if (error == NGX_HTTP_CHATMAID_REDIS_ERROR
        || ngx_http_chatmaid_store_script_result(error, reply) != NGX_ERROR)
    {
        ngx_http_chatmaid_untold_queue_told(untold->mcf, record->id,
                                          record->serial);
        untold->told = 1;

    } else {
        untold->left = 1;
    }

    untold->pending--;

    if (untold->pending == 0) {
        untold->answering = untold->told;
        ngx_add_timer(&untold->timer, NGX_HTTP_CHATMAID_STORE_UNTOLD_PAUSE);
    }
}
