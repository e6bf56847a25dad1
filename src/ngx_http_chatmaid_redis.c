
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_link.h"
#include <openssl/evp.h>


#define NGX_HTTP_CHATMAID_REDIS_MAX_SPARE  1024

/* After a timeout or refusal the server counts as away for at least so long:
 * else a read that works between two writes that don't would make two lines in
 * the log each time. */
#define NGX_HTTP_CHATMAID_REDIS_CALM       5000


struct ngx_http_chatmaid_redis_command_s {
    ngx_queue_t                        fifo;     /* in queued, sent or spare */
    ngx_queue_t                        queue;    /* in live or ended */
    ngx_msec_t                         deadline;
    size_t                             size;     /* of its bytes */

    ngx_http_chatmaid_redis_pt         handler;
    void                              *data;
    ngx_uint_t                         error;    /* of an ended one */

    ngx_http_chatmaid_redis_script_t  *script;   /* not yet sent as EVAL */
    char                              *evalsha;  /* hiredis' */
    size_t                             evalsha_len;
    ngx_uint_t                         nargs;    /* words of this command */

    unsigned                           in_fifo:1;
    unsigned                           live:1;
    unsigned                           ended:1;
};


static void ngx_http_chatmaid_redis_free_queue(ngx_queue_t *queue);
static ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_queue(
    ngx_http_chatmaid_redis_t *redis, const char *bytes, size_t len,
    ngx_http_chatmaid_redis_pt handler, void *data);
static ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_alloc(
    ngx_http_chatmaid_redis_t *redis);
static void ngx_http_chatmaid_redis_recycle(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command);
static void ngx_http_chatmaid_redis_end(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);
static ngx_uint_t ngx_http_chatmaid_redis_judge(
    ngx_http_chatmaid_redis_t *redis, redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_redis_is_noscript(redisReply *reply);
static ngx_int_t ngx_http_chatmaid_redis_eval(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command);
static void ngx_http_chatmaid_redis_flush_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_fail_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_expire(ngx_http_chatmaid_redis_t *redis);
static ngx_msec_t ngx_http_chatmaid_redis_patience(
    ngx_http_chatmaid_redis_t *redis);
static void ngx_http_chatmaid_redis_arm(ngx_http_chatmaid_redis_t *redis);


/* Errors with which the server says that it can't serve, whatever the command. */

typedef struct {
    ngx_str_t    code;
    unsigned     leave:1;      /* another connection may fare better */
    unsigned     cluster:1;
} ngx_http_chatmaid_redis_refusal_t;


static ngx_http_chatmaid_redis_refusal_t *ngx_http_chatmaid_redis_refusal(
    ngx_str_t text);


static ngx_http_chatmaid_redis_refusal_t  ngx_http_chatmaid_redis_refusals[] = {
    { ngx_string("LOADING"), 0, 0 },
    { ngx_string("READONLY"), 1, 0 },        /* a failover: it is a replica */
    { ngx_string("MASTERDOWN"), 1, 0 },
    { ngx_string("NOAUTH"), 1, 0 },          /* AUTH may help */
    { ngx_string("WRONGPASS"), 1, 0 },
    { ngx_string("NOPERM"), 0, 0 },
    { ngx_string("OOM"), 0, 0 },
    { ngx_string("MISCONF"), 0, 0 },
    { ngx_string("NOREPLICAS"), 0, 0 },
    { ngx_string("BUSY"), 0, 0 },
    { ngx_string("MOVED"), 0, 1 },
    { ngx_string("ASK"), 0, 1 },
    { ngx_string("CROSSSLOT"), 0, 1 },
    { ngx_string("CLUSTERDOWN"), 0, 1 },
    { ngx_string("TRYAGAIN"), 0, 1 },
    { ngx_null_string, 0, 0 }
};


ngx_http_chatmaid_redis_t *
ngx_http_chatmaid_redis_get(ngx_http_chatmaid_redis_conf_t *conf)
{
    return conf->client;
}


ngx_int_t
ngx_http_chatmaid_redis_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_http_chatmaid_redis_t  *redis;

    /* not in the cache manager */

    if (conf == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    redis = ngx_pcalloc(cycle->pool, sizeof(ngx_http_chatmaid_redis_t));
    if (redis == NULL) {
        return NGX_ERROR;
    }

    redis->conf = conf;
    redis->log = cycle->log;

    ngx_queue_init(&redis->queued);
    ngx_queue_init(&redis->sent);
    ngx_queue_init(&redis->live);
    ngx_queue_init(&redis->ended);
    ngx_queue_init(&redis->spare);

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

    conf->client = redis;

    ngx_http_chatmaid_redis_connect(redis);

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_exit(ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_http_chatmaid_redis_t  *redis;

    if (conf == NULL || conf->client == NULL) {
        return;
    }

    redis = conf->client;
    conf->client = NULL;

    ngx_http_chatmaid_redis_disconnect(redis);

    /* what drop_sent() has just ended, and what still waits */

    ngx_http_chatmaid_redis_drop_queued(redis);

    while (!ngx_queue_empty(&redis->ended)) {
        ngx_http_chatmaid_redis_cancel(redis,
            ngx_queue_data(ngx_queue_head(&redis->ended),
                           ngx_http_chatmaid_redis_command_t, queue));
    }

    ngx_http_chatmaid_redis_free_queue(&redis->spare);

    if (redis->out.start) {
        ngx_free(redis->out.start);
        redis->out.start = NULL;
    }

    if (redis->timer.timer_set) {
        ngx_del_timer(&redis->timer);
    }

    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }

    if (redis->fail.posted) {
        ngx_delete_posted_event(&redis->fail);
    }
}


static void
ngx_http_chatmaid_redis_free_queue(ngx_queue_t *queue)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(queue)) {
        q = ngx_queue_head(queue);
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo));
    }
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    char                               *bytes;
    long long                           n;
    ngx_http_chatmaid_redis_command_t  *command;

    n = redisFormatCommandArgv(&bytes, argc, argv, len);
    if (n < 0) {
        return NULL;
    }

    command = ngx_http_chatmaid_redis_queue(redis, bytes, n, handler, data);

    redisFreeCommand(bytes);

    return command;
}


