
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_fifo.h"
#include "ngx_http_chatmaid_counters.h"
#include "ngx_http_chatmaid_redis_buffer.h"


/* A reply that has been due for this many timeouts won't come any more. */
#define NGX_HTTP_CHATMAID_REDIS_FIFO_PATIENCE  4


static void ngx_http_chatmaid_redis_fifo_prune(
    ngx_http_chatmaid_redis_commands_t *commands);
static void ngx_http_chatmaid_redis_fifo_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_fifo_expire(
    ngx_http_chatmaid_redis_commands_t *commands);
static void ngx_http_chatmaid_redis_fifo_unpause(
    ngx_http_chatmaid_redis_command_t *command);
static ngx_int_t ngx_http_chatmaid_redis_fifo_write(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);
static void ngx_http_chatmaid_redis_fifo_end_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_fifo_arm(
    ngx_http_chatmaid_redis_commands_t *commands);
static ngx_msec_t ngx_http_chatmaid_redis_fifo_patience(
    ngx_http_chatmaid_redis_commands_t *commands);


void
ngx_http_chatmaid_redis_fifo_init(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_msec_t timeout,
    ngx_http_chatmaid_redis_command_handlers_t *handlers, void *data,
    ngx_log_t *log)
{
    commands->timeout = timeout;
    commands->handlers = handlers;
    commands->data = data;
    commands->log = log;

    ngx_queue_init(&commands->queued);
    ngx_queue_init(&commands->sent);
    ngx_queue_init(&commands->live);
    ngx_queue_init(&commands->ended);
    ngx_queue_init(&commands->paused);

    commands->timer.handler = ngx_http_chatmaid_redis_fifo_timer_handler;
    commands->timer.data = commands;
    commands->timer.log = log;
    commands->timer.cancelable = 1;

    commands->end.handler = ngx_http_chatmaid_redis_fifo_end_handler;
    commands->end.data = commands;
    commands->end.log = log;
}


void
ngx_http_chatmaid_redis_fifo_exit(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_queue_t  *q;

    ngx_http_chatmaid_redis_fifo_close(commands,
                                          NGX_HTTP_CHATMAID_REDIS_LOST);
    ngx_http_chatmaid_redis_fifo_drop(commands);

    while (!ngx_queue_empty(&commands->paused)) {
        q = ngx_queue_head(&commands->paused);

        ngx_http_chatmaid_redis_fifo_cancel(
            ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo));
    }

    while (!ngx_queue_empty(&commands->ended)) {
        q = ngx_queue_head(&commands->ended);
        ngx_queue_remove(q);

        ngx_free(ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue));
    }

    ngx_http_chatmaid_redis_buffer_free(&commands->out);

    if (commands->timer.timer_set) {
        ngx_del_timer(&commands->timer);
    }

    if (commands->again.timer_set) {
        ngx_del_timer(&commands->again);
    }

    if (commands->end.posted) {
        ngx_delete_posted_event(&commands->end);
    }
}


void
ngx_http_chatmaid_redis_fifo_enqueue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, size_t size)
{
    command->size = size;
    command->in_fifo = 1;
    ngx_queue_insert_tail(&commands->queued, &command->fifo);

    commands->handlers->changed(commands->data);
}


