
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_mget.h"


typedef struct {
    ngx_http_chatmaid_redis_mget_pt   value;
    void                            (*done)(void *data);
    void                             *data;
    ngx_uint_t                        pending;    /* commands */
} ngx_http_chatmaid_redis_mget_t;


/* One command, for n consecutive keys. */

typedef struct {
    ngx_http_chatmaid_redis_mget_t   *mget;
    ngx_uint_t                        first;
    ngx_uint_t                        n;
} ngx_http_chatmaid_redis_mget_part_t;


static void ngx_http_chatmaid_redis_mget_handler(void *data, ngx_uint_t error,
    redisReply *reply);


ngx_int_t
ngx_http_chatmaid_redis_mget(ngx_http_chatmaid_redis_t *redis,
    ngx_pool_t *pool, ngx_uint_t n, ngx_str_t *keys,
    ngx_http_chatmaid_redis_mget_pt value, void (*done)(void *data),
    void *data)
{
    size_t                               *len;
    ngx_uint_t                            i, j, each;
    const char                          **argv;
    ngx_http_chatmaid_redis_mget_t       *mget;
    ngx_http_chatmaid_redis_mget_part_t  *part;

    each = ngx_http_chatmaid_redis_is_cluster(redis) ? 1 : n;

    mget = ngx_pcalloc(pool, sizeof(ngx_http_chatmaid_redis_mget_t));
    part = ngx_pcalloc(pool, (n / each)
                             * sizeof(ngx_http_chatmaid_redis_mget_part_t));
    argv = ngx_palloc(pool, (each + 1) * sizeof(char *));
    len = ngx_palloc(pool, (each + 1) * sizeof(size_t));

    if (mget == NULL || part == NULL || argv == NULL || len == NULL) {
        return NGX_ERROR;
    }

    mget->value = value;
    mget->done = done;
    mget->data = data;

    argv[0] = "MGET";
    len[0] = sizeof("MGET") - 1;

    for (i = 0; i < n; i += each) {

        for (j = 0; j < each; j++) {
            argv[j + 1] = (char *) keys[i + j].data;
            len[j + 1] = keys[i + j].len;
        }

        part->mget = mget;
        part->first = i;
        part->n = each;

        if (ngx_http_chatmaid_redis_command(redis, each + 1, argv, len,
                                          ngx_http_chatmaid_redis_mget_handler,
                                          part++))
        {
            mget->pending++;
        }
    }

    return mget->pending ? NGX_AGAIN : NGX_ERROR;
}


static void
ngx_http_chatmaid_redis_mget_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_redis_mget_part_t  *part = data;

    ngx_uint_t                       i;
    ngx_http_chatmaid_redis_mget_t  *mget;

    mget = part->mget;

    if (error == NGX_HTTP_CHATMAID_REDIS_OK && reply->type == REDIS_REPLY_ARRAY
        && reply->elements == part->n)
    {
        for (i = 0; i < part->n; i++) {
            mget->value(mget->data, part->first + i, reply->element[i]);
        }
    }

    mget->pending--;

    if (mget->pending == 0) {
        mget->done(mget->data);
    }
}
