
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The shared store: records in Redis, which any number of gateways share.
 * Unfinished records are in this nginx's zone as well: see docs/redis.md.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_redis;


#endif /* _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_ */
