
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The clock in Redis by which all gateways together keep one pace for an
 * account.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_CLOCK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_CLOCK_H_INCLUDED_


#include "ngx_http_chatmaid_pace_queue.h"


/* Gets the places that Redis has given; they last until the handler returns.
 * NULL: Redis is away or has not given a valid reply. */
typedef void (*ngx_http_chatmaid_pace_clock_pt)(void *data,
    ngx_http_chatmaid_pace_places_t *places);


/* What is needed to ask the clock.  The caller fills it in and owns it. */

typedef struct {
    ngx_http_chatmaid_main_conf_t     *mcf;
    ngx_http_chatmaid_pace_account_t  *account;

    ngx_http_chatmaid_pace_clock_pt    handler;
    void                              *data;
} ngx_http_chatmaid_pace_clock_t;


/* Returns how long an answer may take, in milliseconds. */
ngx_msec_t ngx_http_chatmaid_pace_clock_timeout(
    ngx_http_chatmaid_main_conf_t *mcf);

/* Takes next->places places, the last of them after a wait of at most
 * next->limit milliseconds.  NGX_AGAIN: the handler will be called, and "clock"
 * must last until then.  NGX_DECLINED: there is no Redis, or the command could
 * not be queued. */
ngx_int_t ngx_http_chatmaid_pace_clock_take(
    ngx_http_chatmaid_pace_clock_t *clock, ngx_http_chatmaid_pace_next_t *next);

/* Gives next->places places back; does nothing if somebody has taken others
 * since.  Does not wait for Redis, and a failure is ignored. */
void ngx_http_chatmaid_pace_clock_return(ngx_http_chatmaid_pace_clock_t *clock,
    ngx_http_chatmaid_pace_next_t *next);

/* Sets the clock in Redis at least as far ahead as this nginx's own clock,
 * which a 429 has set forward: so all gateways are held back.  A failure is
 * ignored. */
void ngx_http_chatmaid_pace_clock_hold(ngx_http_chatmaid_pace_clock_t *clock);

/* Retain and release the connection to Redis: a worker that is shutting down
 * keeps the connection while it is retained, which it is while calls wait. */
void ngx_http_chatmaid_pace_clock_retain(ngx_http_chatmaid_main_conf_t *mcf);
void ngx_http_chatmaid_pace_clock_release(ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_PACE_CLOCK_H_INCLUDED_ */
