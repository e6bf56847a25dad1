
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the client's callers see, and what is known of the server.
 */


#include "ngx_http_chatmaid_redis_link.h"
#include "ngx_http_chatmaid_escape.h"


static void ngx_http_chatmaid_redis_tell(ngx_http_chatmaid_redis_t *redis);


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

    conf->client = redis;

    ngx_http_chatmaid_redis_queue_init(redis);
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

    ngx_http_chatmaid_redis_free_out(&redis->out);

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
        ngx_http_chatmaid_redis_free(command);
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


void
ngx_http_chatmaid_redis_note_away(ngx_http_chatmaid_redis_t *redis,
    ngx_err_t err, const char *reason, ngx_str_t *text)
{
    u_char  *p, escaped[NGX_HTTP_CHATMAID_ESCAPE_SIZE + 3];

    redis->up = 0;
    ngx_http_chatmaid_redis_tell(redis);

    if (redis->noted) {
        return;
    }

    redis->noted = 1;

    p = escaped;

    if (text) {
        *p++ = ' ';
        *p++ = '"';

        p = ngx_http_chatmaid_escape(p, text->data, text->len);
        *p++ = '"';
    }

    ngx_log_error(NGX_LOG_NOTICE, redis->log, err,
                  "chatmaid redis \"%V\" is away: %s%*s",
                  &redis->conf->addrs[redis->address].name, reason,
                  (size_t) (p - escaped), escaped);
}


void
ngx_http_chatmaid_redis_note_up(ngx_http_chatmaid_redis_t *redis)
{
    redis->up = 1;
    redis->troubled = 0;
    ngx_http_chatmaid_redis_tell(redis);

    if (redis->noted) {
        redis->noted = 0;

        ngx_log_error(NGX_LOG_NOTICE, redis->log, 0,
                      "chatmaid redis \"%V\" is back",
                      &redis->conf->addrs[redis->address].name);
    }
}


static void
ngx_http_chatmaid_redis_tell(ngx_http_chatmaid_redis_t *redis)
{
    if (redis->watch) {
        redis->watch(redis->watch_data, redis->up);
    }
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
