
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_notes.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_redis_mget.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_zone.h"


#define NGX_HTTP_CHATMAID_NOTE_TTL   60000  /* milliseconds */
#define NGX_HTTP_CHATMAID_STAMP_LEN  16     /* hexadecimal digits */

/* For how long notes are wanted after a look, and how often Redis is told so;
 * in milliseconds. */
#define NGX_HTTP_CHATMAID_NOTES_WANTED_TTL  120000
#define NGX_HTTP_CHATMAID_NOTES_TELL        20000

/* For how many milliseconds a worker relies on what Redis has said about
 * "waiting".  This is less than the first pause of a wait: if a wait has begun
 * meanwhile and no note was left, its first poll still finds the change. */
#define NGX_HTTP_CHATMAID_NOTES_ASK         250


/* What this worker knows about the key "waiting" in Redis. */

typedef struct {
    ngx_msec_t  asked_at;
    ngx_msec_t  told_at;
    unsigned    asked:1;        /* Redis has answered: "wanted" is valid */
    unsigned    told:1;         /* SET was sent, at told_at */
    unsigned    asking:1;       /* a question is pending */
    unsigned    wanted:1;
} ngx_http_chatmaid_notes_waiting_t;


static ngx_uint_t ngx_http_chatmaid_notes_wanted_in_redis(
    ngx_http_chatmaid_redis_conf_t *conf);
static void ngx_http_chatmaid_notes_wanted_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_notes_leave_in_zone(
    ngx_http_chatmaid_zone_t *zone, u_char *id, uint64_t stamp);
static void ngx_http_chatmaid_notes_leave_in_redis(
    ngx_http_chatmaid_redis_conf_t *conf, u_char *id, uint64_t stamp);
static void ngx_http_chatmaid_notes_set(ngx_http_chatmaid_redis_t *redis,
    u_char *key, size_t len, const char *value, size_t value_len,
    ngx_msec_t ttl, ngx_http_chatmaid_notes_waiting_t *waiting);
static void ngx_http_chatmaid_notes_set_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_notes_look_in_zone(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_notes_look_t *look);
static ngx_int_t ngx_http_chatmaid_notes_look_in_redis(
    ngx_http_chatmaid_redis_conf_t *conf, ngx_http_chatmaid_notes_look_t *look);
static void ngx_http_chatmaid_notes_tell(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_conf_t *conf);
static u_char *ngx_http_chatmaid_notes_waiting_key(u_char *p,
    ngx_http_chatmaid_redis_conf_t *conf);
static void ngx_http_chatmaid_notes_look_value(void *data, ngx_uint_t i,
    redisReply *value);
static void ngx_http_chatmaid_notes_look_done(void *data);
static uint64_t ngx_http_chatmaid_notes_stamp(redisReply *reply);


static ngx_http_chatmaid_notes_waiting_t  ngx_http_chatmaid_notes_waiting;


ngx_int_t
ngx_http_chatmaid_notes_id(ngx_pool_t *pool, ngx_str_t *account_name,
    ngx_str_t *message_id, u_char *id)
{
    ngx_str_t  fields[3];

    ngx_str_set(&fields[0], "chatmaid-note-1");
    fields[1] = *account_name;
    fields[2] = *message_id;

    return ngx_http_chatmaid_crypto_sha256_fields(pool, fields, 3, id);
}


ngx_uint_t
ngx_http_chatmaid_notes_wanted(ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                 wanted;
    ngx_http_chatmaid_zone_t  *zone = mcf->zone->data;

    ngx_http_chatmaid_zone_lock(zone);

    wanted = ((ngx_msec_int_t) (zone->sh->notes_wanted - ngx_current_msec) > 0);

    ngx_http_chatmaid_zone_unlock(zone);

    return wanted || (mcf->redis && ngx_http_chatmaid_notes_wanted_in_redis(
                                                                 mcf->redis));
}


/* Until Redis has answered, notes count as wanted, so that no event has to wait
 * for that answer. */

