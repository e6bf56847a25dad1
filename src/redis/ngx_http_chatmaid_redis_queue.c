
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The commands: their order, their deadlines and their ends.
 */


#include "ngx_http_chatmaid_redis_link.h"


static void ngx_http_chatmaid_redis_flush_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_fail_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_expire(ngx_http_chatmaid_redis_t *redis);
static void ngx_http_chatmaid_redis_end(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);
static void ngx_http_chatmaid_redis_arm(ngx_http_chatmaid_redis_t *redis);
static ngx_msec_t ngx_http_chatmaid_redis_patience(
    ngx_http_chatmaid_redis_t *redis);


void
ngx_http_chatmaid_redis_queue_init(ngx_http_chatmaid_redis_t *redis)
{
    ngx_queue_init(&redis->queued);
    ngx_queue_init(&redis->sent);
    ngx_queue_init(&redis->live);
    ngx_queue_init(&redis->ended);

    redis->timer.handler = ngx_http_chatmaid_redis_timer_handler;
    redis->timer.data = redis;
    redis->timer.log = redis->log;
    redis->timer.cancelable = 1;

    redis->flush.handler = ngx_http_chatmaid_redis_flush_handler;
    redis->flush.data = redis;
    redis->flush.log = redis->log;

    redis->fail.handler = ngx_http_chatmaid_redis_fail_handler;
    redis->fail.data = redis;
    redis->fail.log = redis->log;
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_queue(ngx_http_chatmaid_redis_t *redis,
    const char *bytes, size_t len, ngx_http_chatmaid_redis_pt handler,
    void *data)
{
    ngx_http_chatmaid_redis_command_t  *command;

    command = ngx_calloc(sizeof(ngx_http_chatmaid_redis_command_t),
                         redis->log);
    if (command == NULL) {
        return NULL;
    }

    command->handler = handler;
    command->data = data;

    /*
     * While a server is away the timer is that of the next attempt, or of the
     * one under way.  A worker that is shutting down may have none: then the
     * command itself is the attempt.
     */

    if ((redis->away && redis->state != NGX_HTTP_CHATMAID_REDIS_READY
         && redis->retry.timer_set)
        || (size_t) (redis->out.last - redis->out.pos) + len
           > NGX_HTTP_CHATMAID_REDIS_MAX_UNSENT)
    {
        /* no attempt has failed yet, where connections were made and lost */
        ngx_http_chatmaid_redis_note_away(redis, 0,
                                          "its connections do not last", NULL);

        ngx_http_chatmaid_redis_end(redis, command,
                                    NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        return command;
    }

    if (ngx_http_chatmaid_redis_append(redis, &redis->out, bytes, len)
        != NGX_OK)
    {
        ngx_http_chatmaid_redis_free(command);
        return NULL;
    }

    ngx_http_chatmaid_redis_enqueue(redis, command, len);

    /* timeouts are equal, so the queue is in the order of its deadlines */

    command->deadline = ngx_current_msec + redis->conf->timeout;
    command->live = 1;
    ngx_queue_insert_tail(&redis->live, &command->queue);

    ngx_http_chatmaid_redis_arm(redis);

    return command;
}


void
ngx_http_chatmaid_redis_enqueue(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command, size_t size)
{
    command->size = size;
    command->in_fifo = 1;
    ngx_queue_insert_tail(&redis->queued, &command->fifo);

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


void
ngx_http_chatmaid_redis_free(ngx_http_chatmaid_redis_command_t *command)
{
    if (command->evalsha) {
        redisFreeCommand(command->evalsha);
    }

    ngx_free(command);
}


ngx_uint_t
ngx_http_chatmaid_redis_pending(ngx_http_chatmaid_redis_t *redis)
{
    return !ngx_queue_empty(&redis->live) || !ngx_queue_empty(&redis->ended);
}


void
ngx_http_chatmaid_redis_written(ngx_http_chatmaid_redis_t *redis, size_t n)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    redis->out.pos += n;

    while (n > redis->partial) {
        n -= redis->partial;

        q = ngx_queue_head(&redis->queued);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&redis->sent, q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
        redis->partial = command->size;
    }

    redis->partial -= n;
}


void
ngx_http_chatmaid_redis_drop_sent(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t error)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    redis->out.pos += redis->partial;
    redis->partial = 0;

    while (!ngx_queue_empty(&redis->sent)) {
        q = ngx_queue_head(&redis->sent);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
        command->in_fifo = 0;

        if (command->live) {
            ngx_http_chatmaid_redis_end(redis, command, error);

        } else if (!command->ended) {
            ngx_http_chatmaid_redis_free(command);
        }
    }

    ngx_http_chatmaid_redis_prune(redis);
}


void
ngx_http_chatmaid_redis_drop_queued(ngx_http_chatmaid_redis_t *redis)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    for (q = ngx_queue_head(&redis->queued);
         q != ngx_queue_sentinel(&redis->queued);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

        if (command->live) {
            ngx_http_chatmaid_redis_end(redis, command,
                                        NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        }
    }

    ngx_http_chatmaid_redis_prune(redis);
}


void
ngx_http_chatmaid_redis_prune(ngx_http_chatmaid_redis_t *redis)
{
    u_char                             *p, *last;
    ngx_queue_t                        *q, *next;
    ngx_http_chatmaid_redis_command_t  *command;

    p = redis->out.pos;
    last = redis->out.pos;

    for (q = ngx_queue_head(&redis->queued);
         q != ngx_queue_sentinel(&redis->queued);
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
            ngx_http_chatmaid_redis_free(command);
        }
    }

    redis->out.last = last;
}