ngx_int_t
ngx_http_chatmaid_redis_fifo_resend(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    size_t  used;

    used = commands->out.last - commands->out.pos;

    if (ngx_http_chatmaid_redis_fifo_write(commands, command) != NGX_OK) {
        commands->out.last = commands->out.pos + used;
        return NGX_ERROR;
    }

    command->asked = command->asks;

    ngx_http_chatmaid_redis_fifo_enqueue(commands, command,
                              commands->out.last - commands->out.pos - used);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_redis_fifo_write(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    ngx_buf_t  *out;
    ngx_log_t  *log;

    static u_char  asking[] = "*1" CRLF "$6" CRLF "ASKING" CRLF;

    out = &commands->out;
    log = commands->log;

    if (command->asks
        && ngx_http_chatmaid_redis_buffer_append(out, asking,
                                                 sizeof(asking) - 1, log)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (command->call.script == NULL) {
        return ngx_http_chatmaid_redis_buffer_append(out, command->bytes.data,
                                                     command->bytes.len, log);
    }

    if (command->evalsha) {
        return ngx_http_chatmaid_redis_buffer_append(out,
                                                     command->call.evalsha,
                                                     command->call.len, log);
    }

    return ngx_http_chatmaid_redis_script_eval(&command->call, out, log);
}


/* All commands have the same timeout, so only a redirected command may have an
 * earlier deadline than those before it. */

void
ngx_http_chatmaid_redis_fifo_enlist(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *other;

    for (q = ngx_queue_last(&commands->live);
         q != ngx_queue_sentinel(&commands->live);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);

        if ((ngx_msec_int_t) (other->deadline - command->deadline) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &command->queue);
    command->live = 1;

    ngx_http_chatmaid_redis_fifo_arm(commands);
}


void
ngx_http_chatmaid_redis_fifo_pause(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    command->paused = 1;
    ngx_queue_insert_tail(&commands->paused, &command->fifo);
}


static void
ngx_http_chatmaid_redis_fifo_unpause(
    ngx_http_chatmaid_redis_command_t *command)
{
    if (command->paused) {
        command->paused = 0;
        ngx_queue_remove(&command->fifo);
    }
}


void
ngx_http_chatmaid_redis_fifo_cancel(
    ngx_http_chatmaid_redis_command_t *command)
{
    ngx_http_chatmaid_redis_commands_t  *commands;

    commands = command->commands;

    if (!command->live && !command->ended) {
        return;
    }

    ngx_queue_remove(&command->queue);
    command->live = 0;
    command->ended = 0;

    ngx_http_chatmaid_redis_fifo_unpause(command);

    if (!command->in_fifo) {
        ngx_free(command);
    }

    commands->handlers->changed(commands->data);
}


void
ngx_http_chatmaid_redis_fifo_open(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    commands->open = 1;

    ngx_http_chatmaid_redis_fifo_prune(commands);
}


void
ngx_http_chatmaid_redis_fifo_close(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t error)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    commands->open = 0;

    if (commands->partial) {
        commands->out.pos += commands->partial;
        commands->partial = 0;
    }

    while (!ngx_queue_empty(&commands->sent)) {
        q = ngx_queue_head(&commands->sent);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
        command->in_fifo = 0;

        if (command->live) {
            ngx_http_chatmaid_redis_fifo_end(commands, command, error);

        } else if (!command->ended) {
            ngx_free(command);
        }
    }

    ngx_http_chatmaid_redis_fifo_prune(commands);
}


void
ngx_http_chatmaid_redis_fifo_drop(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    for (q = ngx_queue_head(&commands->queued);
         q != ngx_queue_sentinel(&commands->queued);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

        if (command->live) {
            ngx_http_chatmaid_redis_fifo_end(commands, command,
                                         NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        }
    }

    ngx_http_chatmaid_redis_fifo_prune(commands);
}


/* Removes the commands that nobody waits for any more from "queued" and "out".
 * To be called only while no command is partly written. */

static void
ngx_http_chatmaid_redis_fifo_prune(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    u_char                             *p, *last;
    ngx_queue_t                        *q, *next;
    ngx_http_chatmaid_redis_command_t  *command;

    p = commands->out.pos;
    last = commands->out.pos;

    for (q = ngx_queue_head(&commands->queued);
         q != ngx_queue_sentinel(&commands->queued);
         q = next)
    {
        next = ngx_queue_next(q);
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

        if (command->live) {
            if (last != p) {
                ngx_memmove(last, p, command->size);
            }

            p += command->size;
            last += command->size;
            continue;
        }

        p += command->size;

        ngx_queue_remove(q);
        command->in_fifo = 0;

        if (!command->ended) {
            ngx_free(command);
        }
    }

    commands->out.last = last;
}


void
ngx_http_chatmaid_redis_fifo_written(
    ngx_http_chatmaid_redis_commands_t *commands, size_t n)
{
    ngx_buf_t                          *out;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    out = &commands->out;
    out->pos += n;

    while (n > commands->partial) {
        n -= commands->partial;

        q = ngx_queue_head(&commands->queued);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&commands->sent, q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
        commands->partial = command->size;
    }

    commands->partial -= n;

    if (out->pos == out->last) {
        ngx_http_chatmaid_redis_buffer_trim(out);
    }
}


ngx_uint_t
ngx_http_chatmaid_redis_fifo_due(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    return !ngx_queue_empty(&commands->sent);
}


ngx_uint_t
ngx_http_chatmaid_redis_fifo_pending(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    return !ngx_queue_empty(&commands->live)
           || !ngx_queue_empty(&commands->ended);
}


ngx_uint_t
ngx_http_chatmaid_redis_fifo_empty(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    return ngx_queue_empty(&commands->sent)
           && ngx_queue_empty(&commands->queued)
           && ngx_queue_empty(&commands->live)
           && ngx_queue_empty(&commands->ended);
}


void
ngx_http_chatmaid_redis_fifo_settle(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_uint_t  pending;

    pending = ngx_http_chatmaid_redis_fifo_pending(commands);

    commands->timer.cancelable = !pending;

    if (!pending && ngx_queue_empty(&commands->sent)
        && ngx_queue_empty(&commands->queued) && commands->timer.timer_set)
    {
        ngx_del_timer(&commands->timer);
    }
}


static void
ngx_http_chatmaid_redis_fifo_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_commands_t  *commands;

    commands = ev->data;

    ngx_http_chatmaid_redis_fifo_expire(commands);

    if (!ngx_queue_empty(&commands->sent)
        && (ngx_msec_int_t) (ngx_http_chatmaid_redis_fifo_patience(commands)
                             - ngx_current_msec) <= 0)
    {
        commands->handlers->silent(commands->data);
    }

    ngx_http_chatmaid_redis_fifo_arm(commands);

    commands->handlers->settled(commands->data);
}


static void
ngx_http_chatmaid_redis_fifo_expire(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_uint_t                          late;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    late = 0;

    while (!ngx_queue_empty(&commands->live)) {
        q = ngx_queue_head(&commands->live);
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);

        if ((ngx_msec_int_t) (command->deadline - ngx_current_msec) > 0) {
            break;
        }

        /* what is queued while there is a connection may still be sent */

        ngx_http_chatmaid_redis_fifo_end(commands, command,
                                      commands->open && !command->paused
                                      ? NGX_HTTP_CHATMAID_REDIS_TIMEOUT
                                      : NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        late = 1;
    }

    if (late) {
        commands->handlers->late(commands->data);
    }
}


void
ngx_http_chatmaid_redis_fifo_end(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error)
{
    if (command->live) {
        ngx_queue_remove(&command->queue);
        command->live = 0;
    }

    ngx_http_chatmaid_redis_fifo_unpause(command);

    command->error = error;
    command->ended = 1;
    ngx_queue_insert_tail(&commands->ended, &command->queue);

    ngx_http_chatmaid_redis_fifo_arm(commands);

    ngx_post_event(&commands->end, &ngx_posted_next_events);
}


static void
ngx_http_chatmaid_redis_fifo_end_handler(ngx_event_t *ev)
{
    ngx_queue_t                          ended, *q;
    ngx_http_chatmaid_redis_command_t   *command;
    ngx_http_chatmaid_redis_commands_t  *commands;

    commands = ev->data;

    /* commands that fail while handlers run are left for the next turn */

    ngx_queue_init(&ended);

    if (!ngx_queue_empty(&commands->ended)) {
        ngx_queue_add(&ended, &commands->ended);
        ngx_queue_init(&commands->ended);
    }

    while (!ngx_queue_empty(&ended)) {
        q = ngx_queue_head(&ended);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);
        command->ended = 0;

        ngx_http_chatmaid_redis_fifo_count(commands, command,
                                              command->error);

        command->handler(command->data, command->error, NULL);

        if (!command->in_fifo) {
            ngx_free(command);
        }
    }

    commands->handlers->settled(commands->data);
}


