
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_streams.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_zone.h"


/* How often Redis is asked, by whichever worker, and how often each worker
 * looks whether it is time to ask; in milliseconds. */
#define NGX_HTTP_CHATMAID_STREAMS_EVERY  10000
#define NGX_HTTP_CHATMAID_STREAMS_LOOK   1000

/* A reply that is older than this counts as not known. */
#define NGX_HTTP_CHATMAID_STREAMS_OLD    30000  /* milliseconds */

/* Longer names of groups are cut, in bytes. */
#define NGX_HTTP_CHATMAID_STREAMS_NAME   256


/* In the zone: what Redis has replied about a stream, or about a group. */

typedef struct {
    ngx_queue_t                     queue;
    ngx_msec_t                      asked;         /* time of the reply */
    ngx_uint_t                      stream;        /* index in mcf->streams */
    uint32_t                        key_hash;      /* of the stream's key */

    int64_t                         entries;
    int64_t                         lag;
    int64_t                         oldest;

    ngx_uint_t                      is_group;
    size_t                          len;
    u_char                          name[NGX_HTTP_CHATMAID_STREAMS_NAME];
} ngx_http_chatmaid_streams_row_t;


/* A question to Redis that is pending. */

typedef struct {
    ngx_http_chatmaid_main_conf_t  *mcf;
    ngx_uint_t                      stream;
} ngx_http_chatmaid_streams_question_t;


static void ngx_http_chatmaid_streams_timer_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_chatmaid_streams_is_turn(
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_streams_ask(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_uint_t stream, ngx_log_t *log);
static void ngx_http_chatmaid_streams_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_streams_is_reply(redisReply *reply);
static void ngx_http_chatmaid_streams_forget(ngx_http_chatmaid_zone_t *zone,
    ngx_uint_t stream);
static void ngx_http_chatmaid_streams_add(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_streams_question_t *question, redisReply **group,
    int64_t entries);
static uint32_t ngx_http_chatmaid_streams_hash(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_uint_t stream);


static ngx_event_t  ngx_http_chatmaid_streams_timer;


void
ngx_http_chatmaid_streams_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_event_t  *timer;

    if (mcf->streams.nelts == 0
        || ngx_http_chatmaid_redis_get(mcf->redis) == NULL)
    {
        return;
    }

    timer = &ngx_http_chatmaid_streams_timer;

    timer->handler = ngx_http_chatmaid_streams_timer_handler;
    timer->data = mcf;
    timer->log = cycle->log;
    timer->cancelable = 1;

    ngx_add_timer(timer, NGX_HTTP_CHATMAID_STREAMS_LOOK);
}


static void
ngx_http_chatmaid_streams_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_main_conf_t *mcf = ev->data;

    ngx_uint_t  i;

    if (ngx_exiting) {
        return;                 /* other workers continue */
    }

    if (ngx_http_chatmaid_streams_is_turn(mcf)) {

        for (i = 0; i < mcf->streams.nelts; i++) {
            ngx_http_chatmaid_streams_ask(mcf, i, ev->log);
        }
    }

    ngx_add_timer(ev, NGX_HTTP_CHATMAID_STREAMS_LOOK);
}


static ngx_uint_t
ngx_http_chatmaid_streams_is_turn(ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                    turn;
    ngx_http_chatmaid_zone_t     *zone = mcf->zone->data;
    ngx_http_chatmaid_zone_sh_t  *sh;

    ngx_http_chatmaid_zone_lock(zone);

    sh = zone->sh;

    turn = (!sh->streams_known
            || (ngx_msec_int_t) (ngx_current_msec - sh->streams_asked)
               >= NGX_HTTP_CHATMAID_STREAMS_EVERY);

    if (turn) {
        sh->streams_known = 1;
        sh->streams_asked = ngx_current_msec;
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return turn;
}


static void
ngx_http_chatmaid_streams_ask(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_uint_t stream, ngx_log_t *log)
{
    ngx_str_t                             *key;
    ngx_http_chatmaid_words_t              words;
    ngx_http_chatmaid_streams_question_t  *question;

    question = ngx_alloc(sizeof(ngx_http_chatmaid_streams_question_t), log);
    if (question == NULL) {
        return;
    }

    question->mcf = mcf;
    question->stream = stream;

    key = mcf->streams.elts;
    words.n = 0;
    words.nkeys = 0;

    ngx_http_chatmaid_store_script_key(&words, key[stream].data,
                                       key[stream].len);

    if (ngx_http_chatmaid_store_script_run(mcf->redis,
                                      &ngx_http_chatmaid_store_script_stream,
                                      &words,
                                      ngx_http_chatmaid_streams_handler,
                                      question)
        == NULL)
    {
        ngx_free(question);
    }
}


static void
ngx_http_chatmaid_streams_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_streams_question_t *question = data;

    size_t                     i;
    ngx_http_chatmaid_zone_t  *zone = question->mcf->zone->data;

    if (error == NGX_HTTP_CHATMAID_REDIS_OK
        && ngx_http_chatmaid_streams_is_reply(reply))
    {
        ngx_http_chatmaid_zone_lock(zone);

        ngx_http_chatmaid_streams_forget(zone, question->stream);

        ngx_http_chatmaid_streams_add(zone, question, NULL,
                                      reply->element[0]->integer);

        for (i = 1; i < reply->elements; i += 3) {
            ngx_http_chatmaid_streams_add(zone, question, &reply->element[i],
                                          -1);
        }

        ngx_http_chatmaid_zone_unlock(zone);
    }

    ngx_free(question);
}


