
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The commands for one server: first in, first out.  Each has one deadline and
 * one end.  What connection carries their bytes, and whether there is one, is
 * its owner's affair: the owner opens and closes the flow, takes the bytes, and
 * brings the replies.
 *
 * A command that has timed out or was cancelled after it was sent keeps its
 * place, so that replies stay in step; its own is dropped.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_FIFO_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_FIFO_H_INCLUDED_


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


/* Where a command goes on, of which a server has done nothing. */

typedef struct {
    ngx_http_chatmaid_redis_commands_t *to;
    unsigned                            asking:1; /* ASKING goes before it */
    unsigned                            later:1;  /* after a pause */
} ngx_http_chatmaid_redis_redirect_t;


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

    /* An error that came instead of a reply.  NGX_OK: it says where the command
     * has to go, or to come again later; NGX_DECLINED: it is the reply. */
    ngx_int_t                         (*redirect)(void *data,
                                          redisReply *reply,
                                          ngx_http_chatmaid_redis_redirect_t
                                          *redirect);

    /* A reply has been due for so long that none will come any more. */
    void                              (*silent)(void *data);

    /* The end of an event of ours: handlers may have been called. */
    void                              (*settled)(void *data);
} ngx_http_chatmaid_redis_command_handlers_t;


struct ngx_http_chatmaid_redis_command_s {
    ngx_queue_t                         fifo;     /* in queued, sent, paused */
    ngx_queue_t                         queue;    /* in live or ended */
    ngx_msec_t                          deadline;
    size_t                              size;     /* of its bytes */

    ngx_http_chatmaid_redis_pt          handler;
    void                               *data;
    ngx_uint_t                          error;    /* of an ended one */

    ngx_http_chatmaid_redis_commands_t *commands; /* where it is */
    ngx_str_t                           bytes;    /* of another than a script */
    ngx_http_chatmaid_redis_script_call_t  call;  /* of a script */
    ngx_uint_t                          redirects;

    unsigned                            evalsha:1;  /* it was sent as that */
    unsigned                            lasts:1;    /* see redis_script.h */
    unsigned                            asks:1;     /* ASKING goes before it, */
    unsigned                            asked:1;    /* and its reply is due */
    unsigned                            in_fifo:1;   /* queued or sent */
    unsigned                            paused:1;
    unsigned                            live:1;
    unsigned                            ended:1;
};


/*
 * All commands whose replies are due are in "sent", those still to be written
 * behind them in "queued": together they are the FIFO.  "out" holds the bytes
 * of the queued ones, before these the unwritten rest of the last sent one.
 *
 * Whose handler is still to be called is in "live" too, by deadline, or in
 * "ended", with an error, until the next turn.  A command in neither has timed
 * out or was cancelled, and stays in the FIFO only to keep it in step.  One in
 * "paused" is live, and not in the FIFO.
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
    ngx_queue_t                         paused;

    ngx_event_t                         timer;    /* of the whole FIFO */
    ngx_event_t                         end;      /* posted: in the next turn */
    ngx_event_t                         again;    /* the end of the pause */

    ngx_buf_t                           out;
    size_t                              partial;  /* of the last sent one */

    unsigned                            open:1;   /* bytes may be written */
};


/* Before anything else, on zeroed memory.  "handlers" must outlive it. */
void ngx_http_chatmaid_redis_fifo_init(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_msec_t timeout,
    ngx_http_chatmaid_redis_command_handlers_t *handlers, void *data,
    ngx_log_t *log);

/* Drops all commands, no handler is called any more. */
void ngx_http_chatmaid_redis_fifo_exit(
    ngx_http_chatmaid_redis_commands_t *commands);

/* The last "size" bytes of "out" are this command's. */
void ngx_http_chatmaid_redis_fifo_enqueue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, size_t size);

/* Appends the bytes of a command that has been sent before, and enqueues it.
 * NGX_ERROR: no memory, and nothing has changed. */
ngx_int_t ngx_http_chatmaid_redis_fifo_resend(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);

/* Somebody waits for it, until its deadline. */
void ngx_http_chatmaid_redis_fifo_enlist(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);

/* It comes again, in this queue or another. */
void ngx_http_chatmaid_redis_fifo_pause(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);

/* Its handler is called in the next turn: whoever is calling us now need not
 * think of what it may do. */
void ngx_http_chatmaid_redis_fifo_end(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);

/* As of redis_cancel(). */
void ngx_http_chatmaid_redis_fifo_cancel(
    ngx_http_chatmaid_redis_command_t *command);

/* Counts a command that ends; and its time, if it was answered or should have
 * been. */
void ngx_http_chatmaid_redis_fifo_count(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);

/* There is a connection: "out" may be written from now on.  Commands nobody
 * waits for any more are taken out of it first. */
void ngx_http_chatmaid_redis_fifo_open(
    ngx_http_chatmaid_redis_commands_t *commands);

/* The connection has gone: commands that were sent end with "error", in the
 * next turn; those that are queued wait on. */
void ngx_http_chatmaid_redis_fifo_close(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t error);

/* And these no longer do either: they end as UNREACHABLE. */
void ngx_http_chatmaid_redis_fifo_drop(
    ngx_http_chatmaid_redis_commands_t *commands);

/* n bytes of "out" have been written. */
void ngx_http_chatmaid_redis_fifo_written(
    ngx_http_chatmaid_redis_commands_t *commands, size_t n);

/* Whether replies are due; whether handlers are still to be called. */
ngx_uint_t ngx_http_chatmaid_redis_fifo_due(
    ngx_http_chatmaid_redis_commands_t *commands);
ngx_uint_t ngx_http_chatmaid_redis_fifo_pending(
    ngx_http_chatmaid_redis_commands_t *commands);

/* Whether there is none at all. */
ngx_uint_t ngx_http_chatmaid_redis_fifo_empty(
    ngx_http_chatmaid_redis_commands_t *commands);

/* At the end of each event's handler: the timer, as the queues ask for. */
void ngx_http_chatmaid_redis_fifo_settle(
    ngx_http_chatmaid_redis_commands_t *commands);


#endif /* _NGX_HTTP_CHATMAID_REDIS_FIFO_H_INCLUDED_ */
