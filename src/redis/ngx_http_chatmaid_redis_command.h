
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Commands and scripts for one server: how they get into its queue, and what
 * happens when a reply comes.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_


#include "ngx_http_chatmaid_redis_fifo.h"


/* The same as ngx_http_chatmaid_redis_command() and _script() in redis.h, but
 * for one server. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_add(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t argc,
    const char **argv, const size_t *len, ngx_http_chatmaid_redis_pt handler,
    void *data);
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_add_script(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* Takes the next reply, which is for the oldest command sent.  Calls the
 * handler of the command, unless nobody waits for it any more, EVAL is queued
 * after an EVALSHA, or the command was redirected.  The reply remains the
 * caller's.  Returns NGX_OK, or NGX_ERROR if no reply is due. */
ngx_int_t ngx_http_chatmaid_redis_command_reply(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_ */
