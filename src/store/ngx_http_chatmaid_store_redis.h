
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The shared store: records in Redis, on which any number of gateways agree.
 * Unfinished records stand in this nginx's zone as well; see README, "Redis
 * away".
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"
#include "ngx_http_chatmaid_redis.h"


extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_redis;


/* Logs that a script has failed for a mistake, such as a key of another type or
 * a missing permission: one line until records are kept again.  The client
 * tells of a server that does not answer. */
void ngx_http_chatmaid_store_redis_log_failed(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_uint_t error, redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_STORE_REDIS_H_INCLUDED_ */
