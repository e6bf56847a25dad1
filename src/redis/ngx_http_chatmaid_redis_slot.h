
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The slot of a key in a Redis Cluster (see "Hash tags" in the Redis cluster
 * specification).  The slot depends only on the hash tag of the key: what is
 * between the first "{" and the next "}", unless that is empty; else the whole
 * key.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>


#define NGX_HTTP_CHATMAID_REDIS_SLOTS  16384


/* The slots from first to last, and the host that has them.  An empty name
 * stands for the host of the server that has sent this. */

typedef struct {
    ngx_uint_t   first;
    ngx_uint_t   last;
    ngx_str_t    name;
    ngx_int_t    port;
} ngx_http_chatmaid_redis_slot_range_t;


/* Returns the part of a key that its slot depends on; it is not copied. */
ngx_str_t ngx_http_chatmaid_redis_slot_tag(ngx_str_t *key);

/* Returns the slot of a key, less than NGX_HTTP_CHATMAID_REDIS_SLOTS. */
ngx_uint_t ngx_http_chatmaid_redis_slot(ngx_str_t *key);

/* Reads an error like "MOVED 3999 10.0.0.1:6381", or ASK in the same form, for
 * which *asking is 1.  The name is not copied, the port may be invalid.
 * Returns NGX_OK, or NGX_DECLINED if it is another error. */
ngx_int_t ngx_http_chatmaid_redis_slot_read_redirect(redisReply *reply,
    ngx_http_chatmaid_redis_slot_range_t *range, ngx_uint_t *asking);

/* Reads one element of the reply to CLUSTER SLOTS, [first, last, [host, port,
 * ...], ...], with the master first.  The name is not copied, the port may be
 * invalid.  Returns NGX_OK, or NGX_DECLINED if it is something else. */
ngx_int_t ngx_http_chatmaid_redis_slot_read_range(redisReply *reply,
    ngx_http_chatmaid_redis_slot_range_t *range);


#endif /* _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_ */
