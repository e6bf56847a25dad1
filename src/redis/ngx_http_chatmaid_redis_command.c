
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * From a command's way into the queue to its end, in this order; scripts come
 * last.
 */


#include "ngx_http_chatmaid_redis_command.h"
#include "ngx_http_chatmaid_counters.h"
#include "ngx_http_chatmaid_redis_buffer.h"


/* After how many timeouts a reply that is due won't come any more. */
#define NGX_HTTP_CHATMAID_REDIS_COMMAND_PATIENCE  4

/* More than that is a circle. */
#define NGX_HTTP_CHATMAID_REDIS_COMMAND_REDIRECTS 8


struct ngx_http_chatmaid_redis_command_s {
    ngx_queue_t                         fifo;     /* in queued or sent */
    ngx_queue_t                         queue;    /* in live or ended */
    ngx_msec_t                          deadline;
    size_t                              size;     /* of its bytes */

    ngx_http_chatmaid_redis_pt          handler;
    void                               *data;
    ngx_uint_t                          error;    /* of an ended one */

    ngx_http_chatmaid_redis_commands_t *commands; /* where it is */
    ngx_str_t                           bytes;    /* of another than a script */
    ngx_http_chatmaid_redis_script_call_t  call;  /* of a script */
    ngx_uint_t                          redirects;

    unsigned                            evalsha:1;  /* it was sent as that */
    unsigned                            lasts:1;    /* see redis_script.h */
    unsigned                            asks:1;     /* ASKING goes before it, */
    unsigned                            asked:1;    /* and its reply is due */
    unsigned                            in_fifo:1;
    unsigned                            live:1;
    unsigned                            ended:1;
};


static ngx_http_chatmaid_redis_command_t *
    ngx_http_chatmaid_redis_command_create(
    ngx_http_chatmaid_redis_commands_t *commands, size_t size,
    ngx_http_chatmaid_redis_pt handler, void *data);
static ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_queue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, const void *bytes, size_t len);
static void ngx_http_chatmaid_redis_command_enqueue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, size_t size);
static void ngx_http_chatmaid_redis_command_enlist(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);
static void ngx_http_chatmaid_redis_command_prune(
    ngx_http_chatmaid_redis_commands_t *commands);
static void ngx_http_chatmaid_redis_command_count(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);
static void ngx_http_chatmaid_redis_command_late_reply(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_redis_command_redirect(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);
static ngx_int_t ngx_http_chatmaid_redis_command_write(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);
static ngx_uint_t ngx_http_chatmaid_redis_command_judge(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply);
static void ngx_http_chatmaid_redis_command_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_command_expire(
    ngx_http_chatmaid_redis_commands_t *commands);
static void ngx_http_chatmaid_redis_command_end(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);
static void ngx_http_chatmaid_redis_command_end_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_command_arm(
    ngx_http_chatmaid_redis_commands_t *commands);
static ngx_msec_t ngx_http_chatmaid_redis_command_patience(
    ngx_http_chatmaid_redis_commands_t *commands);
static ngx_int_t ngx_http_chatmaid_redis_command_eval(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply);


void
ngx_http_chatmaid_redis_command_init(
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

    commands->timer.handler = ngx_http_chatmaid_redis_command_timer_handler;
    commands->timer.data = commands;
    commands->timer.log = log;
    commands->timer.cancelable = 1;

    commands->end.handler = ngx_http_chatmaid_redis_command_end_handler;
    commands->end.data = commands;
    commands->end.log = log;
}


void
ngx_http_chatmaid_redis_command_exit(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_http_chatmaid_redis_command_close(commands,
                                          NGX_HTTP_CHATMAID_REDIS_LOST);
    ngx_http_chatmaid_redis_command_drop(commands);

    while (!ngx_queue_empty(&commands->ended)) {
        ngx_http_chatmaid_redis_command_cancel(
            ngx_queue_data(ngx_queue_head(&commands->ended),
                           ngx_http_chatmaid_redis_command_t, queue));
    }

    ngx_http_chatmaid_redis_buffer_free(&commands->out);

    if (commands->timer.timer_set) {
        ngx_del_timer(&commands->timer);
    }

    if (commands->end.posted) {
        ngx_delete_posted_event(&commands->end);
    }
}


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


/* With room for "size" bytes behind it. */

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


/* NULL: no memory, and the command has been freed. */

static ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command_queue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, const void *bytes, size_t len)
{
    size_t  unsent;

    unsent = commands->out.last - commands->out.pos + len;

    if (commands->handlers->accept(commands->data, unsent) != NGX_OK) {
        ngx_http_chatmaid_redis_command_end(commands, command,
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

    ngx_http_chatmaid_redis_command_enqueue(commands, command, len);

    command->deadline = ngx_current_msec + commands->timeout;
    ngx_http_chatmaid_redis_command_enlist(commands, command);

    return command;
}


/* Timeouts are equal, so it is only one that was redirected which has a place
 * before others in the order of deadlines. */

static void
ngx_http_chatmaid_redis_command_enlist(
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

    ngx_http_chatmaid_redis_command_arm(commands);
}


/* Its bytes, "size" of them, are the last in "out". */

static void
ngx_http_chatmaid_redis_command_enqueue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, size_t size)
{
    command->size = size;
    command->in_fifo = 1;
    ngx_queue_insert_tail(&commands->queued, &command->fifo);

    commands->handlers->changed(commands->data);
}


void
ngx_http_chatmaid_redis_command_cancel(
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

    if (!command->in_fifo) {
        ngx_free(command);
    }

    commands->handlers->changed(commands->data);
}


void
ngx_http_chatmaid_redis_command_open(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    commands->open = 1;

    ngx_http_chatmaid_redis_command_prune(commands);
}


void
ngx_http_chatmaid_redis_command_close(
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
            ngx_http_chatmaid_redis_command_end(commands, command, error);

        } else if (!command->ended) {
            ngx_free(command);
        }
    }

    ngx_http_chatmaid_redis_command_prune(commands);
}


