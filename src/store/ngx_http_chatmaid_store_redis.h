
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The shared store: records in Redis, on which any number of gateways agree.
 * Unfinished records stand in this nginx's zone as well; see README, "Redis
 * away".
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_store.h"


extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_redis;


/* Logs an error that a script got.  It tells of a mistake (an ACL, a key of
 * another type), not of a lost connection, which the client logs.  At most one
 * line a minute and worker. */
void ngx_http_chatmaid_store_redis_log_error(ngx_uint_t error,
    redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_ */
