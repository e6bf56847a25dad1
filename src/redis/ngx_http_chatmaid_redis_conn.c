
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * In this order: an attempt at an address, TLS, the greeting, the end of a
 * connection with the plan for the next attempt; then reading and writing.
 */


#include "ngx_http_chatmaid_redis_conn.h"


/* An attempt may take this many times the timeout of a command: TCP, TLS and
 * greeting are four to five round trips. */
#define NGX_HTTP_CHATMAID_REDIS_CONN_PATIENCE     4

/* Milliseconds.  After a connection that has lived this long, the next attempt
 * needs no pause. */
#define NGX_HTTP_CHATMAID_REDIS_CONN_LIFE         1000

#define NGX_HTTP_CHATMAID_REDIS_CONN_BUFFER       16384  /* to read into */
#define NGX_HTTP_CHATMAID_REDIS_CONN_READS        64     /* in one event */


static void ngx_http_chatmaid_redis_conn_attempt(
    ngx_http_chatmaid_redis_conn_t *conn);
static ngx_int_t ngx_http_chatmaid_redis_conn_open(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_connected(
    ngx_http_chatmaid_redis_conn_t *conn);
#if (NGX_SSL)
static void ngx_http_chatmaid_redis_conn_secured(ngx_connection_t *c);
#endif
static void ngx_http_chatmaid_redis_conn_greet(
    ngx_http_chatmaid_redis_conn_t *conn);
static ngx_int_t ngx_http_chatmaid_redis_conn_greeted(
    ngx_http_chatmaid_redis_conn_t *conn, redisReply *reply);
static void ngx_http_chatmaid_redis_conn_ready(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_lose_replica(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_lose_protocol(
    ngx_http_chatmaid_redis_conn_t *conn, const char *reason);
static void ngx_http_chatmaid_redis_conn_lose_unfound(
    ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_conn_end(
    ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_conn_lost_t *lost);
static const char *ngx_http_chatmaid_redis_conn_advice(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_conn_read_handler(ngx_event_t *rev);
static void ngx_http_chatmaid_redis_conn_read(
    ngx_http_chatmaid_redis_conn_t *conn);
static ngx_int_t ngx_http_chatmaid_redis_conn_parse(
    ngx_http_chatmaid_redis_conn_t *conn, u_char *data, size_t n);
static ngx_int_t ngx_http_chatmaid_redis_conn_replies(
    ngx_http_chatmaid_redis_conn_t *conn);
static void ngx_http_chatmaid_redis_conn_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_http_chatmaid_redis_conn_send(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_buf_t *b);


void
ngx_http_chatmaid_redis_conn_init(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_login_t *login, ngx_buf_t *out,
    ngx_http_chatmaid_redis_conn_handlers_t *handlers, void *data,
    ngx_log_t *log)
{
    conn->conf = conf;
    conn->login = login;
    conn->name = conf->url.text;
    conn->out = out;
    conn->handlers = handlers;
    conn->data = data;
    conn->log = log;

    conn->timer.handler = ngx_http_chatmaid_redis_conn_timer_handler;
    conn->timer.data = conn;
    conn->timer.log = log;
    conn->timer.cancelable = 1;
}


void
ngx_http_chatmaid_redis_conn_connect(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t quiet)
{
    ngx_int_t                          rc;
    ngx_http_chatmaid_redis_trouble_t  trouble;

    conn->hushed = quiet;

    if (ngx_http_chatmaid_redis_address_left(&conn->address)) {
        ngx_http_chatmaid_redis_conn_attempt(conn);
        return;
    }

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_FINDING;

    rc = conn->handlers->find(conn->data, &trouble);

    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_conn_attempt(conn);

    } else if (rc == NGX_DECLINED) {
        ngx_http_chatmaid_redis_conn_lose_unfound(conn, &trouble);
    }
}


void
ngx_http_chatmaid_redis_conn_found(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_int_t rc, ngx_http_chatmaid_redis_trouble_t *trouble)
{
    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_conn_attempt(conn);

    } else {
        ngx_http_chatmaid_redis_conn_lose_unfound(conn, trouble);
    }

    conn->handlers->settled(conn->data);
}


static void
ngx_http_chatmaid_redis_conn_attempt(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_int_t          rc;
    ngx_addr_t        *addr;
    ngx_connection_t  *c;

    addr = ngx_http_chatmaid_redis_address_current(&conn->address)->addr;

    conn->name.len = ngx_min(addr->name.len, NGX_SOCKADDR_STRLEN);
    conn->name.data = conn->text;
    ngx_memcpy(conn->text, addr->name.data, conn->name.len);

    ngx_log_debug1(NGX_LOG_DEBUG_EVENT, conn->log, 0,
                   "chatmaid redis connect to \"%V\"", &conn->name);

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_CONNECTING;

    ngx_add_timer(&conn->timer, conn->conf->timeout
                                * NGX_HTTP_CHATMAID_REDIS_CONN_PATIENCE);

    rc = ngx_http_chatmaid_redis_conn_open(conn);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't connect");
        return;
    }

    c = conn->peer.connection;

    c->data = conn;
    c->log = (conn->hushed || conn->log->log_level < NGX_LOG_INFO)
             ? &conn->quiet : conn->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_chatmaid_redis_conn_read_handler;
    c->write->handler = ngx_http_chatmaid_redis_conn_write_handler;

    /* nginx allocates the state of TLS from this pool */

    c->pool = ngx_create_pool(512, conn->log);

    if (c->pool == NULL
        || ngx_http_chatmaid_redis_reader_open(&conn->reader) != NGX_OK)
    {
        ngx_http_chatmaid_redis_conn_lose(conn, NGX_ENOMEM, "can't connect");
        return;
    }

    c->pool->log = c->log;

    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_conn_connected(conn);
    }
}


/* Returns what ngx_event_connect_peer() does. */

static ngx_int_t
ngx_http_chatmaid_redis_conn_open(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_addr_t             *addr;
    ngx_peer_connection_t  *pc;

    addr = ngx_http_chatmaid_redis_address_current(&conn->address)->addr;

    /* the owner reports a failure once; nginx itself would log each attempt */

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

    return ngx_event_connect_peer(pc);
}


static void
ngx_http_chatmaid_redis_conn_connected(ngx_http_chatmaid_redis_conn_t *conn)
{
    const char        *host;
    ngx_connection_t  *c;

    c = conn->peer.connection;
    host = ngx_http_chatmaid_redis_address_current(&conn->address)->host;

    if (conn->peer.sockaddr->sa_family != AF_UNIX
        && ngx_tcp_nodelay(c) != NGX_OK)
    {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't connect");
        return;
    }

#if (NGX_SSL)

    if (conn->conf->tls) {
        conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_SECURING;

        if (ngx_http_chatmaid_redis_tls_begin(conn->conf->tls, c, host)
            != NGX_OK)
        {
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

static void
ngx_http_chatmaid_redis_conn_secured(ngx_connection_t *c)
{
    ngx_http_chatmaid_redis_conn_t  *conn;

    conn = c->data;

    if (c->ssl->handshaked) {
        c->read->handler = ngx_http_chatmaid_redis_conn_read_handler;
        c->write->handler = ngx_http_chatmaid_redis_conn_write_handler;

        ngx_http_chatmaid_redis_conn_greet(conn);

    } else {
        ngx_http_chatmaid_redis_conn_lose(conn, 0,
                            ngx_http_chatmaid_redis_tls_reason(conn->conf->tls,
                                                               c));
    }

    conn->handlers->settled(conn->data);
}

#endif


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

    if (ngx_http_chatmaid_redis_greeting_make(&conn->greeting, conn->login,
                                              conn->log)
        != NGX_OK)
    {
        ngx_http_chatmaid_redis_conn_lose(conn, NGX_ENOMEM, "can't connect");
        return;
    }

    ngx_http_chatmaid_redis_conn_write(conn);

    c = conn->peer.connection;

    if (c && c->read->ready) {
        /* there will be no further event for data that has already arrived */
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


/* NGX_OK; NGX_DONE: the server refuses the greeting; NGX_ABORT: it is not a
 * master; NGX_ERROR: this is not a reply to the greeting. */

static ngx_int_t
ngx_http_chatmaid_redis_conn_greeted(ngx_http_chatmaid_redis_conn_t *conn,
    redisReply *reply)
{
    ngx_int_t                          rc;
    ngx_http_chatmaid_redis_trouble_t  trouble;

    rc = ngx_http_chatmaid_redis_greeting_reply(&conn->greeting, reply,
                                                &trouble);
    switch (rc) {

    case NGX_AGAIN:
        return NGX_OK;

    case NGX_OK:
        ngx_http_chatmaid_redis_conn_ready(conn);
        return NGX_OK;

    case NGX_DECLINED:
        conn->handlers->refused(conn->data, &trouble);
        return NGX_DONE;

    default:
        return rc;
    }
}


static void
ngx_http_chatmaid_redis_conn_ready(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, conn->log, 0, "chatmaid redis ready");

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_READY;

    ngx_http_chatmaid_redis_address_works(&conn->address);

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
    ngx_http_chatmaid_redis_conn_lost_t  lost;

    ngx_memzero(&lost, sizeof(ngx_http_chatmaid_redis_conn_lost_t));

    lost.trouble.reason = reason;
    lost.trouble.err = err;
    lost.trouble.advice = ngx_http_chatmaid_redis_conn_advice(conn);

    ngx_http_chatmaid_redis_conn_end(conn, &lost);
}


/* The addresses of a host may be those of a master and its replicas, so this is
 * reported only when all of them have been tried. */

static void
ngx_http_chatmaid_redis_conn_lose_replica(
    ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_http_chatmaid_redis_conn_lost_t  lost;

    ngx_memzero(&lost, sizeof(ngx_http_chatmaid_redis_conn_lost_t));

    lost.trouble.reason = "its ROLE is not that of a master";
    lost.trouble.advice = "chatmaid_redis needs the master";

    ngx_http_chatmaid_redis_conn_end(conn, &lost);
}


static void
ngx_http_chatmaid_redis_conn_lose_protocol(
    ngx_http_chatmaid_redis_conn_t *conn, const char *reason)
{
    ngx_http_chatmaid_redis_conn_lost_t  lost;

    ngx_memzero(&lost, sizeof(ngx_http_chatmaid_redis_conn_lost_t));

    lost.trouble.reason = reason;
    lost.trouble.advice = ngx_http_chatmaid_redis_conn_advice(conn);
    lost.protocol = 1;

    ngx_http_chatmaid_redis_conn_end(conn, &lost);
}


/* There is no address to try. */

static void
ngx_http_chatmaid_redis_conn_lose_unfound(
    ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_conn_lost_t  lost;

    ngx_memzero(&lost, sizeof(ngx_http_chatmaid_redis_conn_lost_t));

    lost.trouble = *trouble;

    ngx_http_chatmaid_redis_conn_end(conn, &lost);
}


/* The caller has set "trouble" and "protocol"; the rest of "lost" is set
 * here. */

static void
ngx_http_chatmaid_redis_conn_end(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_conn_lost_t *lost)
{
    ngx_uint_t  all;

    lost->ready = (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_READY);
    lost->lasted = conn->lasted;
    lost->leaving = conn->leaving;

    if (lost->ready) {
        lost->pause = ngx_http_chatmaid_redis_address_lost(&conn->address,
                                                           conn->lasted);

    } else if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_FINDING) {
        lost->pause = ngx_http_chatmaid_redis_address_missing(&conn->address);
        lost->all = 1;

    } else {
        lost->pause = ngx_http_chatmaid_redis_address_failed(&conn->address,
                                                             &all);
        lost->all = all;
    }

    ngx_http_chatmaid_redis_conn_disconnect(conn);

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_PAUSING;
    ngx_add_timer(&conn->timer, lost->pause);

    conn->handlers->lost(conn->data, lost);

    ngx_http_chatmaid_redis_address_next(&conn->address);
}


/* What may have caused a loss in this state, for the log, or NULL. */

static const char *
ngx_http_chatmaid_redis_conn_advice(ngx_http_chatmaid_redis_conn_t *conn)
{
    switch (conn->state) {

    case NGX_HTTP_CHATMAID_REDIS_CONN_SECURING:
        return "see ca_file and verify, and whether this port speaks TLS";

    case NGX_HTTP_CHATMAID_REDIS_CONN_GREETING:

#if (NGX_SSL)
        if (conn->conf->tls) {
            return NULL;
        }
#endif

        return "is it a Redis, and does it not want TLS (rediss://)?";

    default:
        return NULL;
    }
}


void
ngx_http_chatmaid_redis_conn_disconnect(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_FINDING) {
        conn->handlers->forget(conn->data);
    }

    conn->state = NGX_HTTP_CHATMAID_REDIS_CONN_DOWN;
    conn->lasted = 0;
    conn->leaving = 0;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    ngx_http_chatmaid_redis_reader_close(&conn->reader);
    ngx_http_chatmaid_redis_greeting_free(&conn->greeting);

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


void
ngx_http_chatmaid_redis_conn_idle(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t idle)
{
    if (conn->peer.connection) {
        conn->peer.connection->idle = idle;
    }
}


/* A pause is over, an attempt takes too long, or a connection has lived for a
 * second. */

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

    } else if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_SECURING) {
        ngx_http_chatmaid_redis_conn_lose(conn, 0, "no TLS handshake in time");

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
         * The worker is shutting down and closes idle connections.  Later,
         * after worker_shutdown_timeout, it closes all others too, but commands
         * that are pending get their replies: the owner closes the connection
         * after the last one.
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

        if (ngx_http_chatmaid_redis_conn_parse(conn, buffer, n) != NGX_OK) {
            return;
        }
    }

    if (i == NGX_HTTP_CHATMAID_REDIS_CONN_READS) {
        /* let other connections have their turn */
        ngx_post_event(c->read, &ngx_posted_next_events);
        return;
    }

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_http_chatmaid_redis_conn_lose(conn, ngx_socket_errno,
                                          "can't read");
    }
}


