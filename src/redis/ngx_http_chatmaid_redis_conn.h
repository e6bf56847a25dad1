
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One connection to one server: it tries the server's addresses in turn, with
 * pauses between attempts, and handles TCP, TLS and a greeting of AUTH, SELECT,
 * PING and ROLE.  It carries bytes out and replies in, and knows nothing of
 * commands.  It reports what happens to its owner, who decides whether to
 * connect, and where to.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_CONN_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_CONN_H_INCLUDED_


#include "ngx_http_chatmaid_redis_address.h"
#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_redis_greeting.h"
#include "ngx_http_chatmaid_redis_reader.h"
#include <ngx_event_connect.h>


typedef enum {
    NGX_HTTP_CHATMAID_REDIS_CONN_DOWN = 0,
    NGX_HTTP_CHATMAID_REDIS_CONN_PAUSING,     /* before the next attempt */
    NGX_HTTP_CHATMAID_REDIS_CONN_FINDING,     /* addresses to try */
    NGX_HTTP_CHATMAID_REDIS_CONN_CONNECTING,
    NGX_HTTP_CHATMAID_REDIS_CONN_SECURING,    /* TLS handshake */
    NGX_HTTP_CHATMAID_REDIS_CONN_GREETING,    /* AUTH ... ROLE */
    NGX_HTTP_CHATMAID_REDIS_CONN_READY
} ngx_http_chatmaid_redis_conn_state_e;


/* How a connection or an attempt has ended. */

typedef struct {
    ngx_http_chatmaid_redis_trouble_t   trouble;
    ngx_msec_t                          pause;    /* before the next attempt */

    unsigned                            ready:1;     /* it was READY, */
    unsigned                            lasted:1;    /* for at least a second */
    unsigned                            leaving:1;   /* see leave() */
    unsigned                            protocol:1;  /* no valid reply came */
    unsigned                            all:1;       /* attempts at all
                                                      * addresses failed */
} ngx_http_chatmaid_redis_conn_lost_t;


/* Callbacks of the owner, called with its "data".  Only due() and settled() may
 * call connect() or disconnect(). */

typedef struct {
    /* Fill "address", before a round of attempts begins.  NGX_OK: it is filled,
     * or may stay as it is; NGX_AGAIN: the owner will call found();
     * NGX_DECLINED: there is no address, and "trouble" says why. */
    ngx_int_t                         (*find)(void *data,
                                          ngx_http_chatmaid_redis_trouble_t
                                          *trouble);

    /* Don't call found() any more. */
    void                              (*forget)(void *data);

    /* The pause is over: it is time for connect(). */
    void                              (*due)(void *data);

    /* The greeting has been answered: "out" may be written. */
    void                              (*ready)(void *data);

    /* The connection has been ready for a second. */
    void                              (*lasted)(void *data);

    /* The greeting was refused; "trouble" is valid until this returns.  lost()
     * follows. */
    void                              (*refused)(void *data,
                                          ngx_http_chatmaid_redis_trouble_t
                                          *trouble);

    /* n bytes of "out" have been written: move its pos. */
    void                              (*written)(void *data, size_t n);

    /* A reply, which is valid until this returns.  NGX_OK; NGX_ERROR: no such
     * reply is due; NGX_DONE: it was the last one that the owner wants, the
     * connection is closed. */
    ngx_int_t                         (*reply)(void *data, redisReply *reply);

    /* The connection or the attempt has ended, and a pause has begun. */
    void                              (*lost)(void *data,
                                          ngx_http_chatmaid_redis_conn_lost_t
                                          *lost);

    /* The last call of each event of the connection. */
    void                              (*settled)(void *data);
} ngx_http_chatmaid_redis_conn_handlers_t;


typedef struct {
    ngx_http_chatmaid_redis_conf_t     *conf;
    ngx_http_chatmaid_redis_login_t    *login;
    ngx_http_chatmaid_redis_conn_handlers_t  *handlers;
    void                               *data;
    ngx_log_t                          *log;
    ngx_log_t                           quiet;    /* a log for alerts only */

    ngx_http_chatmaid_redis_address_t   address;
    ngx_str_t                           name;     /* of the latest address, at
                                                   * first the URL's text */
    u_char                              text[NGX_SOCKADDR_STRLEN];

    ngx_http_chatmaid_redis_conn_state_e  state;
    ngx_peer_connection_t               peer;
    ngx_event_t                         timer;    /* ends a pause or an attempt,
                                                   * or sets "lasted" */

    ngx_http_chatmaid_redis_greeting_t  greeting;
    ngx_http_chatmaid_redis_reader_t    reader;
    ngx_buf_t                          *out;      /* the owner's bytes */

    unsigned                            lasted:1;   /* READY for a second */
    unsigned                            leaving:1;  /* writes no more */
    unsigned                            hushed:1;   /* see connect() */
} ngx_http_chatmaid_redis_conn_t;


/* Initializes zeroed memory; to be called first.  While READY the connection
 * writes what is between pos and last of "out".  All that the arguments point
 * to must outlive the connection. */
void ngx_http_chatmaid_redis_conn_init(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_login_t *login, ngx_buf_t *out,
    ngx_http_chatmaid_redis_conn_handlers_t *handlers, void *data,
    ngx_log_t *log);

/* Begins to connect to the address whose turn it is, or to find addresses; to
 * be called only when DOWN, or by due().  "quiet": nginx itself logs nothing
 * about the attempt; otherwise it does so only if the log level is "info" or
 * "debug". */
void ngx_http_chatmaid_redis_conn_connect(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_uint_t quiet);

/* Goes on after find() has returned NGX_AGAIN.  rc is NGX_OK, or NGX_DECLINED:
 * there is no address, and "trouble" says why. */
void ngx_http_chatmaid_redis_conn_found(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_int_t rc, ngx_http_chatmaid_redis_trouble_t *trouble);

/* Writes what may be written now.  If that fails, the connection is lost. */
void ngx_http_chatmaid_redis_conn_write(ngx_http_chatmaid_redis_conn_t *conn);

/* Like write(), but only while READY, and safe within any other event: never
 * loses the connection, a failure is left to the next write(). */
void ngx_http_chatmaid_redis_conn_flush(ngx_http_chatmaid_redis_conn_t *conn);

/* The connection writes nothing more.  When the outstanding replies have
 * arrived, the owner returns NGX_DONE from reply(), and it is closed. */
void ngx_http_chatmaid_redis_conn_leave(ngx_http_chatmaid_redis_conn_t *conn);

/* Closes the connection or ends the attempt, begins a pause, and calls lost()
 * with this reason for the log.  "err" is an errno or 0. */
void ngx_http_chatmaid_redis_conn_lose(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_err_t err, const char *reason);

/* Closes the connection, if there is one, without a log line, without calling
 * lost() and without planning a new attempt. */
void ngx_http_chatmaid_redis_conn_disconnect(
    ngx_http_chatmaid_redis_conn_t *conn);

/* "idle": a worker that is shutting down may close the connection. */
void ngx_http_chatmaid_redis_conn_idle(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t idle);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CONN_H_INCLUDED_ */
