
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One connection to one server: its addresses in turn, TCP, TLS, a greeting of
 * AUTH, SELECT, PING and ROLE, and the pauses between attempts.  It carries
 * bytes out and replies in, and knows nothing of commands.  What happens is
 * told to its owner, who decides whether to connect at all, and where to.
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


/* The end of a connection or of an attempt. */

typedef struct {
    ngx_http_chatmaid_redis_trouble_t   trouble;
    ngx_msec_t                          pause;    /* before the next attempt */

    unsigned                            ready:1;     /* it was READY, */
    unsigned                            lasted:1;    /* and for a second */
    unsigned                            leaving:1;   /* see leave() */
    unsigned                            protocol:1;  /* what came is no reply */
    unsigned                            all:1;       /* attempts at all
                                                      * addresses failed */
} ngx_http_chatmaid_redis_conn_lost_t;


/* What is told to the owner, with its "data".  Only due() and settled() may
 * connect or disconnect. */

typedef struct {
    /* Fill "address", before its first is tried.  NGX_OK: that is done, or it
     * may stay as it is; NGX_AGAIN: found() will be called; NGX_DECLINED: there
     * is none, as "trouble" says. */
    ngx_int_t                         (*find)(void *data,
                                          ngx_http_chatmaid_redis_trouble_t
                                          *trouble);

    /* Don't call found(). */
    void                              (*forget)(void *data);

    /* The pause is over: connect() is due. */
    void                              (*due)(void *data);

    /* The greeting has been answered: "out" may be written. */
    void                              (*ready)(void *data);

    /* It has been ready for a second. */
    void                              (*lasted)(void *data);

    /* The greeting was refused.  lost() follows. */
    void                              (*refused)(void *data,
                                          ngx_http_chatmaid_redis_trouble_t
                                          *trouble);

    /* n bytes of "out" have been written: move its pos. */
    void                              (*written)(void *data, size_t n);

    /* A reply, which remains ours.  NGX_OK; NGX_ERROR: none is due; NGX_DONE:
     * it was the last before leaving. */
    ngx_int_t                         (*reply)(void *data, redisReply *reply);

    /* It has gone, and a pause has begun. */
    void                              (*lost)(void *data,
                                          ngx_http_chatmaid_redis_conn_lost_t
                                          *lost);

    /* The end of each event of ours. */
    void                              (*settled)(void *data);
} ngx_http_chatmaid_redis_conn_handlers_t;


typedef struct {
    ngx_http_chatmaid_redis_conf_t     *conf;
    ngx_http_chatmaid_redis_login_t    *login;
    ngx_http_chatmaid_redis_conn_handlers_t  *handlers;
    void                               *data;
    ngx_log_t                          *log;
    ngx_log_t                           quiet;    /* of tries known to fail */

    ngx_http_chatmaid_redis_address_t   address;
    ngx_str_t                           name;     /* of the latest, or what
                                                   * the URL has */
    u_char                              text[NGX_SOCKADDR_STRLEN];

    ngx_http_chatmaid_redis_conn_state_e  state;
    ngx_peer_connection_t               peer;
    ngx_event_t                         timer;    /* pause's or attempt's end;
                                                   * or the proof of a life */

    ngx_http_chatmaid_redis_greeting_t  greeting;
    ngx_http_chatmaid_redis_reader_t    reader;
    ngx_buf_t                          *out;      /* the owner's bytes */

    unsigned                            lasted:1;   /* READY for a second */
    unsigned                            leaving:1;  /* writes no more */
    unsigned                            hushed:1;   /* see connect() */
} ngx_http_chatmaid_redis_conn_t;


/* Before anything else, on zeroed memory.  While READY it writes what is
 * between pos and last of "out".  "login", "out" and "handlers" must outlive
 * it. */
void ngx_http_chatmaid_redis_conn_init(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_login_t *login, ngx_buf_t *out,
    ngx_http_chatmaid_redis_conn_handlers_t *handlers, void *data,
    ngx_log_t *log);

/* Begins to connect to the address whose turn it is, or to find one; only when
 * DOWN or due().
 * "quiet": nginx's own log lines are not wanted, nor are they without the level
 * info. */
void ngx_http_chatmaid_redis_conn_connect(
    ngx_http_chatmaid_redis_conn_t *conn, ngx_uint_t quiet);

/* Goes on after find() has returned NGX_AGAIN: with NGX_OK, or NGX_DECLINED and
 * "trouble". */
void ngx_http_chatmaid_redis_conn_found(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_int_t rc, ngx_http_chatmaid_redis_trouble_t *trouble);

/* Writes what may be written now.  May lose the connection. */
void ngx_http_chatmaid_redis_conn_write(ngx_http_chatmaid_redis_conn_t *conn);

/* The same within any other event: a failure is left to the next write(). */
void ngx_http_chatmaid_redis_conn_flush(ngx_http_chatmaid_redis_conn_t *conn);

/* Writes no more: to be lost once the replies that are due have come. */
void ngx_http_chatmaid_redis_conn_leave(ngx_http_chatmaid_redis_conn_t *conn);

/* Gives it up as lost. */
void ngx_http_chatmaid_redis_conn_lose(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_err_t err, const char *reason);

/* Closes it, if it is there, without a word and without a plan to connect
 * again. */
void ngx_http_chatmaid_redis_conn_disconnect(
    ngx_http_chatmaid_redis_conn_t *conn);

/* Whether a worker that is shutting down may end without it. */
void ngx_http_chatmaid_redis_conn_idle(ngx_http_chatmaid_redis_conn_t *conn,
    ngx_uint_t idle);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CONN_H_INCLUDED_ */