static ngx_uint_t
ngx_http_chatmaid_notes_wanted_in_redis(ngx_http_chatmaid_redis_conf_t *conf)
{
    size_t                              len[2];
    const char                         *argv[2];
    ngx_http_chatmaid_redis_t          *redis;
    ngx_http_chatmaid_notes_waiting_t  *waiting;

    u_char                              key[NGX_HTTP_CHATMAID_MAX_NAME];

    waiting = &ngx_http_chatmaid_notes_waiting;

    if (waiting->asking) {
        return 1;
    }

    if (waiting->asked
        && ngx_current_msec - waiting->asked_at < NGX_HTTP_CHATMAID_NOTES_ASK)
    {
        return waiting->wanted;
    }

    redis = ngx_http_chatmaid_redis_get(conf);

    if (redis == NULL) {
        return 0;
    }

    argv[0] = "MGET";
    len[0] = sizeof("MGET") - 1;

    argv[1] = (char *) key;
    len[1] = ngx_http_chatmaid_notes_waiting_key(key, conf) - key;

    if (ngx_http_chatmaid_redis_command(redis, 2, argv, len,
                                        ngx_http_chatmaid_notes_wanted_handler,
                                        waiting)
        != NULL)
    {
        waiting->asking = 1;
        waiting->asked_at = ngx_current_msec;
    }

    return 1;
}


static void
ngx_http_chatmaid_notes_wanted_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_notes_waiting_t  *waiting = data;

    waiting->asking = 0;
    waiting->asked = 1;
    waiting->wanted = !(error == NGX_HTTP_CHATMAID_REDIS_OK
                        && reply->type == REDIS_REPLY_ARRAY
                        && reply->elements == 1
                        && reply->element[0]->type == REDIS_REPLY_NIL);
}


void
ngx_http_chatmaid_notes_leave(ngx_http_chatmaid_main_conf_t *mcf, u_char *id,
    uint64_t stamp)
{
    /* always in the zone: waiters of this nginx do not depend on Redis */

    ngx_http_chatmaid_notes_leave_in_zone(mcf->zone->data, id, stamp);

    if (mcf->redis) {
        ngx_http_chatmaid_notes_leave_in_redis(mcf->redis, id, stamp);
    }
}


