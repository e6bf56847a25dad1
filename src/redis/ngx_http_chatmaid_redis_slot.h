
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The slot of a key in a Redis Cluster, which depends on its hash tag alone:
 * what is between the first "{" and the next "}", unless that is nothing; else
 * the whole key.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>


#define NGX_HTTP_CHATMAID_REDIS_SLOTS  16384


/* Slots in a row, and the host that has them.  An empty name is that of the
 * server that says so. */

typedef struct {
    ngx_uint_t   first;
    ngx_uint_t   last;
    ngx_str_t    name;
    ngx_int_t    port;
} ngx_http_chatmaid_redis_slot_range_t;


/* The part of a key that counts. */
ngx_str_t ngx_http_chatmaid_redis_slot_tag(ngx_str_t *key);

/* Less than NGX_HTTP_CHATMAID_REDIS_SLOTS. */
ngx_uint_t ngx_http_chatmaid_redis_slot(ngx_str_t *key);

/* Reads "MOVED 3999 10.0.0.1:6381", or ASK the same way.  The name is in the
 * reply.  NGX_DECLINED: it is something else. */
ngx_int_t ngx_http_chatmaid_redis_slot_read_redirect(redisReply *reply,
    ngx_http_chatmaid_redis_slot_range_t *range, ngx_uint_t *asking);

/* Reads one element of what CLUSTER SLOTS returns, [first, last, [host, port,
 * ...], ...], with the master first.  As above. */
ngx_int_t ngx_http_chatmaid_redis_slot_read_range(redisReply *reply,
    ngx_http_chatmaid_redis_slot_range_t *range);


#endif /* _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_ */