ngx_int_t
ngx_http_chatmaid_redis_script_init(ngx_http_chatmaid_redis_script_t *script,
    ngx_log_t *log)
{
    u_char  md[20];

    if (EVP_Digest(script->text.data, script->text.len, md, NULL, EVP_sha1(),
                   NULL)
        != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "chatmaid EVP_Digest() failed");
        return NGX_ERROR;
    }

    ngx_hex_dump(script->sha1, md, sizeof(md));

    return NGX_OK;
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_script(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    char                               *bytes;
    size_t                              lens[NGX_HTTP_CHATMAID_REDIS_MAX_ARGS
                                             + 3];
    u_char                              number[NGX_INT_T_LEN];
    long long                           n;
    const char                         *args[NGX_HTTP_CHATMAID_REDIS_MAX_ARGS
                                             + 3];
    ngx_http_chatmaid_redis_command_t  *command;

    if (argc > NGX_HTTP_CHATMAID_REDIS_MAX_ARGS) {
        ngx_log_error(NGX_LOG_ALERT, redis->log, 0,
                      "chatmaid script with %ui arguments", argc);
        return NULL;
    }

    args[0] = "EVALSHA";
    lens[0] = sizeof("EVALSHA") - 1;

    args[1] = (char *) script->sha1;
    lens[1] = sizeof(script->sha1);

    args[2] = (char *) number;
    lens[2] = ngx_sprintf(number, "%ui", nkeys) - number;

    ngx_memcpy(&args[3], argv, argc * sizeof(char *));
    ngx_memcpy(&lens[3], len, argc * sizeof(size_t));

    n = redisFormatCommandArgv(&bytes, argc + 3, args, lens);
    if (n < 0) {
        return NULL;
    }

    command = ngx_http_chatmaid_redis_queue(redis, bytes, n, handler, data);

    if (command == NULL) {
        redisFreeCommand(bytes);
        return NULL;
    }

    /* its arguments, should EVAL be needed */

    command->script = script;
    command->evalsha = bytes;
    command->evalsha_len = n;
    command->nargs = argc + 3;

    return command;
}


static ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_queue(ngx_http_chatmaid_redis_t *redis,
    const char *bytes, size_t len, ngx_http_chatmaid_redis_pt handler,
    void *data)
{
    ngx_http_chatmaid_redis_command_t  *command;

    command = ngx_http_chatmaid_redis_alloc(redis);
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
        ngx_http_chatmaid_redis_end(redis, command,
                                    NGX_HTTP_CHATMAID_REDIS_UNREACHABLE);
        return command;
    }

    if (ngx_http_chatmaid_redis_append(redis, &redis->out, bytes, len)
        != NGX_OK)
    {
        ngx_http_chatmaid_redis_recycle(redis, command);
        return NULL;
    }

    command->size = len;
    command->in_fifo = 1;
    ngx_queue_insert_tail(&redis->queued, &command->fifo);

    /* timeouts are equal, so the queue is in the order of its deadlines */

    command->deadline = ngx_current_msec + redis->conf->timeout;
    command->live = 1;
    ngx_queue_insert_tail(&redis->live, &command->queue);

    ngx_http_chatmaid_redis_arm(redis);

    ngx_post_event(&redis->flush, &ngx_posted_events);

    return command;
}


static ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_alloc(ngx_http_chatmaid_redis_t *redis)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    if (ngx_queue_empty(&redis->spare)) {
        return ngx_calloc(sizeof(ngx_http_chatmaid_redis_command_t),
                          redis->log);
    }

    q = ngx_queue_head(&redis->spare);
    ngx_queue_remove(q);
    redis->nspare--;

    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
    ngx_memzero(command, sizeof(ngx_http_chatmaid_redis_command_t));

    return command;
}


/* For a command that is in no queue any more. */

static void
ngx_http_chatmaid_redis_recycle(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command)
{
    if (command->evalsha) {
        redisFreeCommand(command->evalsha);
        command->evalsha = NULL;
    }

    if (redis->nspare == NGX_HTTP_CHATMAID_REDIS_MAX_SPARE) {
        ngx_free(command);
        return;
    }

    ngx_queue_insert_head(&redis->spare, &command->fifo);
    redis->nspare++;
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


void
ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command)
{
    if (!command->live && !command->ended) {
        return;
    }

    ngx_queue_remove(&command->queue);
    command->live = 0;
    command->ended = 0;

    if (!command->in_fifo) {
        ngx_http_chatmaid_redis_recycle(redis, command);
    }

    /* may have been the last one that a worker waits for */

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


void
ngx_http_chatmaid_redis_retain(ngx_http_chatmaid_redis_t *redis)
{
    redis->retained++;

    if (redis->peer.connection) {
        redis->peer.connection->idle = 0;
    }
}


void
ngx_http_chatmaid_redis_release(ngx_http_chatmaid_redis_t *redis)
{
    if (redis->retained == 0) {
        ngx_log_error(NGX_LOG_ALERT, redis->log, 0,
                      "chatmaid redis released too often");
        return;
    }

    redis->retained--;

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


ngx_uint_t
ngx_http_chatmaid_redis_up(ngx_http_chatmaid_redis_t *redis)
{
    return redis->up;
}


void
ngx_http_chatmaid_redis_watch(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_watch_pt watch, void *data)
{
    redis->watch = watch;
    redis->watch_data = data;

    if (watch) {
        watch(data, redis->up);
    }
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
ngx_http_chatmaid_redis_replied(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply)
{
    ngx_uint_t                          error;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    q = ngx_queue_head(&redis->sent);
    ngx_queue_remove(q);

    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
    command->in_fifo = 0;

    if (command->ended) {
        /* too late: the handler is about to be told */
        return;
    }

    error = ngx_http_chatmaid_redis_judge(redis, reply);

    if (!command->live) {
        ngx_http_chatmaid_redis_recycle(redis, command);
        return;
    }

    if (error != NGX_HTTP_CHATMAID_REDIS_REFUSED
        && !redis->up
        && (!redis->troubled
            || (ngx_msec_int_t) (ngx_current_msec - redis->trouble)
               >= NGX_HTTP_CHATMAID_REDIS_CALM))
    {
        ngx_http_chatmaid_redis_note_up(redis);
    }

    if (command->script && ngx_http_chatmaid_redis_is_noscript(reply)
        && ngx_http_chatmaid_redis_eval(redis, command) == NGX_OK)
    {
        return;
    }

    ngx_queue_remove(&command->queue);
    command->live = 0;

    command->handler(command->data, error, reply);

    ngx_http_chatmaid_redis_recycle(redis, command);
}


static ngx_uint_t
ngx_http_chatmaid_redis_judge(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply)
{
    ngx_str_t                           text;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    if (reply->type != REDIS_REPLY_ERROR) {
        return NGX_HTTP_CHATMAID_REDIS_OK;
    }

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    refusal = ngx_http_chatmaid_redis_refusal(text);

    if (refusal == NULL) {
        return NGX_HTTP_CHATMAID_REDIS_ERROR;
    }

    redis->trouble = ngx_current_msec;
    redis->troubled = 1;

    if (refusal->leave) {
        redis->leaving = 1;
    }

    ngx_http_chatmaid_redis_note_away(redis, 0,
        refusal->cluster ? "it is a Redis Cluster, which is not followed:"
                         : "it answers",
        &text);

    return NGX_HTTP_CHATMAID_REDIS_REFUSED;
}


static ngx_http_chatmaid_redis_refusal_t *
ngx_http_chatmaid_redis_refusal(ngx_str_t text)
{
    u_char                             *p;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    static ngx_str_t  wrapped = ngx_string("ERR Error running script ");

    /* Before Redis 7, what a command of a script met is within the text */

    if (text.len > wrapped.len
        && ngx_strncmp(text.data, wrapped.data, wrapped.len) == 0)
    {
        p = ngx_strnstr(text.data, ": -", text.len);

        if (p) {
            text.len -= p + 3 - text.data;
            text.data = p + 3;
        }
    }

    for (refusal = ngx_http_chatmaid_redis_refusals;
         refusal->code.len;
         refusal++)
    {
        if (text.len >= refusal->code.len
            && ngx_strncmp(text.data, refusal->code.data, refusal->code.len)
               == 0
            && (text.len == refusal->code.len
                || text.data[refusal->code.len] == ' '))
        {
            return refusal;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_chatmaid_redis_is_noscript(redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR
           && reply->len >= sizeof("NOSCRIPT") - 1
           && ngx_strncmp(reply->str, "NOSCRIPT", sizeof("NOSCRIPT") - 1) == 0;
}


/* EVALSHA and EVAL have all words in common but the first two. */

static ngx_int_t
ngx_http_chatmaid_redis_eval(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command)
{
    size_t      n, size;
    u_char      head[sizeof("*" CRLF "$4" CRLF "EVAL" CRLF "$" CRLF)
                     + NGX_INT_T_LEN + NGX_SIZE_T_LEN];
    u_char      skip[NGX_INT_T_LEN];
    u_char     *p;
    ngx_str_t  *text;

    text = &command->script->text;

    p = ngx_sprintf(head, "*%ui" CRLF "$4" CRLF "EVAL" CRLF "$%uz" CRLF,
                    command->nargs, text->len);

    n = ngx_sprintf(skip, "%ui", command->nargs) - skip;
    n += sizeof("*" CRLF "$7" CRLF "EVALSHA" CRLF "$40" CRLF CRLF) - 1
         + sizeof(command->script->sha1);

    size = redis->out.last - redis->out.pos;

    if (ngx_http_chatmaid_redis_append(redis, &redis->out, head, p - head)
        != NGX_OK
        || ngx_http_chatmaid_redis_append(redis, &redis->out, text->data,
                                          text->len)
           != NGX_OK
        || ngx_http_chatmaid_redis_append(redis, &redis->out, CRLF,
                                          sizeof(CRLF) - 1)
           != NGX_OK
        || ngx_http_chatmaid_redis_append(redis, &redis->out,
                                          command->evalsha + n,
                                          command->evalsha_len - n)
           != NGX_OK)
    {
        redis->out.last = redis->out.pos + size;
        return NGX_ERROR;
    }

    command->size = (redis->out.last - redis->out.pos) - size;
    command->script = NULL;
    command->in_fifo = 1;
    ngx_queue_insert_tail(&redis->queued, &command->fifo);

    ngx_post_event(&redis->flush, &ngx_posted_events);

    return NGX_OK;
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
            ngx_http_chatmaid_redis_recycle(redis, command);
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
            ngx_http_chatmaid_redis_recycle(redis, command);
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

    /* what a handler queues now, and what fails at once, is for the next turn */

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
            ngx_http_chatmaid_redis_recycle(redis, command);
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


/*
 * The timer is never later than the earliest deadline.  It may be earlier, for it
 * is not moved at each reply: then it only is set anew.
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


void
ngx_http_chatmaid_redis_settle(ngx_http_chatmaid_redis_t *redis)
{
    ngx_uint_t         quiet;
    ngx_connection_t  *c;

    quiet = !ngx_http_chatmaid_redis_pending(redis);

    redis->timer.cancelable = quiet;

    if (quiet && ngx_queue_empty(&redis->sent)
        && ngx_queue_empty(&redis->queued) && redis->timer.timer_set)
    {
        ngx_del_timer(&redis->timer);
    }

    quiet = quiet && redis->retained == 0;

    if (quiet && ngx_exiting) {
        ngx_http_chatmaid_redis_disconnect(redis);
        return;
    }

    c = redis->peer.connection;

    if (c) {
        c->idle = quiet;
    }
}
