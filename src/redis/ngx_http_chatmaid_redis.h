
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A client for one Redis server.  Each worker has one connection, on which all
 * its commands are pipelined.  It knows nothing of claims or requests: whoever
 * queues a command gives a handler and a pointer for it.
 *
 * A worker connects when it starts.  Where that fails, or the connection is
 * lost, it goes on trying by itself, at all addresses of the host in turn and
 * with growing, random pauses of at most two seconds; no command is needed for
 * it, and none waits for it.  So a command that is queued
 *
 *   - while connected is written at the end of this turn of the event loop,
 *     together with all others of the turn;
 *   - while a connection is being made, and nothing is known against the
 *     server, waits for it within the command's own timeout;
 *   - while the server is known to be away (the latest attempt failed, or took
 *     longer than a command's timeout) fails in the next turn.
 *
 * The proof that the server is back is the answer to a PING, which is sent
 * after AUTH and SELECT and before any command; after a connection that lived
 * for less than a second it is one that lives longer.  A connection that is
 * closed while nothing is asked is no loss, unless a command is refused before
 * there is another one.
 *
 * Commands that have timed out stay in step: their replies are read and
 * dropped.  A connection on which a reply has been due for four timeouts is
 * closed, so that a server that hangs makes callers wait for no longer than
 * that.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include <hiredis/hiredis.h>


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

/* Beyond these a reply counts as endless, and so does what waits to be sent. */

#define NGX_HTTP_CHATMAID_REDIS_MAX_REPLY     (8 * 1024 * 1024)
#define NGX_HTTP_CHATMAID_REDIS_MAX_ELEMENTS  65536  /* of all its arrays */
#define NGX_HTTP_CHATMAID_REDIS_MAX_UNSENT    (16 * 1024 * 1024)


typedef struct ngx_http_chatmaid_redis_command_s
    ngx_http_chatmaid_redis_command_t;


/*
 * Called exactly once for each command that was queued and not cancelled, never
 * before the call that queued it has returned.  "reply" is there with OK,
 * REFUSED and ERROR (with the latter two of type REDIS_REPLY_ERROR), else NULL;
 * it is the client's, and lasts until the handler returns.  The handler may
 * call any function below.  It is not called in a worker that ends at once
 * (TERM).
 */

typedef void (*ngx_http_chatmaid_redis_pt)(void *data, ngx_uint_t error,
    redisReply *reply);

/* Told after each attempt to connect, and whenever up() changes; it may be told
 * the same again. */

typedef void (*ngx_http_chatmaid_redis_watch_pt)(void *data, ngx_uint_t up);


/* A script, and the name that Redis has for it. */

typedef struct {
    ngx_str_t                          text;
    u_char                             sha1[40];
} ngx_http_chatmaid_redis_script_t;


/* The client of this worker, or NULL: in another process, or for want of
 * memory.  It lives as long as the process. */
ngx_http_chatmaid_redis_t *ngx_http_chatmaid_redis_get(
    ngx_http_chatmaid_redis_conf_t *conf);

/* For init_process and exit_process; conf may be NULL.  init makes the client
 * in a worker and begins to connect, NGX_ERROR: no memory.  exit closes and
 * frees all; what is still pending then is dropped without its handler being
 * called, which happens only in a worker that ends at once. */
ngx_int_t ngx_http_chatmaid_redis_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_redis_conf_t *conf);
void ngx_http_chatmaid_redis_exit(ngx_http_chatmaid_redis_conf_t *conf);

/* Queues a command of argc words (argv, which may hold any bytes, with their
 * lengths); they are copied.  Gives a handle for cancel(), which is good until
 * the handler is called, or NULL: no memory, and the handler won't be called.
 * A command that blocks, subscribes, or answers more or less than once must not
 * be sent. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command(
    ngx_http_chatmaid_redis_t *redis, ngx_uint_t argc, const char **argv,
    const size_t *len, ngx_http_chatmaid_redis_pt handler, void *data);

/* Computes script->sha1 of script->text; once, at configuration.  NGX_OK, or
 * NGX_ERROR where OpenSSL fails (logged). */
ngx_int_t ngx_http_chatmaid_redis_script_init(
    ngx_http_chatmaid_redis_script_t *script, ngx_log_t *log);

/* The same as command() for a script with its keys and arguments, keys first,
 * at most NGX_HTTP_CHATMAID_REDIS_MAX_ARGS in all: EVALSHA and, should the
 * server not know the script, EVAL, within one timeout and with one call of the
 * handler.  "script" must outlive the command. */
#define NGX_HTTP_CHATMAID_REDIS_MAX_ARGS  32

ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_script(
    ngx_http_chatmaid_redis_t *redis, ngx_http_chatmaid_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* The handler won't be called any more.  The command itself may already have
 * been sent, or may still be. */
void ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command);

/* Who will want the connection later, as for the finish of a claim, retains it:
 * a worker that is shutting down keeps (and makes) it only as long as somebody
 * does, or commands are pending.  Retaining does not hold the worker itself:
 * only pending commands do, each at most its timeout. */
void ngx_http_chatmaid_redis_retain(ngx_http_chatmaid_redis_t *redis);
void ngx_http_chatmaid_redis_release(ngx_http_chatmaid_redis_t *redis);

/* Whether commands are being answered, as far as is known: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_up(ngx_http_chatmaid_redis_t *redis);

/* One watcher, called at once with what is known; a later one replaces it. */
void ngx_http_chatmaid_redis_watch(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_watch_pt watch, void *data);


#endif /* _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_ */