void
ngx_http_chatmaid_redis_command_drop(
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
            ngx_http_chatmaid_redis_command_end(commands, command,
                                         NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        }
    }

    ngx_http_chatmaid_redis_command_prune(commands);
}


/* Takes out of "queued" and "out" what nobody waits for any more.  Only while
 * the last sent command has been written as a whole. */

static void
ngx_http_chatmaid_redis_command_prune(
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
ngx_http_chatmaid_redis_command_written(
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
        command->asked = 0;             /* the command's own comes next */
        return NGX_OK;
    }

    ngx_queue_remove(q);
    command->in_fifo = 0;

    if (!command->live) {
        ngx_http_chatmaid_redis_command_late_reply(commands, command, reply);
        return NGX_OK;
    }

    if (ngx_http_chatmaid_redis_command_redirect(commands, command, reply)
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

    ngx_http_chatmaid_redis_command_count(commands, command, error);

    command->handler(command->data, error, reply);

    ngx_free(command);

    return NGX_OK;
}


/* Counts a command that ends; and its time, if it was answered or should have
 * been. */

static void
ngx_http_chatmaid_redis_command_count(
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


/*
 * Nobody waits for the reply any more.  A script that lasts, and that the
 * server did not know, is run all the same: by then it has nothing to do with
 * the command's deadline.
 */

static void
ngx_http_chatmaid_redis_command_late_reply(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply)
{
    if (command->lasts && !command->ended
        && ngx_http_chatmaid_redis_command_redirect(commands, command, reply)
           == NGX_OK)
    {
        return;
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


/* NGX_OK: it is in another queue now, or has ended there; NGX_DECLINED: the
 * reply is for its handler. */

static ngx_int_t
ngx_http_chatmaid_redis_command_redirect(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply)
{
    size_t                               used;
    ngx_uint_t                           asking;
    ngx_http_chatmaid_redis_commands_t  *to;

    if (reply->type != REDIS_REPLY_ERROR
        || command->redirects == NGX_HTTP_CHATMAID_REDIS_COMMAND_REDIRECTS)
    {
        return NGX_DECLINED;
    }

    to = commands->handlers->redirect(commands->data, reply, &asking);

    if (to == NULL) {
        return NGX_DECLINED;
    }

    used = to->out.last - to->out.pos;

    if (to->handlers->accept(to->data, used) != NGX_OK) {
        return NGX_DECLINED;
    }

    command->asks = asking;

    if (ngx_http_chatmaid_redis_command_write(to, command) != NGX_OK) {
        to->out.last = to->out.pos + used;
        command->asks = 0;
        return NGX_DECLINED;
    }

    command->commands = to;
    command->redirects++;

    ngx_http_chatmaid_redis_command_enqueue(to, command,
                                          to->out.last - to->out.pos - used);

    if (command->live) {
        ngx_queue_remove(&command->queue);
        ngx_http_chatmaid_redis_command_enlist(to, command);
    }

    return NGX_OK;
}


/* Appends the bytes of a command that has been sent before. */

static ngx_int_t
ngx_http_chatmaid_redis_command_write(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command)
{
    ngx_buf_t  *out;
    ngx_log_t  *log;

    static u_char  asking[] = "*1" CRLF "$6" CRLF "ASKING" CRLF;

    out = &commands->out;
    log = commands->log;

    command->asked = command->asks;

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


ngx_uint_t
ngx_http_chatmaid_redis_command_due(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    return !ngx_queue_empty(&commands->sent);
}


ngx_uint_t
ngx_http_chatmaid_redis_command_pending(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    return !ngx_queue_empty(&commands->live)
           || !ngx_queue_empty(&commands->ended);
}


ngx_uint_t
ngx_http_chatmaid_redis_command_empty(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    return ngx_queue_empty(&commands->sent)
           && ngx_queue_empty(&commands->queued)
           && ngx_queue_empty(&commands->ended);
}


void
ngx_http_chatmaid_redis_command_settle(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_uint_t  pending;

    pending = ngx_http_chatmaid_redis_command_pending(commands);

    commands->timer.cancelable = !pending;

    if (!pending && ngx_queue_empty(&commands->sent)
        && ngx_queue_empty(&commands->queued) && commands->timer.timer_set)
    {
        ngx_del_timer(&commands->timer);
    }
}


static void
ngx_http_chatmaid_redis_command_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_commands_t  *commands;

    commands = ev->data;

    ngx_http_chatmaid_redis_command_expire(commands);

    if (!ngx_queue_empty(&commands->sent)
        && (ngx_msec_int_t) (ngx_http_chatmaid_redis_command_patience(commands)
                             - ngx_current_msec) <= 0)
    {
        commands->handlers->silent(commands->data);
    }

    ngx_http_chatmaid_redis_command_arm(commands);

    commands->handlers->settled(commands->data);
}


static void
ngx_http_chatmaid_redis_command_expire(
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

        /* what is queued while the flow is open may yet be sent */

        ngx_http_chatmaid_redis_command_end(commands, command,
                                      commands->open
                                      ? NGX_HTTP_CHATMAID_REDIS_TIMEOUT
                                      : NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        late = 1;
    }

    if (late) {
        commands->handlers->late(commands->data);
    }
}


/* The handler is called in the next turn: whoever is calling us now need not
 * think of what it may do. */

static void
ngx_http_chatmaid_redis_command_end(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error)
{
    if (command->live) {
        ngx_queue_remove(&command->queue);
        command->live = 0;
    }

    command->error = error;
    command->ended = 1;
    ngx_queue_insert_tail(&commands->ended, &command->queue);

    ngx_http_chatmaid_redis_command_arm(commands);

    ngx_post_event(&commands->end, &ngx_posted_next_events);
}


static void
ngx_http_chatmaid_redis_command_end_handler(ngx_event_t *ev)
{
    ngx_queue_t                          ended, *q;
    ngx_http_chatmaid_redis_command_t   *command;
    ngx_http_chatmaid_redis_commands_t  *commands;

    commands = ev->data;

    /* what a handler queues now and what fails at once is for the next turn */

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

        ngx_http_chatmaid_redis_command_count(commands, command,
                                              command->error);

        command->handler(command->data, command->error, NULL);

        if (!command->in_fifo) {
            ngx_free(command);
        }
    }

    commands->handlers->settled(commands->data);
}


/*
 * The timer is never later than the earliest deadline.  It may be earlier, for
 * it is not moved at each reply: then it only is set anew.
 */

static void
ngx_http_chatmaid_redis_command_arm(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_msec_t                          due;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    /* pending commands hold a worker that is shutting down */

    commands->timer.cancelable =
                           !ngx_http_chatmaid_redis_command_pending(commands);

    due = ngx_current_msec + commands->timeout;

    if (!ngx_queue_empty(&commands->live)) {
        q = ngx_queue_head(&commands->live);
        command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, queue);
        due = command->deadline;

    } else if (!ngx_queue_empty(&commands->sent)) {
        due = ngx_http_chatmaid_redis_command_patience(commands);

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


/* When the oldest reply that is due has been due for too long. */

static ngx_msec_t
ngx_http_chatmaid_redis_command_patience(
    ngx_http_chatmaid_redis_commands_t *commands)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    q = ngx_queue_head(&commands->sent);
    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);

    return command->deadline
           + commands->timeout
             * (NGX_HTTP_CHATMAID_REDIS_COMMAND_PATIENCE - 1);
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


/* EVAL instead of the EVALSHA that this reply is for.  NGX_DECLINED: that is
 * not what it asks for; NGX_ERROR: no memory. */

static ngx_int_t
ngx_http_chatmaid_redis_command_eval(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, redisReply *reply)
{
    size_t  used;

    if (!command->evalsha
        || !ngx_http_chatmaid_redis_script_is_unknown(reply))
    {
        return NGX_DECLINED;
    }

    used = commands->out.last - commands->out.pos;

    command->evalsha = 0;

    if (ngx_http_chatmaid_redis_command_write(commands, command) != NGX_OK) {
        commands->out.last = commands->out.pos + used;
        command->evalsha = 1;
        return NGX_ERROR;
    }

    ngx_http_chatmaid_redis_command_enqueue(commands, command,
                              commands->out.last - commands->out.pos - used);

    return NGX_OK;
}
