
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A Redis server for the targets, in the process itself: it takes the client's
 * connection, greets it, and then says what the input says.
 */


#ifndef _REDIS_SERVER_H_INCLUDED_
#define _REDIS_SERVER_H_INCLUDED_


#include "harness.h"
#include "ngx_http_chatmaid_redis.h"


/* Starts nginx, a worker and the server. */
void redis_server_start(void);

/* Waits until the client is connected, and has had its greeting answered. */
ngx_http_chatmaid_redis_conf_t *redis_server_connected(void);

/* Sends bytes, in two pieces; then, with "close", closes the connection. */
void redis_server_send(ngx_str_t *bytes, size_t first, ngx_uint_t close);


#endif /* _REDIS_SERVER_H_INCLUDED_ */
