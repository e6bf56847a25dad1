
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the files of the Redis client share, and nothing else includes:
 *
 *   redis.c        what its callers see; what is known of the server
 *   redis_queue.c  the commands: their order, their deadlines and their ends
 *   redis_reply.c  what a reply says; scripts
 *   redis_link.c   the connection: addresses, TLS, greeting, pauses
 *   redis_io.c     what comes on it and what goes: events, replies, buffers
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_LINK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_LINK_H_INCLUDED_


#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_conf.h"


/* How many of a command's timeouts an attempt to connect may take (TCP, TLS and
 * greeting are four to five round trips), or a reply until it is given up, and
 * the connection with it. */
#define NGX_HTTP_CHATMAID_REDIS_PATIENCE  4


typedef enum {
    NGX_HTTP_CHATMAID_REDIS_DOWN = 0,
    NGX_HTTP_CHATMAID_REDIS_CONNECTING,
    NGX_HTTP_CHATMAID_REDIS_SECURING,        /* TLS handshake */
    NGX_HTTP_CHATMAID_REDIS_GREETING,        /* AUTH, SELECT, PING */
    NGX_HTTP_CHATMAID_REDIS_READY
} ngx_http_chatmaid_redis_state_e;


/* Bytes to be written, from pos to last; start is NULL where there are none. */

typedef struct {
    u_char                             *start;
    u_char                             *pos;
    u_char                             *last;
    u_char                             *end;
} ngx_http_chatmaid_redis_out_t;


struct ngx_http_chatmaid_redis_command_s {
    ngx_queue_t                         fifo;     /* in queued or sent */
    ngx_queue_t                         queue;    /* in live or ended */
    ngx_msec_t                          deadline;
    size_t                              size;     /* of its bytes */

    ngx_http_chatmaid_redis_pt          handler;
    void                               *data;
    ngx_uint_t                          error;    /* of an ended one */

    ngx_http_chatmaid_redis_script_t   *script;   /* not yet sent as EVAL */
    char                               *evalsha;  /* hiredis' */
    size_t                              evalsha_len;
    ngx_uint_t                          nargs;    /* words of this command */

    unsigned                            in_fifo:1;
    unsigned                            live:1;
    unsigned                            ended:1;
};


/*
 * All commands whose replies are due are in "sent", those still to be written
 * behind them in "queued": together they are the FIFO.  "out" holds the bytes
 * of the queued ones, before these the unwritten rest of the last sent one.
 * While the link is not READY nothing is sent, so all is queued.
 *
 * Whose handler is still to be called is in "live" too, by deadline, or in
 * "ended", with an error, until the next turn.  A command in neither has timed
 * out or was cancelled, and stays in the FIFO only to keep it in step.
 */

struct ngx_http_chatmaid_redis_s {
    ngx_http_chatmaid_redis_conf_t     *conf;
    ngx_log_t                          *log;

    ngx_queue_t                         queued;
    ngx_queue_t                         sent;
    ngx_queue_t                         live;
    ngx_queue_t                         ended;

    ngx_event_t                         timer;    /* of the whole FIFO */
    ngx_event_t                         flush;    /* posted: at a turn's end */
    ngx_event_t                         fail;     /* posted: in the next turn */
    ngx_uint_t                          retained;

    ngx_http_chatmaid_redis_out_t       out;
    size_t                              partial;  /* of the last sent one */

    /* the link */

    ngx_http_chatmaid_redis_state_e     state;
    ngx_peer_connection_t               peer;
    ngx_event_t                         retry;    /* pause's, attempt's end;
                                                   * or the proof of a life */
    ngx_log_t                           quiet;    /* for tries known to fail */
    ngx_uint_t                          address;
    ngx_uint_t                          tries;    /* addresses tried in vain */
    ngx_msec_t                          delay;    /* grows */
    ngx_msec_t                          since;    /* when it became READY */
    ngx_msec_t                          trouble;  /* last refusal or timeout */

    ngx_http_chatmaid_redis_out_t       hello;    /* the greeting's bytes */
    const char                         *steps[3]; /* and its commands */
    ngx_uint_t                          nsteps;
    ngx_uint_t                          step;     /* whose reply is due */

    redisReader                        *reader;
    size_t                              received; /* of an unfinished reply */
    size_t                              elements; /* the same */

    ngx_http_chatmaid_redis_watch_pt    watch;
    void                               *watch_data;

    unsigned                            up:1;     /* commands are answered */
    unsigned                            noted:1;  /* the log says it is away */
    unsigned                            away:1;   /* the last attempt failed */
    unsigned                            troubled:1;  /* "trouble" is set */
    unsigned                            flapping:1;  /* the last connection did
                                                      * not live long */
    unsigned                            leaving:1;  /* write no more, and
                                                     * reconnect when "sent" is
                                                     * empty */
};


