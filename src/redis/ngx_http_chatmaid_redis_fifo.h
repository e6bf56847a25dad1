
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The commands for one server: first in, first out.  Each command has one
 * deadline, and ends once.  The FIFO does not know which connection carries the
 * bytes, or whether there is one: its owner opens and closes it, writes the
 * bytes, and passes the replies.
 *
 * A command that has timed out or was cancelled after it was sent keeps its
 * place, so that each reply meets its own command; the reply to this one is
 * dropped.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_FIFO_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_FIFO_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_http_chatmaid_redis_refusal.h"
#include "ngx_http_chatmaid_redis_script.h"


/* How a command has ended.  Only UNREACHABLE guarantees that no server has
 * carried out the command, or ever will. */

#define NGX_HTTP_CHATMAID_REDIS_OK           0
#define NGX_HTTP_CHATMAID_REDIS_UNREACHABLE  1  /* it was not sent */
#define NGX_HTTP_CHATMAID_REDIS_TIMEOUT      2  /* sent, no reply in time */
#define NGX_HTTP_CHATMAID_REDIS_LOST         3  /* sent, connection lost */
#define NGX_HTTP_CHATMAID_REDIS_PROTOCOL     4  /* sent, no valid reply came, or
                                                 * a reply beyond the limits */
#define NGX_HTTP_CHATMAID_REDIS_REFUSED      5  /* the server can't serve now:
                                                 * LOADING, READONLY, ... */
#define NGX_HTTP_CHATMAID_REDIS_ERROR        6  /* any other RESP error: ERR,
                                                 * WRONGTYPE, a script's own */


typedef struct ngx_http_chatmaid_redis_command_s
    ngx_http_chatmaid_redis_command_t;


/*
 * Called exactly once for each command that was queued and not cancelled, never
 * before the call that queued it has returned.  "error" is one of the above.
 * "reply" is given with OK, REFUSED and ERROR (with the latter two of type
 * REDIS_REPLY_ERROR), else it is NULL; it belongs to the client, and is valid
 * until the handler returns.  The handler may queue and cancel commands.
 */

typedef void (*ngx_http_chatmaid_redis_pt)(void *data, ngx_uint_t error,
    redisReply *reply);


typedef struct ngx_http_chatmaid_redis_commands_s
    ngx_http_chatmaid_redis_commands_t;


/* For a command that a server has not carried out: where to send it again. */

typedef struct {
    ngx_http_chatmaid_redis_commands_t *to;
    unsigned                            asking:1; /* ASKING goes before it */
    unsigned                            later:1;  /* to the same FIFO, after a
                                                   * pause */
} ngx_http_chatmaid_redis_redirect_t;


/* Callbacks of the owner, called with its "data". */

typedef struct {
    /* Whether a command may be queued; "unsent" bytes wait to be written.
     * NGX_OK, or NGX_DECLINED: the command ends as UNREACHABLE in the next turn
     * of the event loop. */
    ngx_int_t                         (*accept)(void *data, size_t unsent);

    /* A command was queued or cancelled: at the end of this turn there may be
     * bytes to write, or no command pending any more. */
    void                              (*changed)(void *data);

    /* answered(): a command was answered, and not refused; refused(): a command
     * was refused, "text" is the error; late(): one or more commands were not
     * answered in time. */
    void                              (*answered)(void *data);
    void                              (*refused)(void *data,
                                          ngx_http_chatmaid_redis_refusal_t
                                          *refusal, ngx_str_t *text);
    void                              (*late)(void *data);

    /* A reply that is an error.  NGX_OK: the command is to be sent again, as
     * "redirect" says now; NGX_DECLINED: this is the command's reply. */
    ngx_int_t                         (*redirect)(void *data,
                                          redisReply *reply,
                                          ngx_http_chatmaid_redis_redirect_t
                                          *redirect);

    /* A reply has been due for so long that none will come any more. */
    void                              (*silent)(void *data);

    /* The last call of an event of the FIFO: handlers of commands may have been
     * called. */
    void                              (*settled)(void *data);
} ngx_http_chatmaid_redis_command_handlers_t;


struct ngx_http_chatmaid_redis_command_s {
    ngx_queue_t                         fifo;     /* in queued, sent, paused */
    ngx_queue_t                         queue;    /* in live or ended */
    ngx_msec_t                          deadline;
    size_t                              size;     /* of its bytes in "out" */

    ngx_http_chatmaid_redis_pt          handler;
    void                               *data;
    ngx_uint_t                          error;    /* if it has ended */

    ngx_http_chatmaid_redis_commands_t *commands; /* the FIFO that it is in */
    ngx_str_t                           bytes;    /* unless it runs a script */
    ngx_http_chatmaid_redis_script_call_t  call;  /* if it runs a script */
    ngx_uint_t                          redirects;

    unsigned                            evalsha:1;  /* it is sent as EVALSHA */
    unsigned                            lasts:1;    /* see redis_script.h */
    unsigned                            asks:1;     /* ASKING goes before it */
    unsigned                            asked:1;    /* ASKING's reply is due */
    unsigned                            in_fifo:1;   /* queued or sent */
    unsigned                            paused:1;
    unsigned                            live:1;
    unsigned                            ended:1;
};


