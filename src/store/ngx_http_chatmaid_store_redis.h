
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The shared store: records in Redis, so that any number of gateways
 * agree.  What is unfinished stands in this nginx's zone as well; README, under
 * "Redis away", says what that is for.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_store.h"


/* Logs an error that a script got: it tells of a mistake (an ACL, a key of
 * another type), not of a Redis that is away, whose loss the client logs.  At
 * most one line a minute and worker. */
void ngx_http_chatmaid_store_redis_log_error(ngx_uint_t error,
    redisReply *reply);

/* Its "void *store" is the ngx_http_chatmaid_main_conf_t. */
extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_redis;


#endif /* _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_ */
