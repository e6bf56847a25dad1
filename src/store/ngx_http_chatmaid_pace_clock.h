
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The clock in Redis by which all gateways keep one pace for an account.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_CLOCK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_CLOCK_H_INCLUDED_


#include "ngx_http_chatmaid_pace_queue.h"


/* "places" is NULL if Redis has not given any, because it is away. */
typedef void (*ngx_http_chatmaid_pace_clock_pt)(void *data,
    ngx_http_chatmaid_pace_places_t *places);


/* A question to the clock. */

typedef struct {
    ngx_http_chatmaid_main_conf_t     *mcf;
    ngx_http_chatmaid_pace_account_t  *account;

    ngx_http_chatmaid_pace_clock_pt    handler;
    void                              *data;
} ngx_http_chatmaid_pace_clock_t;


/* How long an answer may take, in milliseconds. */
ngx_msec_t ngx_http_chatmaid_pace_clock_timeout(
    ngx_http_chatmaid_main_conf_t *mcf);

/* Takes next->places, the last of them after a wait of next->limit at most.
 * NGX_AGAIN: the handler will be called, and the question must last until then;
 * NGX_DECLINED: there is no Redis that could be asked. */
ngx_int_t ngx_http_chatmaid_pace_clock_take(
    ngx_http_chatmaid_pace_clock_t *clock, ngx_http_chatmaid_pace_next_t *next);

/* Gives next->places back, if nobody has taken others since. */
void ngx_http_chatmaid_pace_clock_return(ngx_http_chatmaid_pace_clock_t *clock,
    ngx_http_chatmaid_pace_next_t *next);

/* Tells all gateways how far this nginx's own clock is ahead, which is held
 * back. */
void ngx_http_chatmaid_pace_clock_hold(ngx_http_chatmaid_pace_clock_t *clock);

/* As long as calls wait, a worker that is shutting down keeps its connection to
 * Redis. */
void ngx_http_chatmaid_pace_clock_retain(ngx_http_chatmaid_main_conf_t *mcf);
void ngx_http_chatmaid_pace_clock_release(ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_PACE_CLOCK_H_INCLUDED_ */
