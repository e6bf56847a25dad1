
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * From an attempt at an address, by way of TLS and the greeting, to the end and
 * the plan for the next; then what comes and what goes.
 */


#include "ngx_http_chatmaid_redis_conn.h"
#include <openssl/crypto.h>
#include <openssl/err.h>


/* How many of a command's timeouts an attempt may take: TCP, TLS and greeting
 * are four to five round trips. */
#define NGX_HTTP_CHATMAID_REDIS_CONN_PATIENCE     4

#define NGX_HTTP_CHATMAID_REDIS_CONN_FIRST_DELAY  50
#define NGX_HTTP_CHATMAID_REDIS_CONN_LAST_DELAY   2000

/* A connection that has lived this long is a good one: the next attempt needs
 * no pause. */
#define NGX_HTTP_CHATMAID_REDIS_CONN_LIFE         1000

#define NGX_HTTP_CHATMAID_REDIS_CONN_BUFFER       16384  /* to read into */
#define NGX_HTTP_CHATMAID_REDIS_CONN_READS        64     /* in a row */


/* The type of redisReplyObjectFunctions' argument has changed. */
#if (HIREDIS_MAJOR < 1)
typedef int     ngx_http_chatmaid_redis_conn_elements_t;
#else
typedef size_t  ngx_http_chatmaid_redis_conn_elements_t;
#endif


static void ngx_http_chatmaid_redis_conn_connected(
    ngx_http_chatmaid_redis_conn_t *conn);
#if (NGX_SSL)
static ngx_int_t ngx_http_chatmaid_redis_conn_secure(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_connection_t *c);
static void ngx_http_chatmaid_redis_conn_secured(ngx_connection_t *c);
#endif
static void ngx_http_chatmaid_redis_conn_greet(
    ngx_http_chatmaid_redis_conn_t *conn);
static ngx_int_t ngx_http_chatmaid_redis_conn_hello(
    ngx_http_chatmaid_redis_conn_t *conn);
static ngx_int_t ngx_http_chatmaid_redis_conn_add_step(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_uint_t argc, const char **argv,
    const size_t *len);
static ngx_int_t ngx_http_chatmaid_redis_conn_greeted(
    ngx_http_chatmaid_redis_conn_t *conn, redisReply *reply);
static void ngx_http_chatmaid_redis_conn_ready(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_end(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_err_t err, const char *reason,
    ngx_uint_t protocol);
static ngx_msec_t ngx_http_chatmaid_redis_conn_pause(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_uint_t pause);
static void ngx_http_chatmaid_redis_conn_free_hello(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_conn_read_handler(ngx_event_t *rev);
static void ngx_http_chatmaid_redis_conn_read(
    ngx_http_chatmaid_redis_conn_t *conn);
static ngx_int_t ngx_http_chatmaid_redis_conn_parse(
    ngx_http_chatmaid_redis_conn_t *conn);
static redisReader *ngx_http_chatmaid_redis_conn_reader(
    ngx_http_chatmaid_redis_conn_t *conn);
static void *ngx_http_chatmaid_redis_conn_create_array(
    const redisReadTask *task,
    ngx_http_chatmaid_redis_conn_elements_t elements);
static void ngx_http_chatmaid_redis_conn_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_http_chatmaid_redis_conn_send(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_buf_t *b);


static redisReplyObjectFunctions  ngx_http_chatmaid_redis_conn_functions;
static void *(*ngx_http_chatmaid_redis_conn_next_create_array)(
    const redisReadTask *, ngx_http_chatmaid_redis_conn_elements_t);


void
ngx_http_chatmaid_redis_conn_init(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_buf_t *out,
    ngx_http_chatmaid_redis_conn_handlers_t *handlers, void *data,
    ngx_log_t *log)
{
    conn->conf = conf;
    conn->out = out;
    conn->handlers = handlers;
    conn->data = data;
    conn->log = log;
    conn->name = conf->addrs[0].name;

    conn->timer.handler = ngx_http_chatmaid_redis_conn_timer_handler;
    conn->timer.data = conn;
    conn->timer.log = log;
    conn->timer.cancelable = 1;
}


void
ngx_http_chatmaid_redis_conn_connect(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t quiet)
{
    ngx_int_t               rc;
    ngx_addr_t             *addr;
    ngx_connection_t       *c;
    ngx_peer_connection_t  *pc;

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, conn->log, 0,
                   "chatmaid redis connect to \"%V\"", &conn->name);

    addr = &conn->conf->addrs[conn->address];

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_CONNECTING;

    ngx_add_timer(&conn->timer, conn->conf->timeout
                                * NGX_HTTP_CHATMAID_REDIS_CONN_PATIENCE);

    /* what nginx itself logs of an attempt is worth reading once */

    conn->quiet = *conn->log;
    conn->quiet.log_level = ngx_min(conn->log->log_level, NGX_LOG_ALERT);

    pc = &conn->peer;
    ngx_memzero(pc, sizeof(ngx_peer_connection_t));

    pc->sockaddr = addr->sockaddr;
    pc->socklen = addr->socklen;
    pc->name = &conn->name;
    pc->get = ngx_event_get_peer;
    pc->log = &conn->quiet;
    pc->log_error = NGX_ERROR_INFO;
    pc->so_keepalive = 1;

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(pc);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't connect");
        return;
    }

    c = pc->connection;

    c->data = conn;
    c->log = quiet ? &conn->quiet : conn->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_chatmaid_redis_conn_read_handler;
    c->write->handler = ngx_http_chatmaid_redis_conn_write_handler;

    /* TLS keeps its state in it */

    c->pool = ngx_create_pool(512, conn->log);
    conn->reader = ngx_http_chatmaid_redis_conn_reader(conn);

    if (c->pool == NULL || conn->reader == NULL) {
        ngx_http_chatmaid_redis_conn_lose(conn, NGX_ENOMEM, "can't connect");
        return;
    }

    c->pool->log = c->log;

    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_conn_connected(conn);
    }
}


