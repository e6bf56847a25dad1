
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What comes on the connection and what goes: events, replies, buffers.
 */


#include "ngx_http_chatmaid_redis_link.h"
#include <openssl/crypto.h>


#define NGX_HTTP_CHATMAID_REDIS_BUFFER    16384  /* to read into */
#define NGX_HTTP_CHATMAID_REDIS_OUT       4096   /* to write from, at first, */
#define NGX_HTTP_CHATMAID_REDIS_OUT_KEPT  65536  /* and what is kept of it */
#define NGX_HTTP_CHATMAID_REDIS_READS     64     /* in a row */

/* The type of redisReplyObjectFunctions' argument has changed. */
#if (HIREDIS_MAJOR < 1)
typedef int     ngx_http_chatmaid_redis_elements_t;
#else
typedef size_t  ngx_http_chatmaid_redis_elements_t;
#endif


static void ngx_http_chatmaid_redis_read(ngx_http_chatmaid_redis_t *redis);
static ngx_int_t ngx_http_chatmaid_redis_parse(
    ngx_http_chatmaid_redis_t *redis);
static void *ngx_http_chatmaid_redis_create_array(const redisReadTask *task,
    ngx_http_chatmaid_redis_elements_t elements);
static ngx_int_t ngx_http_chatmaid_redis_send(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_out_t *out);


static redisReplyObjectFunctions  ngx_http_chatmaid_redis_functions;
static void *(*ngx_http_chatmaid_redis_next_create_array)(
    const redisReadTask *, ngx_http_chatmaid_redis_elements_t);


void
ngx_http_chatmaid_redis_write_handler(ngx_event_t *wev)
{
    int                         err;
    socklen_t                   len;
    ngx_connection_t           *c;
    ngx_http_chatmaid_redis_t  *redis;

    c = wev->data;
    redis = c->data;

    if (redis->state == NGX_HTTP_CHATMAID_REDIS_CONNECTING) {

        err = 0;
        len = sizeof(int);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len)
            == -1)
        {
            err = ngx_socket_errno;
        }

        if (err) {
            ngx_http_chatmaid_redis_lose(redis,
                                         NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                         err, "can't connect");
        } else {
            ngx_http_chatmaid_redis_connected(redis);
        }

    } else {
        ngx_http_chatmaid_redis_write(redis);
    }

    ngx_http_chatmaid_redis_settle(redis);
}


void
ngx_http_chatmaid_redis_read_handler(ngx_event_t *rev)
{
    ngx_connection_t           *c;
    ngx_http_chatmaid_redis_t  *redis;

    c = rev->data;
    redis = c->data;

    if (c->close) {
        /*
         * The worker is shutting down and closes what is idle.  Later, after
         * worker_shutdown_timeout, it does the same to everything, but who
         * still waits gets his reply: settle() closes after the last.
         */

        c->close = 0;
        c->error = 0;
    }

    if (redis->state != NGX_HTTP_CHATMAID_REDIS_CONNECTING) {
        ngx_http_chatmaid_redis_read(redis);
    }

    ngx_http_chatmaid_redis_settle(redis);
}


static void
ngx_http_chatmaid_redis_read(ngx_http_chatmaid_redis_t *redis)
{
    ssize_t            n;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    static u_char  buffer[NGX_HTTP_CHATMAID_REDIS_BUFFER];

    c = redis->peer.connection;

    for (i = 0; i < NGX_HTTP_CHATMAID_REDIS_READS; i++) {

        n = c->recv(c, buffer, sizeof(buffer));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_LOST,
                                         0, "it closed the connection");
            return;
        }

        redis->received += n;

        if (redis->received > NGX_HTTP_CHATMAID_REDIS_MAX_REPLY) {
            ngx_http_chatmaid_redis_lose(redis,
                                         NGX_HTTP_CHATMAID_REDIS_PROTOCOL,
                                         0, "its reply is too large");
            return;
        }

        if (redisReaderFeed(redis->reader, (char *) buffer, n) != REDIS_OK
            || ngx_http_chatmaid_redis_parse(redis) != NGX_OK)
        {
            ngx_http_chatmaid_redis_lose(redis,
                                         NGX_HTTP_CHATMAID_REDIS_PROTOCOL,
                                         0, "what it sends is no reply");
            return;
        }

        if (redis->leaving && ngx_queue_empty(&redis->sent)) {
            ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_LOST,
                                         0, "it refuses commands");
            return;
        }
    }

    if (i == NGX_HTTP_CHATMAID_REDIS_READS) {
        /* others have a turn too */
        ngx_post_event(c->read, &ngx_posted_next_events);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_LOST,
                                     ngx_socket_errno, "can't read");
    }
}


