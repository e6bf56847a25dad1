
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the two halves of the Redis client share: the link (redis_link.c), which
 * connects, greets, writes and reads, and the commands (redis.c), which wait on
 * it.  Nothing else includes this.
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


/*
 * All commands whose replies are due are in "sent", those still to be written
 * behind them in "queued": together they are the FIFO.  "out" holds the bytes of
 * the queued ones, before these the unwritten rest of the last sent one.  While
 * the link is not READY nothing is sent, so all is queued.
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
    ngx_queue_t                         spare;    /* to be used again */
    ngx_uint_t                          nspare;

    ngx_event_t                         timer;    /* of the whole FIFO */
    ngx_event_t                         flush;    /* posted: at a turn's end */
    ngx_event_t                         fail;     /* posted: in the next turn */
    ngx_uint_t                          retained;

    ngx_http_chatmaid_redis_out_t       out;
    size_t                              partial;  /* of the last sent one */

    /* the link */

    ngx_http_chatmaid_redis_state_e     state;
    ngx_peer_connection_t               peer;
    ngx_event_t                         retry;    /* a pause's or attempt's end */
    ngx_log_t                           quiet;    /* for attempts known to fail */
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
    unsigned                            away:1;   /* the latest attempt failed */
    unsigned                            troubled:1;  /* "trouble" is set */
    unsigned                            leaving:1;  /* write no more, and
                                                     * reconnect when "sent" is
                                                     * empty */
};


/* The link, for the commands */

/* Begins to connect to the address whose turn it is; only when DOWN. */
void ngx_http_chatmaid_redis_connect(ngx_http_chatmaid_redis_t *redis);

/* Writes what may be written now.  May close the connection. */
void ngx_http_chatmaid_redis_write(ngx_http_chatmaid_redis_t *redis);

/* Closes the connection, and forgets all that was sent on it, without a word and
 * without a plan to connect again. */
void ngx_http_chatmaid_redis_disconnect(ngx_http_chatmaid_redis_t *redis);

/* The same, but as a failure: commands that were sent end with "error", the log
 * says why (err: an errno or 0), where it did not yet, and the next attempt is
 * planned. */
void ngx_http_chatmaid_redis_lose(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t error, ngx_err_t err, const char *reason);

/* Changes of what is known of the server, one line in the log for each.  "text",
 * which may be NULL, is from outside. */
void ngx_http_chatmaid_redis_note_away(ngx_http_chatmaid_redis_t *redis,
    ngx_err_t err, const char *reason, ngx_str_t *text);
void ngx_http_chatmaid_redis_note_up(ngx_http_chatmaid_redis_t *redis);

/* Appends: NGX_OK, or NGX_ERROR where there is no memory. */
ngx_int_t ngx_http_chatmaid_redis_append(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_out_t *out, const void *data, size_t len);


/* The commands, for the link */

/* Whether handlers are still to be called. */
ngx_uint_t ngx_http_chatmaid_redis_pending(ngx_http_chatmaid_redis_t *redis);

/* n bytes of "out" have been written. */
void ngx_http_chatmaid_redis_written(ngx_http_chatmaid_redis_t *redis,
    size_t n);

/* The reply to the first command of "sent", which must not be empty. */
void ngx_http_chatmaid_redis_replied(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply);

/* The connection has gone: the commands in "sent" end with "error", in the next
 * turn; those in "queued" wait on. */
void ngx_http_chatmaid_redis_drop_sent(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t error);

/* And these no longer do either. */
void ngx_http_chatmaid_redis_drop_queued(ngx_http_chatmaid_redis_t *redis);

/* Takes out of "queued" and "out" what nobody waits for any more, so that it is
 * not sent on a new connection; only before anything is. */
void ngx_http_chatmaid_redis_prune(ngx_http_chatmaid_redis_t *redis);

/* To be called at the end of each event's handler: timer and connection as the
 * queues ask for.  May close the connection of a worker that is exiting. */
void ngx_http_chatmaid_redis_settle(ngx_http_chatmaid_redis_t *redis);


#endif /* _NGX_HTTP_CHATMAID_REDIS_LINK_H_INCLUDED_ */