static void
ngx_http_chatmaid_notes_leave_in_zone(ngx_http_chatmaid_zone_t *zone,
    u_char *id, uint64_t stamp)
{
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_find(zone, id);

    if (rec) {
        ngx_http_chatmaid_zone_set_ttl(zone, rec, NGX_HTTP_CHATMAID_NOTE_TTL);
        ngx_http_chatmaid_zone_touch(zone, rec);

    } else {
        rec = ngx_http_chatmaid_zone_create(zone, id,
                                            NGX_HTTP_CHATMAID_ZONE_NOTE,
                                            NGX_HTTP_CHATMAID_NOTE_TTL);
        if (rec) {
            ngx_http_chatmaid_zone_set_state(zone, rec,
                                             NGX_HTTP_CHATMAID_RECORD_DONE);
        }
    }

    if (rec) {
        rec->stamp = stamp;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* Each note is a key of its own, "note:" and the id; its value is the stamp. */

static void
ngx_http_chatmaid_notes_leave_in_redis(ngx_http_chatmaid_redis_conf_t *conf,
    u_char *id, uint64_t stamp)
{
    u_char                     *p;
    ngx_http_chatmaid_redis_t  *redis;

    u_char                      key[NGX_HTTP_CHATMAID_MAX_NAME];
    u_char                      value[NGX_HTTP_CHATMAID_STAMP_LEN];

    redis = ngx_http_chatmaid_redis_get(conf);

    if (redis == NULL) {
        return;
    }

    p = ngx_http_chatmaid_store_script_name(key, conf, "note:", id);

    ngx_sprintf(value, "%016xL", stamp);

    ngx_http_chatmaid_notes_set(redis, key, p - key, (char *) value,
                                sizeof(value), NGX_HTTP_CHATMAID_NOTE_TTL,
                                NULL);
}


/* Sends a SET.  If it fails, waiting->told is cleared; "waiting" may be
 * NULL. */

static void
ngx_http_chatmaid_notes_set(ngx_http_chatmaid_redis_t *redis, u_char *key,
    size_t len, const char *value, size_t value_len, ngx_msec_t ttl,
    ngx_http_chatmaid_notes_waiting_t *waiting)
{
    u_char       number[NGX_INT_T_LEN];
    size_t       lens[5];
    const char  *argv[5];

    argv[0] = "SET";
    lens[0] = sizeof("SET") - 1;

    argv[1] = (char *) key;
    lens[1] = len;

    argv[2] = value;
    lens[2] = value_len;

    argv[3] = "PX";
    lens[3] = sizeof("PX") - 1;

    argv[4] = (char *) number;
    lens[4] = ngx_sprintf(number, "%M", ttl) - number;

    (void) ngx_http_chatmaid_redis_command(redis, 5, argv, lens,
                                           ngx_http_chatmaid_notes_set_handler,
                                           waiting);
}


static void
ngx_http_chatmaid_notes_set_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_notes_waiting_t  *waiting = data;

    /* a waiter that misses a note polls all the same, only later */

    if (waiting && error != NGX_HTTP_CHATMAID_REDIS_OK) {
        waiting->told = 0;
    }
}


ngx_int_t
ngx_http_chatmaid_notes_look(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_notes_look_t *look)
{
    ngx_http_chatmaid_notes_look_in_zone(mcf->zone->data, look);

    if (mcf->redis == NULL || look->n == 0) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_notes_look_in_redis(mcf->redis, look);
}


static void
ngx_http_chatmaid_notes_look_in_zone(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_notes_look_t *look)
{
    ngx_uint_t                   i;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    zone->sh->notes_wanted = ngx_current_msec
                             + NGX_HTTP_CHATMAID_NOTES_WANTED_TTL;

    for (i = 0; i < look->n; i++) {
        rec = ngx_http_chatmaid_zone_find(zone, look->ids[i]);
        look->stamps[i][0] = rec ? rec->stamp : 0;
        look->stamps[i][1] = 0;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* Redis counts as back only once it has answered something, so somebody has to
 * insist on asking it. */

static ngx_int_t
ngx_http_chatmaid_notes_look_in_redis(ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_notes_look_t *look)
{
    u_char                     *p;
    ngx_str_t                  *keys;
    ngx_uint_t                  i;
    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(conf);

    if (redis == NULL || (!ngx_http_chatmaid_redis_up(redis) && !look->insist))
    {
        return NGX_OK;
    }

    keys = ngx_palloc(look->pool, look->n * sizeof(ngx_str_t));
    p = ngx_pnalloc(look->pool, look->n * NGX_HTTP_CHATMAID_MAX_NAME);

    if (keys == NULL || p == NULL) {
        return NGX_OK;
    }

    ngx_http_chatmaid_notes_tell(redis, conf);

    for (i = 0; i < look->n; i++) {
        keys[i].data = p;
        p = ngx_http_chatmaid_store_script_name(p, conf, "note:",
                                                look->ids[i]);
        keys[i].len = p - keys[i].data;
    }

    return (ngx_http_chatmaid_redis_mget(redis, look->pool, look->n, keys,
                                         ngx_http_chatmaid_notes_look_value,
                                         ngx_http_chatmaid_notes_look_done,
                                         look)
            == NGX_AGAIN)
           ? NGX_AGAIN : NGX_OK;
}


/* Called before the look, so that an event that comes too late for this look
 * leaves a note. */

static void
ngx_http_chatmaid_notes_tell(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    u_char                             *p;
    ngx_http_chatmaid_notes_waiting_t  *waiting;

    u_char                              key[NGX_HTTP_CHATMAID_MAX_NAME];

    waiting = &ngx_http_chatmaid_notes_waiting;

    if (waiting->told
        && ngx_current_msec - waiting->told_at < NGX_HTTP_CHATMAID_NOTES_TELL)
    {
        return;
    }

    waiting->told = 1;
    waiting->told_at = ngx_current_msec;

    p = ngx_http_chatmaid_notes_waiting_key(key, conf);

    ngx_http_chatmaid_notes_set(redis, key, p - key, "1", 1,
                                NGX_HTTP_CHATMAID_NOTES_WANTED_TTL, waiting);
}


static u_char *
ngx_http_chatmaid_notes_waiting_key(u_char *p,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    p = ngx_cpymem(p, conf->prefix.data, conf->prefix.len);

    return ngx_cpymem(p, "waiting", sizeof("waiting") - 1);
}


static void
ngx_http_chatmaid_notes_look_value(void *data, ngx_uint_t i, redisReply *value)
{
    ngx_http_chatmaid_notes_look_t  *look = data;

    look->stamps[i][1] = ngx_http_chatmaid_notes_stamp(value);
}


static void
ngx_http_chatmaid_notes_look_done(void *data)
{
    ngx_http_chatmaid_notes_look_t  *look = data;

    look->handler(look);
}


/* Returns 0 for anything but a stamp in the form that leave_in_redis()
 * writes. */

static uint64_t
ngx_http_chatmaid_notes_stamp(redisReply *reply)
{
    size_t    i;
    u_char   *p;
    uint64_t  stamp;

    static u_char  digits[] = "0123456789abcdef";

    if (reply->type != REDIS_REPLY_STRING
        || reply->len != NGX_HTTP_CHATMAID_STAMP_LEN)
    {
        return 0;
    }

    stamp = 0;

    for (i = 0; i < NGX_HTTP_CHATMAID_STAMP_LEN; i++) {
        p = ngx_strlchr(digits, digits + 16, (u_char) reply->str[i]);

        if (p == NULL) {
            return 0;
        }

        stamp = stamp * 16 + (p - digits);
    }

    return stamp;
}
