
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_notes.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_zone.h"


#define NGX_HTTP_CHATMAID_NOTE_TTL   60000  /* milliseconds */
#define NGX_HTTP_CHATMAID_STAMP_LEN  16     /* in hexadecimal */


static void ngx_http_chatmaid_notes_leave_in_zone(
    ngx_http_chatmaid_zone_t *zone, u_char *id, uint64_t stamp);
static void ngx_http_chatmaid_notes_leave_in_redis(
    ngx_http_chatmaid_redis_conf_t *conf, u_char *id, uint64_t stamp);
static void ngx_http_chatmaid_notes_leave_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_notes_look_in_zone(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_notes_look_t *look);
static ngx_int_t ngx_http_chatmaid_notes_look_in_redis(
    ngx_http_chatmaid_redis_conf_t *conf, ngx_http_chatmaid_notes_look_t *look);
static void ngx_http_chatmaid_notes_look_handler(void *data, ngx_uint_t error,
    redisReply *reply);
static uint64_t ngx_http_chatmaid_notes_stamp(redisReply *reply);


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


void
ngx_http_chatmaid_notes_leave(ngx_http_chatmaid_main_conf_t *mcf, u_char *id,
    uint64_t stamp)
{
    /* always in the zone: this nginx's own waiters need no Redis */

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


/* A key each, "note:" and the id, whose value is the stamp. */

static void
ngx_http_chatmaid_notes_leave_in_redis(ngx_http_chatmaid_redis_conf_t *conf,
    u_char *id, uint64_t stamp)
{
    u_char                     *p;
    size_t                      len[5];
    const char                 *argv[5];
    ngx_http_chatmaid_redis_t  *redis;
    u_char                      key[NGX_HTTP_CHATMAID_MAX_NAME];
    u_char                      value[NGX_HTTP_CHATMAID_STAMP_LEN];
    u_char                      ttl[NGX_INT64_LEN];

    redis = ngx_http_chatmaid_redis_get(conf);

    if (redis == NULL) {
        return;
    }

    argv[0] = "SET";
    len[0] = sizeof("SET") - 1;

    p = ngx_http_chatmaid_store_script_name(key, conf, "note:", id);

    argv[1] = (char *) key;
    len[1] = p - key;

    p = ngx_sprintf(value, "%016xL", stamp);

    argv[2] = (char *) value;
    len[2] = p - value;

    argv[3] = "PX";
    len[3] = sizeof("PX") - 1;

    p = ngx_sprintf(ttl, "%d", NGX_HTTP_CHATMAID_NOTE_TTL);

    argv[4] = (char *) ttl;
    len[4] = p - ttl;

    (void) ngx_http_chatmaid_redis_command(redis, 5, argv, len,
                                        ngx_http_chatmaid_notes_leave_handler,
                                        NULL);
}


static void
ngx_http_chatmaid_notes_leave_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    /* without its note a waiter polls too, only later */
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

    for (i = 0; i < look->n; i++) {
        rec = ngx_http_chatmaid_zone_find(zone, look->ids[i]);
        look->stamps[i][0] = rec ? rec->stamp : 0;
        look->stamps[i][1] = 0;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* Redis is known to be back only once it answers, so somebody has to insist. */

static ngx_int_t
ngx_http_chatmaid_notes_look_in_redis(ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_notes_look_t *look)
{
    u_char                     *p;
    size_t                     *len;
    ngx_uint_t                  i;
    const char                **argv;
    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(conf);

    if (redis == NULL || (!ngx_http_chatmaid_redis_up(redis) && !look->insist))
    {
        return NGX_OK;
    }

    argv = ngx_palloc(look->pool, (look->n + 1) * sizeof(char *));
    len = ngx_palloc(look->pool, (look->n + 1) * sizeof(size_t));
    p = ngx_pnalloc(look->pool, look->n * NGX_HTTP_CHATMAID_MAX_NAME);

    if (argv == NULL || len == NULL || p == NULL) {
        return NGX_OK;
    }

    argv[0] = "MGET";
    len[0] = sizeof("MGET") - 1;

    for (i = 0; i < look->n; i++) {
        argv[i + 1] = (char *) p;
        p = ngx_http_chatmaid_store_script_name(p, conf, "note:",
                                                look->ids[i]);
        len[i + 1] = (char *) p - argv[i + 1];
    }

    return ngx_http_chatmaid_redis_command(redis, look->n + 1, argv, len,
                                           ngx_http_chatmaid_notes_look_handler,
                                           look)
           ? NGX_AGAIN : NGX_OK;
}


static void
ngx_http_chatmaid_notes_look_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_notes_look_t  *look = data;

    ngx_uint_t  i;

    if (error == NGX_HTTP_CHATMAID_REDIS_OK && reply->type == REDIS_REPLY_ARRAY
        && reply->elements == look->n)
    {
        for (i = 0; i < look->n; i++) {
            look->stamps[i][1] = ngx_http_chatmaid_notes_stamp(
                                                          reply->element[i]);
        }
    }

    look->handler(look);
}


/* 0 for anything else than what leave_in_redis() has written. */

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
