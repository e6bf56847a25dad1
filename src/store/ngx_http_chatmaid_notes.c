
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_notes.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_zone.h"


#define NGX_HTTP_CHATMAID_STAMP_LEN  16     /* in hexadecimal */


static void ngx_http_chatmaid_notes_ignored(void *data, ngx_uint_t error,
    redisReply *reply);
static void ngx_http_chatmaid_notes_seen(void *data, ngx_uint_t error,
    redisReply *reply);
static uint64_t ngx_http_chatmaid_notes_stamp(redisReply *reply);


/* In the zone too: this nginx's own waiters need no Redis for it. */

void
ngx_http_chatmaid_notes_leave(void *store, u_char *id, uint64_t stamp)
{
    ngx_http_chatmaid_main_conf_t  *mcf = store;

    u_char                     *p;
    size_t                      len[5];
    const char                 *argv[5];
    ngx_http_chatmaid_redis_t  *redis;
    u_char                      key[NGX_HTTP_CHATMAID_MAX_NAME];
    u_char                      value[NGX_HTTP_CHATMAID_STAMP_LEN];
    u_char                      ttl[NGX_INT64_LEN];

    ngx_http_chatmaid_store_zone.note(mcf->zone, id, stamp);

    redis = ngx_http_chatmaid_redis_get(mcf->redis);

    if (redis == NULL) {
        return;
    }

    argv[0] = "SET";
    len[0] = sizeof("SET") - 1;

    p = ngx_http_chatmaid_store_script_name(key, mcf->redis, "note:", id);

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
                                           ngx_http_chatmaid_notes_ignored,
                                           NULL);
}


static void
ngx_http_chatmaid_notes_ignored(void *data, ngx_uint_t error,
    redisReply *reply)
{
    /* whoever waits asks again in any case, if later */
}


ngx_int_t
ngx_http_chatmaid_notes_look(void *store, ngx_http_chatmaid_look_t *look)
{
    ngx_http_chatmaid_main_conf_t  *mcf = store;

    u_char                     *p;
    size_t                     *len;
    ngx_uint_t                  i;
    const char                **argv;
    ngx_http_chatmaid_redis_t  *redis;

    (void) ngx_http_chatmaid_store_zone.look(mcf->zone, look);

    redis = ngx_http_chatmaid_redis_get(mcf->redis);

    /* a Redis that is away is back once it answers: somebody has to ask it */

    if (redis == NULL || look->n == 0
        || (!ngx_http_chatmaid_redis_up(redis) && !look->insist))
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
        p = ngx_http_chatmaid_store_script_name(p, mcf->redis, "note:",
                                                look->ids[i]);
        len[i + 1] = (char *) p - argv[i + 1];
    }

    return ngx_http_chatmaid_redis_command(redis, look->n + 1, argv, len,
                                           ngx_http_chatmaid_notes_seen, look)
           ? NGX_AGAIN : NGX_OK;
}


static void
ngx_http_chatmaid_notes_seen(void *data, ngx_uint_t error, redisReply *reply)
{
    ngx_http_chatmaid_look_t  *look = data;

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


static uint64_t
ngx_http_chatmaid_notes_stamp(redisReply *reply)
{
    size_t    i;
    u_char    ch;
    uint64_t  stamp;

    if (reply->type != REDIS_REPLY_STRING
        || reply->len != NGX_HTTP_CHATMAID_STAMP_LEN)
    {
        return 0;
    }

    stamp = 0;

    for (i = 0; i < NGX_HTTP_CHATMAID_STAMP_LEN; i++) {
        ch = reply->str[i] | 0x20;
        stamp = stamp * 16 + (ch > '9' ? ch - 'a' + 10 : ch - '0');
    }

    return stamp;
}
