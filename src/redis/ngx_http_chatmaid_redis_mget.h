
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Reads the values of many keys: by one MGET, or in a Cluster by one for each
 * key.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_MGET_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_MGET_H_INCLUDED_


#include "ngx_http_chatmaid_redis.h"


/* Called with the value of keys[i], a reply of any type, which is valid until
 * this returns.  Not called for a key that could not be read. */
typedef void (*ngx_http_chatmaid_redis_mget_pt)(void *data, ngx_uint_t i,
    redisReply *value);


/* Reads n keys (at least one), which are copied.  Returns NGX_AGAIN, or
 * NGX_ERROR if there is no memory; then nothing is called.  After NGX_AGAIN
 * "value" is called for each key that could be read, and then "done", neither
 * before this function has returned.  The commands can't be cancelled: the pool
 * and "data" must last until "done". */
ngx_int_t ngx_http_chatmaid_redis_mget(ngx_http_chatmaid_redis_t *redis,
    ngx_pool_t *pool, ngx_uint_t n, ngx_str_t *keys,
    ngx_http_chatmaid_redis_mget_pt value, void (*done)(void *data),
    void *data);


#endif /* _NGX_HTTP_CHATMAID_REDIS_MGET_H_INCLUDED_ */
