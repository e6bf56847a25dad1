
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The connection, from an attempt at one of the server's addresses, by way of
 * TLS and a greeting, to its end and the plan for the next.
 */


#include "ngx_http_chatmaid_redis_link.h"
#include <openssl/crypto.h>
#include <openssl/err.h>


#define NGX_HTTP_CHATMAID_REDIS_FIRST_DELAY  50
#define NGX_HTTP_CHATMAID_REDIS_LAST_DELAY   2000

/* A connection that has lived this long is a good one: the next attempt needs
 * no pause. */
#define NGX_HTTP_CHATMAID_REDIS_LIFE         1000


#if (NGX_SSL)
static ngx_int_t ngx_http_chatmaid_redis_secure(
    ngx_http_chatmaid_redis_t *redis, ngx_connection_t *c);
static void ngx_http_chatmaid_redis_secured(ngx_connection_t *c);
#endif
static void ngx_http_chatmaid_redis_greet(ngx_http_chatmaid_redis_t *redis);
static ngx_int_t ngx_http_chatmaid_redis_add_step(
    ngx_http_chatmaid_redis_t *redis, ngx_uint_t argc, const char **argv,
    const size_t *len);
static void ngx_http_chatmaid_redis_ready(ngx_http_chatmaid_redis_t *redis);
static void ngx_http_chatmaid_redis_plan(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t pause);
static void ngx_http_chatmaid_redis_retry_handler(ngx_event_t *ev);


void
ngx_http_chatmaid_redis_connect(ngx_http_chatmaid_redis_t *redis)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *pc;

    addr = &redis->conf->addrs[redis->address];

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, redis->log, 0,
                   "chatmaid redis connect to \"%V\"", &addr->name);

    redis->state = NGX_HTTP_CHATMAID_REDIS_CONNECTING;

    redis->retry.handler = ngx_http_chatmaid_redis_retry_handler;
    redis->retry.data = redis;
    redis->retry.log = redis->log;
    redis->retry.cancelable = 1;

    if (redis->retry.timer_set) {
        ngx_del_timer(&redis->retry);
    }

    ngx_add_timer(&redis->retry,
                  redis->conf->timeout * NGX_HTTP_CHATMAID_REDIS_PATIENCE);

    /* what nginx itself logs of an attempt is worth reading once */

    redis->quiet = *redis->log;
    redis->quiet.log_level = ngx_min(redis->log->log_level, NGX_LOG_ALERT);

    pc = &redis->peer;
    ngx_memzero(pc, sizeof(ngx_peer_connection_t));

    pc->sockaddr = addr->sockaddr;
    pc->socklen = addr->socklen;
    pc->name = &addr->name;
    pc->get = ngx_event_get_peer;
    pc->log = &redis->quiet;
    pc->log_error = NGX_ERROR_INFO;
    pc->so_keepalive = 1;

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(pc);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                     ngx_socket_errno, "can't connect");
        return;
    }

    c = pc->connection;

    c->data = redis;
    c->log = redis->noted ? &redis->quiet : redis->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_chatmaid_redis_read_handler;
    c->write->handler = ngx_http_chatmaid_redis_write_handler;

    /* TLS keeps its state in it */

    c->pool = ngx_create_pool(512, redis->log);
    redis->reader = ngx_http_chatmaid_redis_reader(redis);

    if (c->pool == NULL || redis->reader == NULL) {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                     NGX_ENOMEM, "can't connect");
        return;
    }

    c->pool->log = c->log;

    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_connected(redis);
    }
}


void
ngx_http_chatmaid_redis_connected(ngx_http_chatmaid_redis_t *redis)
{
    ngx_connection_t  *c;

    c = redis->peer.connection;

    if (redis->peer.sockaddr->sa_family != AF_UNIX
        && ngx_tcp_nodelay(c) != NGX_OK)
    {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                     ngx_socket_errno, "can't connect");
        return;
    }

#if (NGX_SSL)

    if (redis->conf->ssl) {
        redis->state = NGX_HTTP_CHATMAID_REDIS_SECURING;

        if (ngx_http_chatmaid_redis_secure(redis, c) != NGX_OK) {
            ngx_http_chatmaid_redis_lose(redis,
                                         NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                         0, "can't begin TLS");
            return;
        }

        if (ngx_ssl_handshake(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_chatmaid_redis_secured;
            return;
        }

        ngx_http_chatmaid_redis_secured(c);
        return;
    }

#endif

    ngx_http_chatmaid_redis_greet(redis);
}


#if (NGX_SSL)