/*
 * The FIFO consists of "sent", the commands whose replies are due, and after
 * these "queued", the commands that are still to be written.  "out" holds the
 * unwritten rest of the last sent command, then the bytes of the queued ones.
 *
 * A command whose handler is still to be called is also in "live", in the order
 * of deadlines, or in "ended", with an error, until the next turn of the event
 * loop.  A command in neither has timed out or was cancelled, and stays in the
 * FIFO only so that each reply meets its own command.  A command in "paused" is
 * live, and not in the FIFO.
 */

struct ngx_http_chatmaid_redis_commands_s {
    ngx_log_t                          *log;
    void                               *data;
    ngx_http_chatmaid_redis_command_handlers_t  *handlers;
    ngx_msec_t                          timeout;  /* of each command, ms */

    ngx_queue_t                         queued;
    ngx_queue_t                         sent;
    ngx_queue_t                         live;
    ngx_queue_t                         ended;
    ngx_queue_t                         paused;

    ngx_event_t                         timer;    /* of the whole FIFO */
    ngx_event_t                         end;      /* posted, for "ended" */
    ngx_event_t                         again;    /* timer, for "paused" */

    ngx_buf_t                           out;
    size_t                              partial;  /* bytes of the last sent one
                                                   * that are in "out" */

    unsigned                            open:1;   /* bytes may be written */
};


/* Initializes zeroed memory; to be called first, then redirect_init().
 * "timeout" is in milliseconds.  "handlers", "data" and "log" must outlive the
 * FIFO. */
void ngx_http_chatmaid_redis_fifo_init(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_msec_t timeout,
    ngx_http_chatmaid_redis_command_handlers_t *handlers, void *data,
    ngx_log_t *log);

/* Frees all commands and the buffer; no handler is called any more. */
void ngx_http_chatmaid_redis_fifo_exit(
    ngx_http_chatmaid_redis_commands_t *commands);

/* Adds a command to "queued"; the last "size" bytes of "out" are its bytes. */
void ngx_http_chatmaid_redis_fifo_enqueue(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, size_t size);

/* Appends the bytes of a command that has been sent before to "out", and
 * enqueues it.  Returns NGX_OK, or NGX_ERROR if there is no memory; then
 * nothing has changed. */
ngx_int_t ngx_http_chatmaid_redis_fifo_resend(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);

/* Adds a command to "live": somebody waits for its reply until its deadline. */
void ngx_http_chatmaid_redis_fifo_enlist(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);

/* Adds a command that has left the FIFO to "paused"; it is sent again later. */
void ngx_http_chatmaid_redis_fifo_pause(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command);

/* Ends a command with this error.  The handler is called only in the next turn
 * of the event loop, so that nothing it does can surprise the caller. */
void ngx_http_chatmaid_redis_fifo_end(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);

/* See ngx_http_chatmaid_redis_cancel(). */
void ngx_http_chatmaid_redis_fifo_cancel(
    ngx_http_chatmaid_redis_command_t *command);

/* Counts a command that ends with this error; and the time it took, if it was
 * answered or has timed out. */
void ngx_http_chatmaid_redis_fifo_count(
    ngx_http_chatmaid_redis_commands_t *commands,
    ngx_http_chatmaid_redis_command_t *command, ngx_uint_t error);

/* There is a connection: "out" may be written from now on.  The commands that
 * nobody waits for any more are removed first. */
void ngx_http_chatmaid_redis_fifo_open(
    ngx_http_chatmaid_redis_commands_t *commands);

/* The connection has gone: commands that were sent end with "error", in the
 * next turn; commands that are queued keep waiting. */
void ngx_http_chatmaid_redis_fifo_close(
    ngx_http_chatmaid_redis_commands_t *commands, ngx_uint_t error);

/* Ends the queued commands as UNREACHABLE; only while there is no
 * connection. */
void ngx_http_chatmaid_redis_fifo_drop(
    ngx_http_chatmaid_redis_commands_t *commands);

/* n bytes of "out" have been written. */
void ngx_http_chatmaid_redis_fifo_written(
    ngx_http_chatmaid_redis_commands_t *commands, size_t n);

/* Whether replies are due; whether handlers are still to be called: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_fifo_due(
    ngx_http_chatmaid_redis_commands_t *commands);
ngx_uint_t ngx_http_chatmaid_redis_fifo_pending(
    ngx_http_chatmaid_redis_commands_t *commands);

/* Returns 1 if there is no command at all, else 0. */
ngx_uint_t ngx_http_chatmaid_redis_fifo_empty(
    ngx_http_chatmaid_redis_commands_t *commands);

/* To be called at the end of each event's handler: adapts the timer to the
 * queues. */
void ngx_http_chatmaid_redis_fifo_settle(
    ngx_http_chatmaid_redis_commands_t *commands);


#endif /* _NGX_HTTP_CHATMAID_REDIS_FIFO_H_INCLUDED_ */