/* Whether the reply has the form that stream.lua returns. */

static ngx_uint_t
ngx_http_chatmaid_streams_is_reply(redisReply *reply)
{
    size_t        i;
    redisReply  **element;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 3 != 1
        || reply->element[0]->type != REDIS_REPLY_INTEGER)
    {
        return 0;
    }

    element = reply->element;

    for (i = 1; i < reply->elements; i += 3) {

        if (element[i]->type != REDIS_REPLY_STRING
            || element[i + 1]->type != REDIS_REPLY_INTEGER
            || element[i + 2]->type != REDIS_REPLY_INTEGER)
        {
            return 0;
        }
    }

    return 1;
}


static void
ngx_http_chatmaid_streams_forget(ngx_http_chatmaid_zone_t *zone,
    ngx_uint_t stream)
{
    ngx_queue_t                      *q, *next;
    ngx_http_chatmaid_streams_row_t  *row;

    for (q = ngx_queue_head(&zone->sh->streams);
         q != ngx_queue_sentinel(&zone->sh->streams);
         q = next)
    {
        next = ngx_queue_next(q);
        row = ngx_queue_data(q, ngx_http_chatmaid_streams_row_t, queue);

        if (row->stream == stream) {
            ngx_queue_remove(q);
            ngx_slab_free_locked(zone->shpool, row);
        }
    }
}


/* Does nothing if the zone is full: then the stream or group is not known. */

static void
ngx_http_chatmaid_streams_add(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_streams_question_t *question, redisReply **group,
    int64_t entries)
{
    ngx_http_chatmaid_streams_row_t  *row;

    row = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_SEND,
                                     sizeof(ngx_http_chatmaid_streams_row_t));
    if (row == NULL) {
        return;
    }

    ngx_memzero(row, sizeof(ngx_http_chatmaid_streams_row_t));

    row->asked = ngx_current_msec;
    row->stream = question->stream;
    row->key_hash = ngx_http_chatmaid_streams_hash(question->mcf,
                                                   question->stream);
    row->entries = entries;

    if (group) {
        row->is_group = 1;
        row->len = ngx_min(group[0]->len, sizeof(row->name));
        ngx_memcpy(row->name, group[0]->str, row->len);

        row->lag = group[1]->integer;
        row->oldest = group[2]->integer;
    }

    ngx_queue_insert_tail(&zone->sh->streams, &row->queue);
}


/* By this hash a row is recognised after a reload, which may have changed the
 * list of streams. */

static uint32_t
ngx_http_chatmaid_streams_hash(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_uint_t stream)
{
    ngx_str_t  *key;

    key = mcf->streams.elts;

    return ngx_crc32_long(key[stream].data, key[stream].len);
}


/* No pool memory is allocated under the lock, so the rows are counted first.
 * Rows that are added before they are read are left out this time. */

ngx_array_t *
ngx_http_chatmaid_streams_get(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_pool_t *pool)
{
    u_char                           *names;
    ngx_str_t                        *key;
    ngx_uint_t                        n;
    ngx_queue_t                      *q;
    ngx_array_t                      *streams;
    ngx_http_chatmaid_zone_t         *zone = mcf->zone->data;
    ngx_http_chatmaid_stream_t       *stream;
    ngx_http_chatmaid_streams_row_t  *row;

    key = mcf->streams.elts;
    n = 0;

    ngx_http_chatmaid_zone_lock(zone);

    for (q = ngx_queue_head(&zone->sh->streams);
         q != ngx_queue_sentinel(&zone->sh->streams);
         q = ngx_queue_next(q))
    {
        n++;
    }

    ngx_http_chatmaid_zone_unlock(zone);

    streams = ngx_array_create(pool, n + 1, sizeof(ngx_http_chatmaid_stream_t));
    names = ngx_pnalloc(pool, (n + 1) * NGX_HTTP_CHATMAID_STREAMS_NAME);

    if (streams == NULL || names == NULL) {
        return NULL;
    }

    ngx_http_chatmaid_zone_lock(zone);

    for (q = ngx_queue_head(&zone->sh->streams);
         q != ngx_queue_sentinel(&zone->sh->streams) && streams->nelts < n;
         q = ngx_queue_next(q))
    {
        row = ngx_queue_data(q, ngx_http_chatmaid_streams_row_t, queue);

        if (row->stream >= mcf->streams.nelts
            || row->key_hash != ngx_http_chatmaid_streams_hash(mcf, row->stream)
            || (ngx_msec_int_t) (ngx_current_msec - row->asked)
               > NGX_HTTP_CHATMAID_STREAMS_OLD)
        {
            continue;
        }

        /* within what was allocated */
        stream = ngx_array_push(streams);

        stream->stream = key[row->stream];
        stream->entries = row->entries;
        stream->lag = row->lag;
        stream->oldest = row->oldest;
        ngx_str_null(&stream->group);

        if (row->is_group) {
            stream->group.data = names;
            stream->group.len = row->len;
            names = ngx_cpymem(names, row->name, row->len);
        }

        if (row->oldest > 0) {
            stream->oldest += (ngx_msec_t) (ngx_current_msec - row->asked);
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return streams;
}