static void
ngx_http_chatmaid_redis_conn_connected(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->peer.connection;

    if (conn->peer.sockaddr->sa_family != AF_UNIX
        && ngx_tcp_nodelay(c) != NGX_OK)
    {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't connect");
        return;
    }

#if (NGX_SSL)

    if (conn->conf->ssl) {
        conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_SECURING;

        if (ngx_http_chatmaid_redis_conn_secure(conn, c) != NGX_OK) {
            ngx_http_chatmaid_redis_conn_lose(conn, 0, "can't begin TLS");
            return;
        }

        if (ngx_ssl_handshake(c) == NGX_AGAIN) {
            c->ssl->handler = ngx_http_chatmaid_redis_conn_secured;
            return;
        }

        ngx_http_chatmaid_redis_conn_secured(c);
        return;
    }

#endif

    ngx_http_chatmaid_redis_conn_greet(conn);
}


#if (NGX_SSL)

static ngx_int_t
ngx_http_chatmaid_redis_conn_secure(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_connection_t *c)
{
    char               *host;
    SSL                *ssl;
    ngx_int_t           rc;
    X509_VERIFY_PARAM  *param;

    if (ngx_ssl_create_connection(conn->conf->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ssl = c->ssl->connection;
    host = (char *) conn->conf->host.data;
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
ngx_http_chatmaid_redis_conn_secured(ngx_connection_t *c)
{
    long                             rc;
    ngx_http_chatmaid_redis_conn_t  *conn;

    conn = c->data;

    if (c->ssl->handshaked) {
        c->read->handler = ngx_http_chatmaid_redis_conn_read_handler;
        c->write->handler = ngx_http_chatmaid_redis_conn_write_handler;

        ngx_http_chatmaid_redis_conn_greet(conn);

    } else {
        rc = conn->conf->verify ? SSL_get_verify_result(c->ssl->connection)
                                : X509_V_OK;

        ngx_http_chatmaid_redis_conn_lose(conn, 0,
                                          (rc == X509_V_OK)
                                          ? "the TLS handshake failed"
                                          : X509_verify_cert_error_string(rc));
    }

    conn->handlers->settled(conn->data);
}

#endif


/* No command is sent before all of this has been answered: with a SELECT that
 * failed it would go to another database. */

static void
ngx_http_chatmaid_redis_conn_greet(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_GREETING;

    c = conn->peer.connection;
    c->log = conn->log;
    c->read->log = conn->log;
    c->write->log = conn->log;
    c->pool->log = conn->log;

    if (ngx_http_chatmaid_redis_conn_hello(conn) != NGX_OK) {
        ngx_http_chatmaid_redis_conn_lose(conn, NGX_ENOMEM, "can't connect");
        return;
    }

    ngx_http_chatmaid_redis_conn_write(conn);

    c = conn->peer.connection;

    if (c && c->read->ready) {
        /* no further event would tell of what has already come */
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


static ngx_int_t
ngx_http_chatmaid_redis_conn_hello(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_int_t                        rc;
    ngx_uint_t                       n;
    const char                      *argv[3];
    size_t                           len[3];
    ngx_http_chatmaid_redis_conf_t  *conf;

    conf = conn->conf;
    conn->nsteps = 0;
    conn->step = 0;

    if (conf->password.len) {
        n = 0;

        argv[n] = "AUTH";
        len[n++] = 4;

        if (conf->user.len) {
            argv[n] = (char *) conf->user.data;
            len[n++] = conf->user.len;
        }

        argv[n] = (char *) conf->password.data;
        len[n++] = conf->password.len;

        rc = ngx_http_chatmaid_redis_conn_add_step(conn, n, argv, len);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (conf->db.len) {
        argv[0] = "SELECT";
        len[0] = 6;
        argv[1] = (char *) conf->db.data;
        len[1] = conf->db.len;

        rc = ngx_http_chatmaid_redis_conn_add_step(conn, 2, argv, len);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    argv[0] = "PING";
    len[0] = 4;

    return ngx_http_chatmaid_redis_conn_add_step(conn, 1, argv, len);
}


static ngx_int_t
ngx_http_chatmaid_redis_conn_add_step(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t argc, const char **argv, const size_t *len)
{
    char       *bytes;
    size_t      used;
    u_char     *p;
    long long   n;
    ngx_buf_t  *b;

    n = redisFormatCommandArgv(&bytes, argc, argv, len);
    if (n < 0) {
        return NGX_ERROR;
    }

    b = &conn->hello;
    used = b->last - b->pos;

    p = ngx_alloc(used + n, conn->log);

    if (p) {
        if (used) {
            ngx_memcpy(p, b->pos, used);
        }

        ngx_memcpy(p + used, bytes, n);

        ngx_http_chatmaid_redis_conn_free_hello(conn);

        b->start = p;
        b->pos = p;
        b->last = p + used + n;
        b->end = b->last;

        conn->steps[conn->nsteps++] = argv[0];
    }

    OPENSSL_cleanse(bytes, n);
    redisFreeCommand(bytes);

    return p ? NGX_OK : NGX_ERROR;
}


/* The reply to the step that is due.  NGX_DONE: it refuses us. */

static ngx_int_t
ngx_http_chatmaid_redis_conn_greeted(ngx_http_chatmaid_redis_conn_t *conn,
    redisReply *reply)
{
    u_char      *p;
    ngx_str_t    text;
    const char  *step;

    step = conn->steps[conn->step];

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
            conn->handlers->refused(conn->data, step, &text);
            return NGX_DONE;
        }
    }

    conn->step++;

    if (conn->step == conn->nsteps) {
        ngx_http_chatmaid_redis_conn_ready(conn);
    }

    return NGX_OK;
}


static void
ngx_http_chatmaid_redis_conn_ready(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, conn->log, 0, "chatmaid redis ready");

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_READY;
    conn->tries = 0;

    ngx_del_timer(&conn->timer);
    ngx_add_timer(&conn->timer, NGX_HTTP_CHATMAID_REDIS_CONN_LIFE);

    conn->handlers->ready(conn->data);
}


void
ngx_http_chatmaid_redis_conn_leave(ngx_http_chatmaid_redis_conn_t *conn)
{
    conn->leaving = 1;
}


void
ngx_http_chatmaid_redis_conn_lose(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_err_t err, const char *reason)
{
    ngx_http_chatmaid_redis_conn_end(conn, err, reason, 0);
}


static void
ngx_http_chatmaid_redis_conn_end(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_err_t err, const char *reason, ngx_uint_t protocol)
{
    ngx_uint_t                           pause;
    ngx_http_chatmaid_redis_conn_lost_t  lost;

    ngx_memzero(&lost, sizeof(ngx_http_chatmaid_redis_conn_lost_t));

    lost.reason = reason;
    lost.err = err;
    lost.protocol = protocol;
    lost.ready = (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_READY);
    lost.lasted = conn->lasted;
    lost.leaving = conn->leaving;

    if (lost.ready) {
        conn->tries = 0;
        pause = !conn->lasted;

        if (conn->lasted) {
            conn->delay = 0;
        }

    } else {
        conn->tries++;
        pause = (conn->tries >= conn->conf->naddrs);

        if (pause) {
            conn->tries = 0;
            lost.all = 1;
        }
    }

    lost.pause = ngx_http_chatmaid_redis_conn_pause(conn, pause);

    ngx_http_chatmaid_redis_conn_disconnect(conn);

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_PAUSING;
    ngx_add_timer(&conn->timer, lost.pause);

    conn->handlers->lost(conn->data, &lost);

    conn->address = (conn->address + 1) % conn->conf->naddrs;
    conn->name = conn->conf->addrs[conn->address].name;
}


/* When to connect again: at once (but in another turn, as a connect may fail at
 * once), or after a pause that grows and is random, lest all workers come
 * together. */

static ngx_msec_t
ngx_http_chatmaid_redis_conn_pause(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t pause)
{
    if (!pause) {
        return 1;
    }

    conn->delay = conn->delay
                  ? ngx_min(conn->delay * 2,
                            NGX_HTTP_CHATMAID_REDIS_CONN_LAST_DELAY)
                  : NGX_HTTP_CHATMAID_REDIS_CONN_FIRST_DELAY;

    return conn->delay / 2 + ngx_random() % (conn->delay / 2 + 1);
}


void
ngx_http_chatmaid_redis_conn_disconnect(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_DOWN;
    conn->lasted = 0;
    conn->leaving = 0;
    conn->received = 0;
    conn->elements = 0;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->reader) {
        redisReaderFree(conn->reader);
        conn->reader = NULL;
    }

    ngx_http_chatmaid_redis_conn_free_hello(conn);

    c = conn->peer.connection;

    if (c == NULL) {
        return;
    }

    conn->peer.connection = NULL;

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


/* It holds the password. */

static void
ngx_http_chatmaid_redis_conn_free_hello(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_buf_t  *b;

    b = &conn->hello;

    if (b->start == NULL) {
        return;
    }

    OPENSSL_cleanse(b->start, b->end - b->start);

    ngx_free(b->start);
    ngx_memzero(b, sizeof(ngx_buf_t));
}


void
ngx_http_chatmaid_redis_conn_idle(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t idle)
{
    if (conn->peer.connection) {
        conn->peer.connection->idle = idle;
    }
}


/* The end of a pause, or of what an attempt may take, or of the time after
 * which a connection is a good one. */

static void
ngx_http_chatmaid_redis_conn_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_conn_t  *conn;

    conn = ev->data;

    if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_PAUSING) {
        conn->handlers->due(conn->data);

    } else if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_READY) {
        conn->lasted = 1;
        conn->handlers->lasted(conn->data);

    } else {
        ngx_http_chatmaid_redis_conn_lose(conn, NGX_ETIMEDOUT,
                                          "can't connect");
    }

    conn->handlers->settled(conn->data);
}


static void
ngx_http_chatmaid_redis_conn_read_handler(ngx_event_t *rev)
{
    ngx_connection_t                *c;
    ngx_http_chatmaid_redis_conn_t  *conn;

    c = rev->data;
    conn = c->data;

    if (c->close) {
        /*
         * The worker is shutting down and closes what is idle.  Later, after
         * worker_shutdown_timeout, it does the same to everything, but who
         * still waits gets his reply: the owner closes after the last.
         */

        c->close = 0;
        c->error = 0;
    }

    if (conn->state != NGX_HTTP_CHATMAID_REDIS_CONN_CONNECTING) {
        ngx_http_chatmaid_redis_conn_read(conn);
    }

    conn->handlers->settled(conn->data);
}


static void
ngx_http_chatmaid_redis_conn_read(ngx_http_chatmaid_redis_conn_t *conn)
{
    ssize_t            n;
    ngx_int_t          rc;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    static u_char  buffer[NGX_HTTP_CHATMAID_REDIS_CONN_BUFFER];

    c = conn->peer.connection;

    for (i = 0; i < NGX_HTTP_CHATMAID_REDIS_CONN_READS; i++) {

        n = c->recv(c, buffer, sizeof(buffer));

        if (n == NGX_AGAIN) {
            break;
        }

        if (n == NGX_ERROR || n == 0) {
            ngx_http_chatmaid_redis_conn_lose(conn, 0,
                                              "it closed the connection");
            return;
        }

        conn->received += n;

        if (conn->received > NGX_HTTP_CHATMAID_REDIS_CONN_MAX_REPLY) {
            ngx_http_chatmaid_redis_conn_end(conn, 0, "its reply is too large",
                                             1);
            return;
        }

        rc = NGX_ERROR;

        if (redisReaderFeed(conn->reader, (char *) buffer, n) == REDIS_OK) {
            rc = ngx_http_chatmaid_redis_conn_parse(conn);
        }

        if (rc == NGX_ERROR) {
            ngx_http_chatmaid_redis_conn_end(conn, 0,
                                             "what it sends is no reply", 1);
            return;
        }

        if (rc == NGX_DONE) {
            ngx_http_chatmaid_redis_conn_lose(conn, 0, "it refuses commands");
            return;
        }
    }

    if (i == NGX_HTTP_CHATMAID_REDIS_CONN_READS) {
        /* others have a turn too */
        ngx_post_event(c->read, &ngx_posted_next_events);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't read");
    }
}


/* Handlers are called in here: they may queue and cancel, but nothing that they
 * do closes the connection before we have returned. */

static ngx_int_t
ngx_http_chatmaid_redis_conn_parse(ngx_http_chatmaid_redis_conn_t *conn)
{
    void       *reply;
    ngx_int_t   rc;

    do {
        reply = NULL;

        if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK) {
            return NGX_ERROR;
        }

        if (reply == NULL) {
            return NGX_OK;
        }

        conn->received = 0;
        conn->elements = 0;

        if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_GREETING) {
            rc = ngx_http_chatmaid_redis_conn_greeted(conn, reply);

        } else {
            rc = conn->handlers->reply(conn->data, reply);
        }

        freeReplyObject(reply);

    } while (rc == NGX_OK);

    return rc;
}