static ngx_int_t
ngx_http_chatmaid_redis_secure(ngx_http_chatmaid_redis_t *redis,
    ngx_connection_t *c)
{
    char               *host;
    SSL                *ssl;
    ngx_int_t           rc;
    X509_VERIFY_PARAM  *param;

    if (ngx_ssl_create_connection(redis->conf->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ssl = c->ssl->connection;
    host = (char *) redis->conf->host.data;
    param = SSL_get0_param(ssl);

    /* A name goes into the ClientHello, an address must not.  Either is
     * compared with the certificate during the handshake. */

    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1) {
        return NGX_OK;
    }

    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    rc = X509_VERIFY_PARAM_set1_host(param, host, 0) == 1
         && SSL_set_tlsext_host_name(ssl, host) == 1;

    ERR_clear_error();

    return rc ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_chatmaid_redis_secured(ngx_connection_t *c)
{
    long                        rc;
    ngx_http_chatmaid_redis_t  *redis;

    redis = c->data;

    if (c->ssl->handshaked) {
        c->read->handler = ngx_http_chatmaid_redis_read_handler;
        c->write->handler = ngx_http_chatmaid_redis_write_handler;

        ngx_http_chatmaid_redis_greet(redis);

    } else {
        rc = redis->conf->verify ? SSL_get_verify_result(c->ssl->connection)
                                 : X509_V_OK;

        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                     0,
                                     (rc == X509_V_OK)
                                     ? "the TLS handshake failed"
                                     : X509_verify_cert_error_string(rc));
    }

    ngx_http_chatmaid_redis_settle(redis);
}

#endif


/* No command is sent before all of this has been answered: with a SELECT that
 * failed it would go to another database. */

static void
ngx_http_chatmaid_redis_greet(ngx_http_chatmaid_redis_t *redis)
{
    ngx_int_t          rc;
    ngx_uint_t         n;
    const char        *argv[3];
    size_t             len[3];
    ngx_connection_t  *c;

    redis->state = NGX_HTTP_CHATMAID_REDIS_GREETING;
    redis->nsteps = 0;
    redis->step = 0;

    c = redis->peer.connection;
    c->log = redis->log;
    c->read->log = redis->log;
    c->write->log = redis->log;
    c->pool->log = redis->log;

    rc = NGX_OK;

    if (redis->conf->password.len) {
        n = 0;

        argv[n] = "AUTH";
        len[n++] = 4;

        if (redis->conf->user.len) {
            argv[n] = (char *) redis->conf->user.data;
            len[n++] = redis->conf->user.len;
        }

        argv[n] = (char *) redis->conf->password.data;
        len[n++] = redis->conf->password.len;

        rc |= ngx_http_chatmaid_redis_add_step(redis, n, argv, len);
    }

    if (redis->conf->db.len) {
        argv[0] = "SELECT";
        len[0] = 6;
        argv[1] = (char *) redis->conf->db.data;
        len[1] = redis->conf->db.len;

        rc |= ngx_http_chatmaid_redis_add_step(redis, 2, argv, len);
    }

    argv[0] = "PING";
    len[0] = 4;

    rc |= ngx_http_chatmaid_redis_add_step(redis, 1, argv, len);

    if (rc != NGX_OK) {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                     NGX_ENOMEM, "can't connect");
        return;
    }

    ngx_http_chatmaid_redis_write(redis);

    c = redis->peer.connection;

    if (c && c->read->ready) {
        /* no further event would tell of what has already come */
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


static ngx_int_t
ngx_http_chatmaid_redis_add_step(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t argc, const char **argv, const size_t *len)
{
    char       *bytes;
    long long   n;
    ngx_int_t   rc;

    n = redisFormatCommandArgv(&bytes, argc, argv, len);
    if (n < 0) {
        return NGX_ERROR;
    }

    rc = ngx_http_chatmaid_redis_append(redis, &redis->hello, bytes, n);

    OPENSSL_cleanse(bytes, n);
    redisFreeCommand(bytes);

    redis->steps[redis->nsteps++] = argv[0];

    return rc;
}


void
ngx_http_chatmaid_redis_greeted(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply)
{
    u_char      *p, reason[64];
    ngx_str_t    text;
    const char  *step;

    step = redis->steps[redis->step];

    if (reply->type == REDIS_REPLY_ERROR) {
        text.data = (u_char *) reply->str;
        text.len = reply->len;

        if (step[0] == 'A') {
            /* what doesn't know AUTH may repeat the password: one word does */

            p = ngx_strlchr(text.data, text.data + text.len, ' ');

            if (p) {
                text.len = p - text.data;
            }
        }

        /* whoever forbids PING by an ACL is there */

        if (step[0] != 'P'
            || text.len < sizeof("NOPERM") - 1
            || ngx_strncmp(text.data, "NOPERM", sizeof("NOPERM") - 1) != 0)
        {
            ngx_sprintf(reason, "it answers to %s:%Z", step);
            ngx_http_chatmaid_redis_note_away(redis, 0, (char *) reason, &text);
            redis->leaving = 1;
            return;
        }
    }

    redis->step++;

    if (redis->step == redis->nsteps) {
        ngx_http_chatmaid_redis_ready(redis);
    }
}


static void
ngx_http_chatmaid_redis_ready(ngx_http_chatmaid_redis_t *redis)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, redis->log, 0, "chatmaid redis ready");

    redis->state = NGX_HTTP_CHATMAID_REDIS_READY;
    redis->since = ngx_current_msec;
    redis->tries = 0;
    redis->away = 0;

    ngx_del_timer(&redis->retry);

    if (redis->flapping) {
        ngx_add_timer(&redis->retry, NGX_HTTP_CHATMAID_REDIS_LIFE);

    } else if (!redis->troubled) {
        /* PING says nothing of a server that refused commands */
        ngx_http_chatmaid_redis_note_up(redis);
    }

    ngx_http_chatmaid_redis_prune(redis);

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


void
ngx_http_chatmaid_redis_lose(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t error, ngx_err_t err, const char *reason)
{
    ngx_uint_t  pause, idle;

    idle = ngx_queue_empty(&redis->sent) && err == 0
           && error == NGX_HTTP_CHATMAID_REDIS_LOST;

    if (redis->state == NGX_HTTP_CHATMAID_REDIS_READY) {
        redis->tries = 0;

        pause = (ngx_msec_int_t) (ngx_current_msec - redis->since)
                < NGX_HTTP_CHATMAID_REDIS_LIFE;

        if (!pause) {
            redis->delay = 0;
        }

        /* a connection that was closed while nothing was asked is no loss */

        if (!idle) {
            ngx_http_chatmaid_redis_note_away(redis, err, reason, NULL);
        }

        /* the next PING says enough, but not of a server that refuses, nor of
         * one whose connections do not last */

        redis->troubled = redis->leaving;
        redis->flapping = pause;

    } else {
        redis->tries++;
        pause = (redis->tries >= redis->conf->naddrs);

        if (pause) {
            redis->tries = 0;
            redis->away = 1;
            redis->troubled = 0;

            ngx_http_chatmaid_redis_note_away(redis, err, reason, NULL);
        }
    }

    ngx_http_chatmaid_redis_drop_sent(redis, error);
    ngx_http_chatmaid_redis_disconnect(redis);

    redis->address = (redis->address + 1) % redis->conf->naddrs;

    if (redis->away) {
        ngx_http_chatmaid_redis_drop_queued(redis);
    }

    ngx_http_chatmaid_redis_plan(redis, pause);
}


/* When to connect again: at once (but in another turn, as a connect may fail at
 * once), or after a pause that grows and is random, lest all workers come
 * together. */

static void
ngx_http_chatmaid_redis_plan(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t pause)
{
    ngx_msec_t  wait;

    wait = 1;

    if (pause) {
        redis->delay = redis->delay
                       ? ngx_min(redis->delay * 2,
                                 NGX_HTTP_CHATMAID_REDIS_LAST_DELAY)
                       : NGX_HTTP_CHATMAID_REDIS_FIRST_DELAY;

        wait = redis->delay / 2 + ngx_random() % (redis->delay / 2 + 1);
    }

    if (wait >= redis->conf->timeout && !redis->away) {
        /* nobody could wait so long */
        redis->away = 1;
        ngx_http_chatmaid_redis_drop_queued(redis);
    }

    if (ngx_exiting && redis->retained == 0
        && !ngx_http_chatmaid_redis_pending(redis))
    {
        return;
    }

    ngx_add_timer(&redis->retry, wait);
}


void
ngx_http_chatmaid_redis_disconnect(ngx_http_chatmaid_redis_t *redis)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    redis->state = NGX_HTTP_CHATMAID_REDIS_DOWN;
    redis->leaving = 0;
    redis->received = 0;
    redis->elements = 0;

    if (redis->retry.timer_set) {
        ngx_del_timer(&redis->retry);
    }

    if (redis->reader) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }

    ngx_http_chatmaid_redis_free_out(&redis->hello);

    c = redis->peer.connection;

    if (c) {
        redis->peer.connection = NULL;

#if (NGX_SSL)
        if (c->ssl) {
            c->ssl->no_wait_shutdown = 1;
            c->ssl->no_send_shutdown = 1;

            (void) ngx_ssl_shutdown(c);
        }
#endif

        pool = c->pool;

        ngx_close_connection(c);

        if (pool) {
            ngx_destroy_pool(pool);
        }
    }

    ngx_http_chatmaid_redis_drop_sent(redis, NGX_HTTP_CHATMAID_REDIS_LOST);
}


/* The end of a pause, or of what an attempt may take, or of the time after
 * which a connection is a good one. */

static void
ngx_http_chatmaid_redis_retry_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ev->data;

    if (redis->state == NGX_HTTP_CHATMAID_REDIS_DOWN) {
        ngx_http_chatmaid_redis_connect(redis);

    } else if (redis->state == NGX_HTTP_CHATMAID_REDIS_READY) {
        redis->flapping = 0;

        if (!redis->troubled) {
            ngx_http_chatmaid_redis_note_up(redis);
        }

    } else {
        ngx_http_chatmaid_redis_lose(redis, NGX_HTTP_CHATMAID_REDIS_UNREACHABLE,
                                     NGX_ETIMEDOUT, "can't connect");
    }

    ngx_http_chatmaid_redis_settle(redis);
}