/* At the end of a turn: all its commands in one write. */

static void
ngx_http_chatmaid_redis_flush_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ev->data;

    if (redis->state == NGX_HTTP_CHATMAID_REDIS_DOWN) {

        if (!ngx_queue_empty(&redis->live) && !redis->retry.timer_set) {
            ngx_http_chatmaid_redis_connect(redis);
        }

    } else {
        ngx_http_chatmaid_redis_write(redis);
    }

    ngx_http_chatmaid_redis_settle(redis);
}


static void
ngx_http_chatmaid_redis_fail_handler(ngx_event_t *ev)
{
    ngx_queue_t                         ended, *q;
    ngx_http_chatmaid_redis_t          *redis;
    ngx_http_chatmaid_redis_command_t  *command;

    redis = ev->data;

    /* what a handler queues now and what fails at once is for the next turn */

    ngx_queue_init(&ended);

    if (!ngx_queue_empty(&redis->ended)) {
        ngx_queue_add(&ended, &redis->ended);
        ngx_queue_init(&redis->ended);
    }

    while (!ngx_queue_empty(&ended)) {
        q = ngx_queue_head(&ended);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);
        command->ended = 0;

        command->handler(command->data, command->error, NULL);

        if (!command->in_fifo) {
            ngx_http_chatmaid_redis_free(command);
        }
    }

    ngx_http_chatmaid_redis_settle(redis);
}


static void
ngx_http_chatmaid_redis_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ev->data;

    ngx_http_chatmaid_redis_expire(redis);

    if (!ngx_queue_empty(&redis->sent)
        && (ngx_msec_int_t) (ngx_http_chatmaid_redis_patience(redis)
                             - ngx_current_msec) <= 0)
    {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_LOST,
                                     NGX_ETIMEDOUT, "it does not answer");
    }

    ngx_http_chatmaid_redis_arm(redis);
    ngx_http_chatmaid_redis_settle(redis);
}


static void
ngx_http_chatmaid_redis_expire(ngx_http_chatmaid_redis_t *redis)
{
    ngx_uint_t                          n;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    for (n = 0; !ngx_queue_empty(&redis->live); n++) {
        q = ngx_queue_head(&redis->live);
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);

        if ((ngx_msec_int_t) (command->deadline - ngx_current_msec) > 0) {
            break;
        }

        /* what is queued on a connection may yet be sent */

        ngx_http_chatmaid_redis_end(redis, command,
                           redis->state == NGX_HTTP_CHATMAID_REDIS_READY
                           ? NGX_HTTP_CHATMAID_REDIS_TIMEOUT
                           : NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
    }

    if (n == 0) {
        return;
    }

    if (redis->state == NGX_HTTP_CHATMAID_REDIS_READY) {
        redis->trouble = ngx_current_msec;
        redis->troubled = 1;

        ngx_http_chatmaid_redis_note_away(redis, 0, "no reply in time", NULL);
        return;
    }

    redis->away = 1;

    ngx_http_chatmaid_redis_note_away(redis, 0, "no connection in time", NULL);
    ngx_http_chatmaid_redis_drop_queued(redis);
}


/* The handler is called in the next turn: whoever is calling us now need not
 * think of what it may do. */

static void
ngx_http_chatmaid_redis_end(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error)
{
    if (command->live) {
        ngx_queue_remove(&command->queue);
        command->live = 0;
    }

    command->error = error;
    command->ended = 1;
    ngx_queue_insert_tail(&redis->ended, &command->queue);

    ngx_http_chatmaid_redis_arm(redis);

    ngx_post_event(&redis->fail, &ngx_posted_next_events);
}


/*
 * The timer is never later than the earliest deadline.  It may be earlier, for
 * it is not moved at each reply: then it only is set anew.
 */

static void
ngx_http_chatmaid_redis_arm(ngx_http_chatmaid_redis_t *redis)
{
    ngx_msec_t                          due;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    /* pending commands hold a worker that is shutting down */

    redis->timer.cancelable = !ngx_http_chatmaid_redis_pending(redis);

    if (redis->timer.timer_set) {
        return;
    }

    due = ngx_current_msec + redis->conf->timeout;

    if (!ngx_queue_empty(&redis->live)) {
        q = ngx_queue_head(&redis->live);
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);
        due = command->deadline;

    } else if (!ngx_queue_empty(&redis->sent)) {
        due = ngx_http_chatmaid_redis_patience(redis);

    } else if (ngx_queue_empty(&redis->ended)) {
        return;
    }

    if ((ngx_msec_int_t) (due - ngx_current_msec) <= 0) {
        due = ngx_current_msec + 1;
    }

    ngx_add_timer(&redis->timer, due - ngx_current_msec);
}


/* When the oldest reply that is due has been due for too long. */

static ngx_msec_t
ngx_http_chatmaid_redis_patience(ngx_http_chatmaid_redis_t *redis)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    q = ngx_queue_head(&redis->sent);
    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

    return command->deadline
           + redis->conf->timeout * (NGX_HTTP_CHATMAID_REDIS_PATIENCE - 1);
}