/* NGX_OK, or NGX_ERROR: the connection is lost. */

static ngx_int_t
ngx_http_chatmaid_redis_conn_parse(ngx_http_chatmaid_redis_conn_t *conn,
    u_char *data, size_t n)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_redis_reader_feed(&conn->reader, data, n);

    if (rc == NGX_DECLINED) {
        ngx_http_chatmaid_redis_conn_lose_protocol(conn,
                                                   "its reply is too large");
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_redis_conn_replies(conn);
    }

    switch (rc) {

    case NGX_AGAIN:
        return NGX_OK;

    case NGX_DONE:
        ngx_http_chatmaid_redis_conn_lose(conn, 0, "it refuses commands");
        return NGX_ERROR;

    case NGX_ABORT:
        ngx_http_chatmaid_redis_conn_lose_replica(conn);
        return NGX_ERROR;

    default:
        ngx_http_chatmaid_redis_conn_lose_protocol(conn,
                                                "what it sends is no reply");
        return NGX_ERROR;
    }
}


/* The handlers of commands are called from here.  They may queue and cancel
 * commands, but nothing that they do closes the connection before this function
 * returns. */

static ngx_int_t
ngx_http_chatmaid_redis_conn_replies(ngx_http_chatmaid_redis_conn_t *conn)
{
    ngx_int_t    rc;
    redisReply  *reply;

    do {
        rc = ngx_http_chatmaid_redis_reader_next(&conn->reader, &reply);

        if (rc != NGX_OK) {
            return rc;
        }

        if (conn->state == NGX_HTTP_CHATMAID_REDIS_CONN_GREETING) {
            rc = ngx_http_chatmaid_redis_conn_greeted(conn, reply);

        } else {
            rc = conn->handlers->reply(conn->data, reply);
        }

    } while (rc == NGX_OK);

    return rc;
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

    rc = ngx_http_chatmaid_redis_conn_send(conn, &conn->greeting.bytes);

    if (rc == NGX_OK) {
        ngx_http_chatmaid_redis_greeting_free(&conn->greeting);

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
