
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Commands for one server: first in, first out.  One that this server redirects
 * goes on, with what is left of its time, in the queue of another one.  Each has one deadline and one
 * end, and a reply ends the oldest that was sent.  What connection carries
 * their bytes, and whether there is one, is its owner's affair: the owner opens
 * and closes the flow, takes the bytes, and brings the replies.
 *
 * A command that has timed out or was cancelled after it was sent keeps its
 * place, so that replies stay in step; its own is dropped.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_chatmaid_redis_refusal.h"
#include "ngx_http_chatmaid_redis_script.h"


/* How a command has ended.  Only after UNREACHABLE is it certain that the
 * server has not got the command, and never will. */

#define NGX_HTTP_CHATMAID_REDIS_OK           0
#define NGX_HTTP_CHATMAID_REDIS_UNREACHABLE  1  /* it was not sent */
#define NGX_HTTP_CHATMAID_REDIS_TIMEOUT      2  /* sent, no reply in time */
#define NGX_HTTP_CHATMAID_REDIS_LOST         3  /* sent, connection lost */
#define NGX_HTTP_CHATMAID_REDIS_PROTOCOL     4  /* sent, what came is no reply,
                                                 * or one beyond all bounds */
#define NGX_HTTP_CHATMAID_REDIS_REFUSED      5  /* the server can't serve now:
                                                 * LOADING, READONLY, ... */
#define NGX_HTTP_CHATMAID_REDIS_ERROR        6  /* any other RESP error: ERR,
                                                 * WRONGTYPE, a script's own */


typedef struct ngx_http_chatmaid_redis_command_s
    ngx_http_chatmaid_redis_command_t;


/*
 * Called exactly once for each command that was queued and not cancelled, never
 * before the call that queued it has returned.  "reply" is there with OK,
 * REFUSED and ERROR (with the latter two of type REDIS_REPLY_ERROR), else NULL;
 * it is the client's, and lasts until the handler returns.  The handler may
 * queue and cancel commands.
 */

typedef void (*ngx_http_chatmaid_redis_pt)(void *data, ngx_uint_t error,
    redisReply *reply);


typedef struct ngx_http_chatmaid_redis_commands_s
    ngx_http_chatmaid_redis_commands_t;


/* What is told to the owner, with its "data". */

typedef struct {
    /* Whether a command may be queued, with which "unsent" bytes are not yet
     * written: NGX_OK, or NGX_DECLINED, and it ends as UNREACHABLE in the next
     * turn. */
    ngx_int_t                         (*accept)(void *data, size_t unsent);

    /* Something was queued or cancelled: at the end of this turn there may be
     * bytes to write, or nobody who waits for them. */
    void                              (*changed)(void *data);

    /* A command was answered; refused, by this error; not answered in time,
     * one or several at once. */
    void                              (*answered)(void *data);
    void                              (*refused)(void *data,
                                          ngx_http_chatmaid_redis_refusal_t
                                          *refusal, ngx_str_t *text);
    void                              (*late)(void *data);

    /* Another server has to be asked instead of this one, as a reply says: where
     * to, with ASKING before the command or not.  NULL: nowhere. */
    ngx_http_chatmaid_redis_commands_t *(*redirect)(void *data,
                                          redisReply *reply,
                                          ngx_uint_t *asking);

    /* A reply has been due for so long that none will come any more. */
    void                              (*silent)(void *data);

    /* The end of an event of ours: handlers may have been called. */
    void                              (*settled)(void *data);
} ngx_http_chatmaid_redis_command_handlers_t;


/*
 * All commands whose replies are due are in "sent", those still to be written
 * behind them in "queued": together they are the FIFO.  "out" holds the bytes
 * of the queued ones, before these the unwritten rest of the last sent one.
 *
 * Whose handler is still to be called is in "live" too, by deadline, or in
 * "ended", with an error, until the next turn.  A command in neither has timed
 * out or was cancelled, and stays in the FIFO only to keep it in step.
 */

struct ngx_http_chatmaid_redis_commands_s {
    ngx_log_t                          *log;
    void                               *data;
    ngx_http_chatmaid_redis_command_handlers_t  *handlers;
    ngx_msec_t                          timeout;  /* of each command */

    ngx_queue_t                         queued;
    ngx_queue_t                         sent;
    ngx_queue_t                         live;
    ngx_queue_t                         ended;

    ngx_event_t                         timer;    /* of the whole FIFO */
    ngx_event_t                         end;      /* posted: in the next turn */

    ngx_buf_t                           out;
    size_t                              partial;  /* of the last sent one */

    unsigned                            open:1;   /* bytes may be written */
};


/* Before anything else, on zeroed memory.  "handlers" must outlive it. */
void ngx_http_chatmaid_redis_command_init(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_msec_t timeout,
    ngx_http_chatmaid_redis_command_handlers_t *handlers, void *data,
    ngx_log_t *log);

/* Drops all commands, no handler is called any more. */
void ngx_http_chatmaid_redis_command_exit(
    ngx_http_chatmaid_redis_commands_t *commands);

/* redis.h says what these do: command(), script() and cancel(). */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_add(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t argc,
    const char **argv, const size_t *len, ngx_http_chatmaid_redis_pt handler,
    void *data);
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command_add_script(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data);
void ngx_http_chatmaid_redis_command_cancel(
    ngx_http_chatmaid_redis_command_t *command);

/* There is a connection: "out" may be written from now on.  Commands nobody
 * waits for any more are taken out of it first. */
void ngx_http_chatmaid_redis_command_open(
    ngx_http_chatmaid_redis_commands_t *commands);

/* The connection has gone: commands that were sent end with "error", in the
 * next turn; those that are queued wait on. */
void ngx_http_chatmaid_redis_command_close(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t error);

/* And these no longer do either: they end as UNREACHABLE. */
void ngx_http_chatmaid_redis_command_drop(
    ngx_http_chatmaid_redis_commands_t *commands);

/* n bytes of "out" have been written. */
void ngx_http_chatmaid_redis_command_written(
    ngx_http_chatmaid_redis_commands_t *commands, size_t n);

/* The next reply.  Calls the handler of its command, unless nobody waits for it
 * any more or EVAL is queued instead.  The reply remains the caller's.
 * NGX_ERROR: no reply is due. */
ngx_int_t ngx_http_chatmaid_redis_command_reply(
    ngx_http_chatmaid_redis_commands_t *commands, redisReply *reply);

/* Whether replies are due; whether handlers are still to be called. */
ngx_uint_t ngx_http_chatmaid_redis_command_due(
    ngx_http_chatmaid_redis_commands_t *commands);
ngx_uint_t ngx_http_chatmaid_redis_command_pending(
    ngx_http_chatmaid_redis_commands_t *commands);

/* Whether there is none at all. */
ngx_uint_t ngx_http_chatmaid_redis_command_empty(
    ngx_http_chatmaid_redis_commands_t *commands);

/* At the end of each event's handler: the timer, as the queues ask for. */
void ngx_http_chatmaid_redis_command_settle(
    ngx_http_chatmaid_redis_commands_t *commands);


#endif /* _NGX_HTTP_CHATMAID_REDIS_COMMAND_H_INCLUDED_ */
