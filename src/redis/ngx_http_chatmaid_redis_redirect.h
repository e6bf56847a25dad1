
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A command that a server has sent elsewhere, or told to come again, as the
 * nodes of a Redis Cluster do.  It goes on with what is left of its time.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_REDIRECT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_REDIRECT_H_INCLUDED_


#include "ngx_http_chatmaid_redis_fifo.h"


/* After fifo_init(). */
void ngx_http_chatmaid_redis_redirect_init(
    ngx_http_chatmaid_redis_commands_t *commands);

/* Takes a command that has left the FIFO.  NGX_OK: it goes on, or it has ended;
 * one for which nobody waits may have been freed.  NGX_DECLINED: this is its
 * reply. */
ngx_int_t ngx_http_chatmaid_redis_redirect(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_REDIRECT_H_INCLUDED_ */
