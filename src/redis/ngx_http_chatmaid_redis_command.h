
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Commands and scripts for one server: their way into its queue, and what a
 * reply does to them.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_


#include "ngx_http_chatmaid_redis_fifo.h"


/* redis.h says what these do: command() and script(). */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_add(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t argc,
    const char **argv, const size_t *len, ngx_http_chatmaid_redis_pt handler,
    void *data);
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_add_script(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* The next reply.  Calls the handler of its command, unless nobody waits for it
 * any more, EVAL is queued instead, or it goes on elsewhere.  The reply remains
 * the caller's.  NGX_ERROR: no reply is due. */
ngx_int_t ngx_http_chatmaid_redis_command_reply(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_ */
