
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Which of a server's addresses is tried next, and after what pause.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_addr_t   *addr;
    const char   *host;             /* its host, for TLS; ends in NUL */
} ngx_http_chatmaid_redis_endpoint_t;


/* Zeroed memory is a list without addresses. */

typedef struct {
    ngx_http_chatmaid_redis_endpoint_t  *endpoints;
    ngx_uint_t    n;
    ngx_uint_t    current;          /* index of the one whose turn it is */
    ngx_uint_t    tries;            /* failed attempts of this round */
    ngx_msec_t    delay;            /* upper limit of the last pause, ms */
} ngx_http_chatmaid_redis_address_t;


/* Replaces the addresses by n others, at least one.  The index of the current
 * one is kept, modulo n.  The array must be from ngx_alloc(), and belongs to
 * "address" from now on; what its elements point to must outlive it. */
void ngx_http_chatmaid_redis_address_set(
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_endpoint_t *endpoints, ngx_uint_t n);

/* Frees the array; there are no addresses then. */
void ngx_http_chatmaid_redis_address_free(
    ngx_http_chatmaid_redis_address_t *address);

/* Returns the address whose turn it is.  There must be one. */
ngx_http_chatmaid_redis_endpoint_t *ngx_http_chatmaid_redis_address_current(
    ngx_http_chatmaid_redis_address_t *address);

/* Returns 1 if attempts at some addresses have failed, and others are still to
 * be tried; else 0. */
ngx_uint_t ngx_http_chatmaid_redis_address_left(
    ngx_http_chatmaid_redis_address_t *address);

/* The current address works: a new round begins with the next failure. */
void ngx_http_chatmaid_redis_address_works(
    ngx_http_chatmaid_redis_address_t *address);

/* An attempt at the current address has failed.  Sets *all to 1 if attempts at
 * all addresses have failed by now, else to 0.  Returns the pause before the
 * next attempt, in milliseconds. */
ngx_msec_t ngx_http_chatmaid_redis_address_failed(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t *all);

/* There is no address to try.  Returns the pause, as failed() does. */
ngx_msec_t ngx_http_chatmaid_redis_address_missing(
    ngx_http_chatmaid_redis_address_t *address);

/* A connection to the current address is lost.  "lasted": it had lived long
 * enough for the next attempt to come at once.  Returns the pause, as failed()
 * does. */
ngx_msec_t ngx_http_chatmaid_redis_address_lost(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t lasted);

/* The turn goes to the next address. */
void ngx_http_chatmaid_redis_address_next(
    ngx_http_chatmaid_redis_address_t *address);


#endif /* _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_ */
