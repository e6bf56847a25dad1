
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a worker knows of the server: whether it is up.  This file alone writes
 * it.  The first worker that finds the server away says so in the log, and the
 * last that finds it back, so each change is one line an nginx.
 *
 * The proof that a server is back is the answer to the greeting, which no
 * command precedes.  It does not suffice
 *
 *   - after refused commands, which it says nothing of, unless a replica has
 *     refused them: then a command must be answered, but not within five
 *     seconds of the latest refusal or timeout;
 *   - after a connection that lived for less than a second: then the next one
 *     must live longer.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_


#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_redis_refusal.h"


/* What the servers of a client have in common. */

typedef struct {
    const char                         *meanwhile;  /* what goes on while one
                                                     * is away */
    ngx_shm_zone_t                     *alarms;
    ngx_uint_t                          down;       /* so many that count are */
} ngx_http_chatmaid_redis_servers_t;


/* Others only read the flags. */

typedef struct {
    ngx_http_chatmaid_redis_servers_t  *servers;
    ngx_str_t                          *name;       /* for the log, as is */
    ngx_log_t                          *log;
    ngx_http_chatmaid_alarm_id_t        alarm;
    ngx_msec_t                          trouble;    /* last refusal, timeout */

    unsigned                            counts:1;   /* it is needed */
    unsigned                            up:1;       /* commands are answered */
    unsigned                            down:1;     /* known not to be up */
    unsigned                            raised:1;   /* the alarm, by us */
    unsigned                            away:1;     /* commands need not wait:
                                                     * the last attempt to
                                                     * connect failed */
    unsigned                            troubled:1; /* "trouble" is set */
    unsigned                            flapping:1; /* the last connection
                                                     * lived too short */
} ngx_http_chatmaid_redis_health_t;


/* "servers" and "name" must outlive it; "thing" as of alarm_id(). */
void ngx_http_chatmaid_redis_health_init(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_servers_t *servers, ngx_str_t *name,
    ngx_str_t *thing, ngx_log_t *log);

/* The server is needed from now on: what happens to it counts. */
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

/* The server has become a replica: it is left, and the ROLE of the next one is
 * the proof that a master is there. */
void ngx_http_chatmaid_redis_health_demoted(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* A connection that was ready has gone; "trouble" is NULL where nobody needed
 * it; "refused": commands were, on it. */
void ngx_http_chatmaid_redis_health_lost(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble, ngx_uint_t lasted,
    ngx_uint_t refused);

/* All addresses have been tried in vain. */
void ngx_http_chatmaid_redis_health_failed(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* No command need wait for the next connection: it takes too long. */
void ngx_http_chatmaid_redis_health_away(
    ngx_http_chatmaid_redis_health_t *health);

/* The server is needed no more, for others have taken its place. */
void ngx_http_chatmaid_redis_health_gone(
    ngx_http_chatmaid_redis_health_t *health);

/* There is no connection that answers commands, and the next PING will say
 * more. */
void ngx_http_chatmaid_redis_health_down(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);


#endif /* _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_ */