/* Handlers are called in here: they may queue and cancel, but nothing that they
 * do closes the connection before we have returned. */

static ngx_int_t
ngx_http_chatmaid_redis_parse(ngx_http_chatmaid_redis_t *redis)
{
    void  *reply;

    for ( ;; ) {
        reply = NULL;

        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            return NGX_ERROR;
        }

        if (reply == NULL) {
            return NGX_OK;
        }

        redis->received = 0;
        redis->elements = 0;

        if (redis->state == NGX_HTTP_CHATMAID_REDIS_GREETING) {

            if (!redis->leaving) {
                ngx_http_chatmaid_redis_greeted(redis, reply);
            }

        } else {

            if (ngx_queue_empty(&redis->sent)) {
                /* nobody has asked */
                freeReplyObject(reply);
                return NGX_ERROR;
            }

            ngx_http_chatmaid_redis_replied(redis, reply);
        }

        freeReplyObject(reply);
    }
}


/* hiredis allocates an array when it is announced.  So it must not be one of
 * two thousand million elements. */

redisReader *
ngx_http_chatmaid_redis_reader(ngx_http_chatmaid_redis_t *redis)
{
    redisReader  *reader;

    reader = redisReaderCreate();
    if (reader == NULL) {
        return NULL;
    }

    ngx_http_chatmaid_redis_next_create_array = reader->fn->createArray;

    ngx_http_chatmaid_redis_functions = *reader->fn;
    ngx_http_chatmaid_redis_functions.createArray =
                                        ngx_http_chatmaid_redis_create_array;

    reader->fn = &ngx_http_chatmaid_redis_functions;
    reader->privdata = redis;

    return reader;
}


static void *
ngx_http_chatmaid_redis_create_array(const redisReadTask *task,
    ngx_http_chatmaid_redis_elements_t elements)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = task->privdata;

    if ((size_t) elements > NGX_HTTP_CHATMAID_REDIS_MAX_ELEMENTS
                            - redis->elements)
    {
        return NULL;
    }

    redis->elements += elements;

    return ngx_http_chatmaid_redis_next_create_array(task, elements);
}


void
ngx_http_chatmaid_redis_write(ngx_http_chatmaid_redis_t *redis)
{
    ngx_int_t  rc;

    if (redis->state < NGX_HTTP_CHATMAID_REDIS_GREETING || redis->leaving) {
        return;
    }

    rc = ngx_http_chatmaid_redis_send(redis, &redis->hello);

    if (rc == NGX_OK && redis->state == NGX_HTTP_CHATMAID_REDIS_READY) {
        rc = ngx_http_chatmaid_redis_send(redis, &redis->out);
    }

    if (rc == NGX_ERROR
        || ngx_handle_write_event(redis->peer.connection->write, 0) != NGX_OK)
    {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_LOST,
                                     ngx_socket_errno, "can't write");
    }
}


static ngx_int_t
ngx_http_chatmaid_redis_send(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_out_t *out)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = redis->peer.connection;

    while (out->pos < out->last) {

        if (!c->write->ready) {
            return NGX_AGAIN;
        }

        n = c->send(c, out->pos, out->last - out->pos);

        if (n == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (out == &redis->out) {
            ngx_http_chatmaid_redis_written(redis, n);

        } else {
            out->pos += n;
        }
    }

    if (out == &redis->hello
        || out->end - out->start > NGX_HTTP_CHATMAID_REDIS_OUT_KEPT)
    {
        ngx_http_chatmaid_redis_free_out(out);

    } else {
        out->pos = out->start;
        out->last = out->start;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_redis_append(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_out_t *out, const void *data, size_t len)
{
    size_t   size, used;
    u_char  *p;

    used = out->last - out->pos;

    if ((size_t) (out->end - out->last) < len) {

        size = ngx_max(out->end - out->start, NGX_HTTP_CHATMAID_REDIS_OUT);

        while (size < used + len) {
            size *= 2;
        }

        p = ngx_alloc(size, redis->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (used) {
            ngx_memcpy(p, out->pos, used);
        }

        ngx_http_chatmaid_redis_free_out(out);

        out->start = p;
        out->pos = p;
        out->last = p + used;
        out->end = p + size;
    }

    out->last = ngx_cpymem(out->last, data, len);

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_free_out(ngx_http_chatmaid_redis_out_t *out)
{
    if (out->start == NULL) {
        return;
    }

    OPENSSL_cleanse(out->start, out->end - out->start);

    ngx_free(out->start);
    ngx_memzero(out, sizeof(ngx_http_chatmaid_redis_out_t));
}
