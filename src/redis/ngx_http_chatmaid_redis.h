
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A client for one Redis server, or for a Redis Cluster.  Each worker has one
 * connection to each server, on which all its commands are pipelined.  The
 * client knows nothing of claims or requests: the caller that queues a command
 * passes a handler and a pointer for that handler.
 *
 * Callers need only this file.  Behind it redis_node is one server: redis_conn
 * is the connection, redis_command the commands, and redis_health what is known
 * about the server; these three do not know each other, and report to
 * redis_node.  redis_cluster knows which node of a Cluster has a key.  A
 * command goes to the node of its first key, and its other keys must be in the
 * same slot.
 *
 * A worker connects when it starts.  If that fails, or the connection is lost,
 * the worker keeps trying, whether there are commands or not: at all addresses
 * of the host in turn, and with growing, random pauses of at most two seconds.
 * A command that is queued
 *
 *   - while connected is written at the end of this turn of the event loop,
 *     together with all others of the turn;
 *   - while a connection is being made, and the server is not known to be away,
 *     waits for the connection within the command's own timeout;
 *   - while the server is known to be away (the latest attempt failed, or took
 *     longer than a command's timeout) fails in the next turn.
 *
 * The client uses a server only if it is a master: ROLE is asked before the
 * first command, and a server that refuses a command because it is a replica
 * is left.  In a Cluster the slot map names the masters, and replicas redirect
 * commands.
 *
 * A connection that is closed while no reply is due does not count as trouble,
 * unless a command can't be accepted before there is a new connection.  A
 * connection on which a reply has been due for four timeouts is closed, so that
 * a server that hangs makes callers wait for no longer than that.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_redis_command.h"


/* Returns the client of this worker, which lives as long as the process.  NULL:
 * this process is not a worker, or there was no memory. */
ngx_http_chatmaid_redis_t *ngx_http_chatmaid_redis_get(
    ngx_http_chatmaid_redis_conf_t *conf);

/* For init_process and exit_process; conf may be NULL.  init creates the client
 * in a worker and begins to connect; it returns NGX_OK, or NGX_ERROR if there
 * is no memory.  "alarms" is the shared memory that records whether the log
 * already says that the server is away.  exit closes and frees everything;
 * commands that are still pending are dropped without calling their handlers,
 * which happens only in a worker that ends at once (TERM). */
ngx_int_t ngx_http_chatmaid_redis_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_shm_zone_t *alarms);
void ngx_http_chatmaid_redis_exit(ngx_http_chatmaid_redis_conf_t *conf);

/* Queues a command of argc words: argv holds the words, which may contain any
 * bytes, and len their lengths; the words are copied.  argv[1] is the first
 * key.  Returns a handle for cancel(), which is valid until the handler is
 * called, or NULL if there is no memory; then the handler won't be called.
 * The command must not block or subscribe, and must have exactly one reply. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_command(
    ngx_http_chatmaid_redis_t *redis, ngx_uint_t argc, const char **argv,
    const size_t *len, ngx_http_chatmaid_redis_pt handler, void *data);

/* Like command(), but for a script with its keys and arguments, keys first,
 * argc in all: sends EVALSHA and, if the server does not know the script, EVAL,
 * within one timeout and with one call of the handler.  If script->lasts is
 * set, EVAL is also sent if the server says so only after the timeout.
 * "script" must outlive the command or, if it lasts, the client. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_redis_script(
    ngx_http_chatmaid_redis_t *redis, ngx_http_chatmaid_redis_script_t *script,
    ngx_uint_t nkeys, ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* Writes the queued commands now, not at the end of the turn, for a command
 * that must be on its way before the caller goes on.  What can't be written now
 * stays queued.  Calls no handler. */
void ngx_http_chatmaid_redis_flush(ngx_http_chatmaid_redis_t *redis);

/* The handler won't be called any more, and the handle is invalid.  The command
 * itself may already have been sent, or may still be sent. */
void ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command);

/* A caller that will need the connection later, for example to finish a claim,
 * retains it: a worker that is shutting down keeps (and makes) the connection
 * only while somebody retains it or commands are pending.  Retaining does not
 * keep the worker itself alive: only pending commands do, each for at most its
 * timeout.  Each retain() needs one release(). */
void ngx_http_chatmaid_redis_retain(ngx_http_chatmaid_redis_t *redis);
void ngx_http_chatmaid_redis_release(ngx_http_chatmaid_redis_t *redis);

/* Returns 1 if the keys are spread over a Redis Cluster, so that all keys of
 * one command must be in the same slot; else 0. */
ngx_uint_t ngx_http_chatmaid_redis_is_cluster(
    ngx_http_chatmaid_redis_t *redis);

/* Writes up to n numbers to "tags", and returns how many.  Each server of a
 * Cluster that has slots gets a number such that a key with this number in
 * braces ("{17}") is at that server.  If some slots have no server, there is a
 * number for one of them too.  Without a Cluster there are none. */
ngx_uint_t ngx_http_chatmaid_redis_tags(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t *tags, ngx_uint_t n);

/* Returns 0 while the server that has this key is known to be away, so that a
 * command would fail without being sent; else 1. */
ngx_uint_t ngx_http_chatmaid_redis_is_near(ngx_http_chatmaid_redis_t *redis,
    const char *key, size_t len);

/* Returns 1 if at least one server answers commands, as far as is known; else
 * 0. */
ngx_uint_t ngx_http_chatmaid_redis_up(ngx_http_chatmaid_redis_t *redis);


#endif /* _NGX_HTTP_CHATMAID_REDIS_H_INCLUDED_ */