/* hiredis allocates an array when it is announced.  So it must not be one of
 * two thousand million elements. */

static redisReader *
ngx_http_chatmaid_redis_conn_reader(ngx_http_chatmaid_redis_conn_t *conn)
{
    redisReader  *reader;

    reader = redisReaderCreate();
    if (reader == NULL) {
        return NULL;
    }

    ngx_http_chatmaid_redis_conn_next_create_array = reader->fn->createArray;

    ngx_http_chatmaid_redis_conn_functions = *reader->fn;
    ngx_http_chatmaid_redis_conn_functions.createArray =
                                    ngx_http_chatmaid_redis_conn_create_array;

    reader->fn = &ngx_http_chatmaid_redis_conn_functions;
    reader->privdata = conn;

    return reader;
}


static void *
ngx_http_chatmaid_redis_conn_create_array(const redisReadTask *task,
    ngx_http_chatmaid_redis_conn_elements_t elements)
{
    ngx_http_chatmaid_redis_conn_t  *conn;

    conn = task->privdata;

    if ((size_t) elements > NGX_HTTP_CHATMAID_REDIS_CONN_MAX_ELEMENTS
                            - conn->elements)
    {
        return NULL;
    }

    conn->elements += elements;

    return ngx_http_chatmaid_redis_conn_next_create_array(task, elements);
}


