
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Commands that a node of a Redis Cluster redirects to another node, or that it
 * asks to be sent again later.  They keep their deadlines.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_REDIRECT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_REDIRECT_H_INCLUDED_


#include "ngx_http_chatmaid_redis_fifo.h"


/* To be called after fifo_init(). */
void ngx_http_chatmaid_redis_redirect_init(
    ngx_http_chatmaid_redis_commands_t *commands);

/* Takes a command that has left the FIFO, and its reply.  Returns NGX_OK: the
 * command is sent again, or it has ended; if nobody waits for it, it may have
 * been freed.  NGX_DECLINED: it is not redirected, the caller handles the
 * reply. */
ngx_int_t ngx_http_chatmaid_redis_redirect(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_REDIRECT_H_INCLUDED_ */