/* redis.c */

/* Changes of what is known of the server, one line in the log for each.  The
 * watcher is told.  "reason" is ours, err an errno or 0; "text", which may be
 * NULL, is from outside. */
void ngx_http_chatmaid_redis_note_away(ngx_http_chatmaid_redis_t *redis,
    ngx_err_t err, const char *reason, ngx_str_t *text);
void ngx_http_chatmaid_redis_note_up(ngx_http_chatmaid_redis_t *redis);

/* To be called at the end of each event's handler: timer and connection as the
 * queues ask for.  May close the connection of a worker that is exiting. */
void ngx_http_chatmaid_redis_settle(ngx_http_chatmaid_redis_t *redis);


/* redis_queue.c */

/* Queues and events, all empty; before anything else is called. */
void ngx_http_chatmaid_redis_queue_init(ngx_http_chatmaid_redis_t *redis);

/* A new command of these bytes, which are copied: in the FIFO, or ended already
 * where the server is away or too much is unsent.  NULL: no memory. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_queue(
    ngx_http_chatmaid_redis_t *redis, const char *bytes, size_t len,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* Puts a command that is not in the FIFO at its end.  Its bytes, "size" of
 * them, are the last in "out". */
void ngx_http_chatmaid_redis_enqueue(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command, size_t size);

/* For a command that is in no queue any more. */
void ngx_http_chatmaid_redis_free(ngx_http_chatmaid_redis_command_t *command);

/* Whether handlers are still to be called: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_pending(ngx_http_chatmaid_redis_t *redis);

/* n bytes of "out" have been written: commands go from "queued" to "sent". */
void ngx_http_chatmaid_redis_written(ngx_http_chatmaid_redis_t *redis,
    size_t n);

/* The connection has gone: the commands in "sent" end with "error", in the next
 * turn; those in "queued" wait on. */
void ngx_http_chatmaid_redis_drop_sent(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t error);

/* And these no longer do either: they end as UNREACHABLE. */
void ngx_http_chatmaid_redis_drop_queued(ngx_http_chatmaid_redis_t *redis);

/* Takes out of "queued" and "out" what nobody waits for any more, so that it is
 * not sent on a new connection; only before anything is. */
void ngx_http_chatmaid_redis_prune(ngx_http_chatmaid_redis_t *redis);


/* redis_reply.c */

/* The reply to the first command of "sent", which must not be empty.  Calls its
 * handler, unless nobody waits for it any more or EVAL is queued instead.  The
 * reply remains the caller's. */
void ngx_http_chatmaid_redis_replied(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply);


/* redis_link.c */

/* Begins to connect to the address whose turn it is; only when DOWN.  If that
 * fails it is lost, as by lose(). */
void ngx_http_chatmaid_redis_connect(ngx_http_chatmaid_redis_t *redis);

/* The socket is connected: goes on with TLS or the greeting, and the same if
 * that fails. */
void ngx_http_chatmaid_redis_connected(ngx_http_chatmaid_redis_t *redis);

/* The reply to the step of the greeting that is due: READY after the last, or
 * "leaving" where it is an error.  The reply remains the caller's. */
void ngx_http_chatmaid_redis_greeted(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply);

/* Closes the connection, if there is one, and forgets all that was sent on it,
 * without a word and without a plan to connect again. */
void ngx_http_chatmaid_redis_disconnect(ngx_http_chatmaid_redis_t *redis);

/* The same, but as a failure: commands that were sent end with "error", the log
 * says why (err: an errno or 0), where it did not yet, and the next attempt is
 * planned. */
void ngx_http_chatmaid_redis_lose(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t error, ngx_err_t err, const char *reason);


/* redis_io.c */

/* Of the connection, except during a TLS handshake. */
void ngx_http_chatmaid_redis_write_handler(ngx_event_t *wev);
void ngx_http_chatmaid_redis_read_handler(ngx_event_t *rev);

/* For a new connection; to be freed by redisReaderFree().  NULL: no memory. */
redisReader *ngx_http_chatmaid_redis_reader(ngx_http_chatmaid_redis_t *redis);

/* Writes what may be written now.  May lose the connection. */
void ngx_http_chatmaid_redis_write(ngx_http_chatmaid_redis_t *redis);

/* Appends: NGX_OK, or NGX_ERROR where there is no memory, and then "out" is as
 * it was. */
ngx_int_t ngx_http_chatmaid_redis_append(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_out_t *out, const void *data, size_t len);

/* Wiped first, for a greeting holds the password. */
void ngx_http_chatmaid_redis_free_out(ngx_http_chatmaid_redis_out_t *out);


#endif /* _NGX_HTTP_CHATMAID_REDIS_LINK_H_INCLUDED_ */
