
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What is known of one server: whether it is up.  This file alone writes it,
 * and each change writes one line to the log, "is away" or "is back".
 *
 * The proof that a server is back is the answer to a PING, which no command
 * precedes.  It does not suffice
 *
 *   - after refused commands, which PING says nothing of: then a command must
 *     be answered, but not within five seconds of the latest refusal or
 *     timeout;
 *   - after a connection that lived for less than a second: then the next one
 *     must live longer.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_


#include "ngx_http_chatmaid_redis_address.h"


/* Others only read the flags. */

typedef struct {
    ngx_http_chatmaid_redis_address_t  *address;    /* for the log */
    ngx_log_t                          *log;
    ngx_msec_t                          trouble;    /* last refusal, timeout */

    unsigned                            up:1;       /* commands are answered */
    unsigned                            noted:1;    /* in the log: it is away */
    unsigned                            away:1;     /* commands need not wait:
                                                     * the last attempt to
                                                     * connect failed */
    unsigned                            troubled:1; /* "trouble" is set */
    unsigned                            flapping:1; /* the last connection
                                                     * lived too short */
} ngx_http_chatmaid_redis_health_t;


/* "address" must outlive it. */
void ngx_http_chatmaid_redis_health_init(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_address_t *address, ngx_log_t *log);

/* A PING was answered. */
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
    ngx_http_chatmaid_redis_health_t *health, const char *reason,
    ngx_str_t *text);

/* A connection that was ready has gone; "reason" is NULL where nobody needed
 * it. */
void ngx_http_chatmaid_redis_health_lost(
    ngx_http_chatmaid_redis_health_t *health, ngx_err_t err,
    const char *reason, ngx_uint_t lasted, ngx_uint_t refused);

/* All addresses have been tried in vain. */
void ngx_http_chatmaid_redis_health_failed(
    ngx_http_chatmaid_redis_health_t *health, ngx_err_t err,
    const char *reason);

/* No command need wait for the next connection: it takes too long.  "reason"
 * is NULL where no command has waited yet. */
void ngx_http_chatmaid_redis_health_away(
    ngx_http_chatmaid_redis_health_t *health, const char *reason);

/* It does not answer commands now, and the next PING will say more.  "reason"
 * is ours, "err" an errno or 0; "text", which may be NULL, is from outside. */
void ngx_http_chatmaid_redis_health_down(
    ngx_http_chatmaid_redis_health_t *health, ngx_err_t err,
    const char *reason, ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_REDIS_HEALTH_H_INCLUDED_ */
