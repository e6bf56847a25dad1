
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


#define NGX_HTTP_CHATMAID_REDIS_SLOTS  16384


/* The part of a key that counts. */
ngx_str_t ngx_http_chatmaid_redis_slot_tag(ngx_str_t *key);

/* Less than NGX_HTTP_CHATMAID_REDIS_SLOTS. */
ngx_uint_t ngx_http_chatmaid_redis_slot(ngx_str_t *key);


#endif /* _NGX_HTTP_CHATMAID_REDIS_SLOT_H_INCLUDED_ */