static void
ngx_http_chatmaid_redis_conn_write_handler(ngx_event_t *wev)
{
    int                              err;
    socklen_t                        len;
    ngx_connection_t                *c;
    ngx_http_chatmaid_redis_conn_t  *conn;

    c = wev->data;
    conn = c->data;

    if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_CONNECTING) {

        err = 0;
        len = sizeof(int);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len)
            == -1)
        {
            err = ngx_socket_errno;
        }

        if (err) {
            ngx_http_chatmaid_redis_conn_lose(conn, err, "can't connect");

        } else {
            ngx_http_chatmaid_redis_conn_connected(conn);
        }

    } else {
        ngx_http_chatmaid_redis_conn_write(conn);
    }

    conn->handlers->settled(conn->data);
}


void
ngx_http_chatmaid_redis_conn_write(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_int_t  rc;

    if (conn->state < NGX_HTTP_CHATMAID_REDIS_CONN_GREETING || conn->leaving) {
        return;
    }

    rc = ngx_http_chatmaid_redis_conn_send(conn, &conn->hello);

    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_conn_free_hello(conn);

        if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_READY) {
            rc = ngx_http_chatmaid_redis_conn_send(conn, conn->out);
        }
    }

    if (rc == NGX_ERROR
        || ngx_handle_write_event(conn->peer.connection->write, 0) != NGX_OK)
    {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't write");
    }
}


void
ngx_http_chatmaid_redis_conn_flush(ngx_http_chatmaid_redis_conn_t *conn)
{
    if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_READY && !conn->leaving) {
        (void) ngx_http_chatmaid_redis_conn_send(conn, conn->out);
    }
}


static ngx_int_t
ngx_http_chatmaid_redis_conn_send(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_buf_t *b)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = conn->peer.connection;

    while (b->pos < b->last) {

        if (!c->write->ready) {
            return NGX_AGAIN;
        }

        n = c->send(c, b->pos, b->last - b->pos);

        if (n == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (b == conn->out) {
            conn->handlers->written(conn->data, n);

        } else {
            b->pos += n;
        }
    }

    return NGX_OK;
}
