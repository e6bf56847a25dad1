
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_redirect.h"


/* Milliseconds until a paused command is sent again. */
#define NGX_HTTP_CHATMAID_REDIS_REDIRECT_PAUSE  20

/* More redirects of one command than this are taken for a loop. */
#define NGX_HTTP_CHATMAID_REDIS_REDIRECT_MAX    8


static ngx_int_t ngx_http_chatmaid_redis_redirect_pause(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);
static void ngx_http_chatmaid_redis_redirect_send(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);
static void ngx_http_chatmaid_redis_redirect_again(ngx_event_t *ev);


void
ngx_http_chatmaid_redis_redirect_init(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    commands->again.handler = ngx_http_chatmaid_redis_redirect_again;
    commands->again.data = commands;
    commands->again.log = commands->log;
    commands->again.cancelable = 1;
}


ngx_int_t
ngx_http_chatmaid_redis_redirect(ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply)
{
    ngx_http_chatmaid_redis_redirect_t  redirect;

    if (reply->type != REDIS_REPLY_ERROR
        || command->redirects == NGX_HTTP_CHATMAID_REDIS_REDIRECT_MAX)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&redirect, sizeof(ngx_http_chatmaid_redis_redirect_t));

    if (commands->handlers->redirect(commands->data, reply, &redirect)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (redirect.later) {
        return ngx_http_chatmaid_redis_redirect_pause(commands, command);
    }

    command->redirects++;
    command->asks = redirect.asking;

    ngx_http_chatmaid_redis_redirect_send(redirect.to, command);

    return NGX_OK;
}


/* If no time would be left after the pause, the error is the reply. */

static ngx_int_t
ngx_http_chatmaid_redis_redirect_pause(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    if (!command->live
        || (ngx_msec_int_t) (command->deadline - ngx_current_msec)
           <= NGX_HTTP_CHATMAID_REDIS_REDIRECT_PAUSE)
    {
        return NGX_DECLINED;
    }

    ngx_http_chatmaid_redis_fifo_pause(commands, command);

    if (!commands->again.timer_set) {
        ngx_add_timer(&commands->again, NGX_HTTP_CHATMAID_REDIS_REDIRECT_PAUSE);
    }

    return NGX_OK;
}


/* No server has carried out the command, so it ends as UNREACHABLE if it can't
 * be sent again. */

static void
ngx_http_chatmaid_redis_redirect_send(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    size_t  unsent;

    command->commands = commands;

    if (command->live) {
        ngx_queue_remove(&command->queue);
        ngx_http_chatmaid_redis_fifo_enlist(commands, command);
    }

    unsent = commands->out.last - commands->out.pos;

    if (commands->handlers->accept(commands->data, unsent) == NGX_OK
        && ngx_http_chatmaid_redis_fifo_resend(commands, command) == NGX_OK)
    {
        return;
    }

    if (command->live) {
        ngx_http_chatmaid_redis_fifo_end(commands, command,
                                         NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);

    } else if (!command->ended) {
        ngx_free(command);
    }
}


static void
ngx_http_chatmaid_redis_redirect_again(ngx_event_t *ev)
{
    ngx_queue_t                         *q;
    ngx_http_chatmaid_redis_command_t   *command;
    ngx_http_chatmaid_redis_commands_t  *commands;

    commands = ev->data;

    while (!ngx_queue_empty(&commands->paused)) {
        q = ngx_queue_head(&commands->paused);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
        command->paused = 0;

        ngx_http_chatmaid_redis_redirect_send(commands, command);
    }

    commands->handlers->settled(commands->data);
}
