
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * How a command gets into the queue, and how its reply is handled, in this
 * order; scripts come last.
 */


#include "ngx_http_chatmaid_redis_command.h"
#include "ngx_http_chatmaid_redis_buffer.h"
#include "ngx_http_chatmaid_redis_redirect.h"


static ngx_http_chatmaid_redis_command_t *
    ngx_http_chatmaid_redis_command_create(
    ngx_http_chatmaid_redis_commands_t *commands, size_t size,
    ngx_http_chatmaid_redis_pt handler, void *data);
static ngx_http_chatmaid_redis_command_t *
    ngx_http_chatmaid_redis_command_queue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, const void *bytes, size_t len);
static void ngx_http_chatmaid_redis_command_late_reply(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_redis_command_judge(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_redis_command_eval(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command_add(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t argc,
    const char **argv, const size_t *len, ngx_http_chatmaid_redis_pt handler,
    void *data)
{
    char                               *bytes;
    long long                           n;
    ngx_http_chatmaid_redis_command_t  *command;

    n = redisFormatSdsCommandArgv(&bytes, argc, argv, len);
    if (n < 0) {
        return NULL;
    }

    command = ngx_http_chatmaid_redis_command_create(commands, n, handler,
                                                     data);
    if (command) {
        command->bytes.data = (u_char *) &command[1];
        command->bytes.len = n;
        ngx_memcpy(command->bytes.data, bytes, n);

        command = ngx_http_chatmaid_redis_command_queue(commands, command,
                                                        bytes, n);
    }

    redisFreeSdsCommand(bytes);

    return command;
}


/* Allocates a command with room for "size" bytes behind it. */

static ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command_create(
    ngx_http_chatmaid_redis_commands_t *commands, size_t size,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_redis_command_t  *command;

    command = ngx_alloc(sizeof(ngx_http_chatmaid_redis_command_t) + size,
                        commands->log);
    if (command == NULL) {
        return NULL;
    }

    ngx_memzero(command, sizeof(ngx_http_chatmaid_redis_command_t));

    command->commands = commands;
    command->handler = handler;
    command->data = data;

    return command;
}


/* Queues a command and its bytes, or ends it at once.  NULL: no memory, and the
 * command has been freed. */

static ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command_queue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, const void *bytes, size_t len)
{
    size_t  unsent;

    unsent = commands->out.last - commands->out.pos + len;

    if (commands->handlers->accept(commands->data, unsent) != NGX_OK) {
        ngx_http_chatmaid_redis_fifo_end(commands, command,
                                         NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        return command;
    }

    if (ngx_http_chatmaid_redis_buffer_append(&commands->out, bytes, len,
                                              commands->log)
        != NGX_OK)
    {
        ngx_free(command);
        return NULL;
    }

    ngx_http_chatmaid_redis_fifo_enqueue(commands, command, len);

    command->deadline = ngx_current_msec + commands->timeout;
    ngx_http_chatmaid_redis_fifo_enlist(commands, command);

    return command;
}


ngx_int_t
ngx_http_chatmaid_redis_command_reply(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply)
{
    ngx_uint_t                          error;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    if (ngx_queue_empty(&commands->sent)) {
        return NGX_ERROR;
    }

    q = ngx_queue_head(&commands->sent);
    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

    if (command->asked) {
        command->asked = 0;             /* this is the reply to ASKING */
        (void) ngx_http_chatmaid_redis_command_judge(commands, reply);
        return NGX_OK;
    }

    ngx_queue_remove(q);
    command->in_fifo = 0;

    if (!command->live) {
        ngx_http_chatmaid_redis_command_late_reply(commands, command, reply);
        return NGX_OK;
    }

    if (ngx_http_chatmaid_redis_redirect(commands, command, reply)
        == NGX_OK)
    {
        return NGX_OK;
    }

    error = ngx_http_chatmaid_redis_command_judge(commands, reply);

    if (error != NGX_HTTP_CHATMAID_REDIS_REFUSED) {
        commands->handlers->answered(commands->data);
    }

    if (ngx_http_chatmaid_redis_command_eval(commands, command, reply)
        == NGX_OK)
    {
        return NGX_OK;
    }

    ngx_queue_remove(&command->queue);
    command->live = 0;

    ngx_http_chatmaid_redis_fifo_count(commands, command, error);

    command->handler(command->data, error, reply);

    ngx_free(command);

    return NGX_OK;
}


/*
 * Nobody waits for the reply any more.  A script that lasts is redirected, or
 * sent as EVAL if the server did not know it, all the same, and gets a new
 * deadline.
 */

static void
ngx_http_chatmaid_redis_command_late_reply(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply)
{
    if (command->lasts && !command->ended) {
        command->deadline = ngx_current_msec + commands->timeout;

        if (ngx_http_chatmaid_redis_redirect(commands, command, reply)
            == NGX_OK)
        {
            return;
        }
    }

    if (!command->ended) {
        (void) ngx_http_chatmaid_redis_command_judge(commands, reply);
    }

    if (command->lasts
        && ngx_http_chatmaid_redis_command_eval(commands, command, reply)
           == NGX_OK)
    {
        command->deadline = ngx_current_msec + commands->timeout;
        return;
    }

    if (!command->ended) {
        ngx_free(command);
    }
}


static ngx_uint_t
ngx_http_chatmaid_redis_command_judge(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply)
{
    ngx_str_t                           text;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    if (reply->type != REDIS_REPLY_ERROR) {
        return NGX_HTTP_CHATMAID_REDIS_OK;
    }

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    refusal = ngx_http_chatmaid_redis_refusal_find(&text);

    if (refusal == NULL) {
        return NGX_HTTP_CHATMAID_REDIS_ERROR;
    }

    commands->handlers->refused(commands->data, refusal, &text);

    return NGX_HTTP_CHATMAID_REDIS_REFUSED;
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command_add_script(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_redis_command_t  *command;

    command = ngx_http_chatmaid_redis_command_create(commands,
                               ngx_http_chatmaid_redis_script_size(argc, len),
                               handler, data);
    if (command == NULL) {
        return NULL;
    }

    ngx_http_chatmaid_redis_script_format(&command->call, script, nkeys, argc,
                                          argv, len, (u_char *) (command + 1));

    command->evalsha = 1;
    command->lasts = script->lasts;

    return ngx_http_chatmaid_redis_command_queue(commands, command,
                                                 command->call.evalsha,
                                                 command->call.len);
}


/* Queues EVAL if the reply to EVALSHA is that the script is unknown.
 * NGX_DECLINED: it is another reply; NGX_ERROR: no memory. */

static ngx_int_t
ngx_http_chatmaid_redis_command_eval(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply)
{
    if (!command->evalsha
        || !ngx_http_chatmaid_redis_script_is_unknown(reply))
    {
        return NGX_DECLINED;
    }

    command->evalsha = 0;

    if (ngx_http_chatmaid_redis_fifo_resend(commands, command) != NGX_OK) {
        command->evalsha = 1;
        return NGX_ERROR;
    }

    return NGX_OK;
}
