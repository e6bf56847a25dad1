
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a worker knows about a server: whether it is up.  Only redis_health.c
 * changes that.  The first worker that finds the server away says so in the
 * log, and the last worker that finds it back, so each change is one line for
 * the whole nginx.
 *
 * The proof that a server is back is the answer to the greeting, which is sent
 * before any command.  This answer does not suffice
 *
 *   - after a server that is not a replica has refused commands, because it may
 *     still refuse them: then a command must be answered, at least five seconds
 *     after the latest refusal or timeout;
 *   - after a connection that lived for less than a second: then the next one
 *     must live longer.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_


#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_redis_refusal.h"


/* What the servers of a client have in common. */

typedef struct {
    const char                         *meanwhile;  /* what happens while one
                                                     * is away, for the log */
    ngx_shm_zone_t                     *alarms;
    ngx_uint_t                          down;       /* how many servers that
                                                     * are needed are down */
} ngx_http_chatmaid_redis_servers_t;


/* Other files only read the flags. */

typedef struct {
    ngx_http_chatmaid_redis_servers_t  *servers;
    ngx_str_t                          *name;       /* for the log, unescaped */
    ngx_log_t                          *log;
    ngx_http_chatmaid_alarm_id_t        alarm;
    ngx_msec_t                          trouble;    /* time of the last refusal
                                                     * or timeout */

    unsigned                            counts:1;   /* it is needed */
    unsigned                            up:1;       /* commands are answered */
    unsigned                            down:1;     /* known not to be up */
    unsigned                            raised:1;   /* alarm, by this worker */
    unsigned                            away:1;     /* commands need not wait:
                                                     * the last attempt to
                                                     * connect failed */
    unsigned                            troubled:1; /* "trouble" is set */
    unsigned                            flapping:1; /* the last connection
                                                     * did not last */
} ngx_http_chatmaid_redis_health_t;


/* Initializes zeroed memory.  "servers", "name" and "log" must outlive it;
 * "thing" is as for alarm_id(). */
void ngx_http_chatmaid_redis_health_init(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_servers_t *servers, ngx_str_t *name,
    ngx_str_t *thing, ngx_log_t *log);

/* The server is needed from now on: its troubles are logged and counted. */
void ngx_http_chatmaid_redis_health_need(
    ngx_http_chatmaid_redis_health_t *health);

/* A greeting was answered. */
void ngx_http_chatmaid_redis_health_ready(
    ngx_http_chatmaid_redis_health_t *health);

/* The connection has lived for a second. */
void ngx_http_chatmaid_redis_health_lasted(
    ngx_http_chatmaid_redis_health_t *health);

/* A command was answered, and not refused. */
void ngx_http_chatmaid_redis_health_answered(
    ngx_http_chatmaid_redis_health_t *health);

/* A command was refused, or not answered in time. */
void ngx_http_chatmaid_redis_health_troubled(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* The server has become a replica: it is left, and the ROLE of the next server
 * will prove that there is a master. */
void ngx_http_chatmaid_redis_health_demoted(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* A connection that was ready has gone.  "trouble" is NULL if nobody needed the
 * connection; "lasted": it lived for at least a second; "refused": commands
 * were refused on it. */
void ngx_http_chatmaid_redis_health_lost(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble, ngx_uint_t lasted,
    ngx_uint_t refused);

/* The attempts at all addresses have failed. */
void ngx_http_chatmaid_redis_health_failed(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* Commands are not to wait for the next connection, because it takes too
 * long. */
void ngx_http_chatmaid_redis_health_away(
    ngx_http_chatmaid_redis_health_t *health);

/* The server is no longer needed, because others have taken its place. */
void ngx_http_chatmaid_redis_health_gone(
    ngx_http_chatmaid_redis_health_t *health);

/* No connection answers commands now; the next greeting will show whether the
 * server is back. */
void ngx_http_chatmaid_redis_health_down(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);


#endif /* _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_ */