/*
 * The timer never expires later than the earliest deadline.  It may expire
 * earlier, because it is not moved at each reply; then it is only set again.
 */

static void
ngx_http_chatmaid_redis_fifo_arm(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_msec_t                          due;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    /* pending commands keep a worker that is shutting down alive */

    commands->timer.cancelable =
                           !ngx_http_chatmaid_redis_fifo_pending(commands);

    due = ngx_current_msec + commands->timeout;

    if (!ngx_queue_empty(&commands->live)) {
        q = ngx_queue_head(&commands->live);
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);
        due = command->deadline;

    } else if (!ngx_queue_empty(&commands->sent)) {
        due = ngx_http_chatmaid_redis_fifo_patience(commands);

    } else if (ngx_queue_empty(&commands->ended)) {
        return;
    }

    if (commands->timer.timer_set
        && (ngx_msec_int_t) (commands->timer.timer.key - due) <= 0)
    {
        return;
    }

    if ((ngx_msec_int_t) (due - ngx_current_msec) <= 0) {
        due = ngx_current_msec + 1;
    }

    ngx_add_timer(&commands->timer, due - ngx_current_msec);
}


/* The time at which the oldest reply will have been due for too long. */

static ngx_msec_t
ngx_http_chatmaid_redis_fifo_patience(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    q = ngx_queue_head(&commands->sent);
    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

    return command->deadline
           + commands->timeout
             * (NGX_HTTP_CHATMAID_REDIS_FIFO_PATIENCE - 1);
}


void
ngx_http_chatmaid_redis_fifo_count(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error)
{
    switch (error) {

    case NGX_HTTP_CHATMAID_REDIS_OK:
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_REDIS_OK);
        break;

    case NGX_HTTP_CHATMAID_REDIS_TIMEOUT:
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_REDIS_TIMEOUT);
        break;

    case NGX_HTTP_CHATMAID_REDIS_REFUSED:
    case NGX_HTTP_CHATMAID_REDIS_ERROR:
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_REDIS_ERROR);
        break;

    default:
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_REDIS_ERROR);
        return;
    }

    ngx_http_chatmaid_counters_observe(&ngx_http_chatmaid_counters->redis,
                                       ngx_current_msec + commands->timeout
                                       - command->deadline);
}
