
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A client for one Redis server, or for a Redis Cluster.  Each worker has one
 * connection to each server, on which all its commands are pipelined.  It knows
 * nothing of claims or requests: whoever queues a command gives a handler and a
 * pointer for it.
 *
 * This is all that callers see.  Behind it redis_node is a server: redis_conn
 * is the connection, redis_command the commands, and redis_health what is known
 * of the server; these do not know each other, and tell redis_node the news.
 * redis_cluster knows which node of a Cluster has a key.  A command goes to the
 * node of its first key, and its other keys must be in the same slot.
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
 * It is connected only to a master: ROLE is asked before the first command, and
 * a server that refuses a command since it is a replica is left.  In a Cluster
 * the slots say it, and replicas redirect commands.
 *
 * A connection that is closed while nothing is asked is no loss, unless a
 * command is refused before there is another one.  A connection on which a
 * reply has been due for four timeouts is closed, so that a server that hangs
 * makes callers wait for no longer than that.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_redis_command.h"


/* The client of this worker, or NULL: in another process, or for want of
 * memory.  It lives as long as the process. */
ngx_http_chatmaid_redis_t *ngx_http_chatmaid_redis_get(
    ngx_http_chatmaid_redis_conf_t *conf);

/* For init_process and exit_process; conf may be NULL.  init makes the client
 * in a worker and begins to connect, NGX_ERROR: no memory; "alarms" is where it
 * is known whether the log says that the server is away.  exit closes and
 * frees all; what is still pending then is dropped without its handler being
 * called, which happens only in a worker that ends at once (TERM). */
ngx_int_t ngx_http_chatmaid_redis_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_shm_zone_t *alarms);
void ngx_http_chatmaid_redis_exit(ngx_http_chatmaid_redis_conf_t *conf);

/* Queues a command of argc words (argv, which may hold any bytes, with their
 * lengths); they are copied.  Gives a handle for cancel(), which is good until
 * the handler is called, or NULL: no memory, and the handler won't be called.
 * A command that blocks, subscribes, or answers more or less than once must not
 * be sent. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command(
    ngx_http_chatmaid_redis_t *redis, ngx_uint_t argc, const char **argv,
    const size_t *len, ngx_http_chatmaid_redis_pt handler, void *data);

/* The same as command() for a script with its keys and arguments, keys first,
 * argc in all: EVALSHA and, should the server not know the script, EVAL, within
 * one timeout and with one call of the handler.  A script that lasts is also
 * run when the server says so later.  "script" must outlive the command, and
 * one that lasts the client. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_script(
    ngx_http_chatmaid_redis_t *redis, ngx_http_chatmaid_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* Writes what is queued at once, not at the end of the turn: for a command that
 * has to be on its way before the caller goes on.  Calls no handler. */
void ngx_http_chatmaid_redis_flush(ngx_http_chatmaid_redis_t *redis);

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

/* Whether keys are spread over a Redis Cluster, so that only those of one slot
 * may be in one command: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_is_cluster(
    ngx_http_chatmaid_redis_t *redis);

/* Numbers, up to n of them, such that a key with one in braces ("{17}") is at
 * each of the servers, and one that nobody serves if there are such keys.
 * Without a Cluster there are none. */
ngx_uint_t ngx_http_chatmaid_redis_tags(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t *tags, ngx_uint_t n);

/* Whether a command with this key would be tried at all: 0 while the server
 * that has it is known to be away. */
ngx_uint_t ngx_http_chatmaid_redis_is_near(ngx_http_chatmaid_redis_t *redis,
    const char *key, size_t len);

/* Whether commands are being answered, by any server, as far as is known: 1 or
 * 0. */
ngx_uint_t ngx_http_chatmaid_redis_up(ngx_http_chatmaid_redis_t *redis);


#endif /* _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_ */
