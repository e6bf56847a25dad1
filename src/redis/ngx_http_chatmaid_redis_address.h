
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Which of a server's addresses is next, and after what pause.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_addr_t   *addr;
    const char   *host;             /* whose it is, for TLS; ends in NUL */
} ngx_http_chatmaid_redis_endpoint_t;


/* On zeroed memory there is none. */

typedef struct {
    ngx_http_chatmaid_redis_endpoint_t  *endpoints;
    ngx_uint_t    n;
    ngx_uint_t    current;          /* the one whose turn it is */
    ngx_uint_t    tries;            /* of them, tried in vain */
    ngx_msec_t    delay;            /* of the last pause */
} ngx_http_chatmaid_redis_address_t;


/* These are the addresses from now on, at least one, and the turn goes on from
 * the number that it has.  The array is from ngx_alloc(), and will be freed;
 * what it points to must outlive it. */
void ngx_http_chatmaid_redis_address_set(
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_endpoint_t *endpoints, ngx_uint_t n);

/* Frees the array. */
void ngx_http_chatmaid_redis_address_free(
    ngx_http_chatmaid_redis_address_t *address);

/* The one whose turn it is. */
ngx_http_chatmaid_redis_endpoint_t *ngx_http_chatmaid_redis_address_current(
    ngx_http_chatmaid_redis_address_t *address);

/* Whether some of them are still to be tried, after others that have failed. */
ngx_uint_t ngx_http_chatmaid_redis_address_left(
    ngx_http_chatmaid_redis_address_t *address);

/* The current one is of use. */
void ngx_http_chatmaid_redis_address_works(
    ngx_http_chatmaid_redis_address_t *address);

/* An attempt at the current one has failed; "all": by now at all of them.
 * Returns the pause before the next attempt. */
ngx_msec_t ngx_http_chatmaid_redis_address_failed(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t *all);

/* There is none to be tried.  Returns the same. */
ngx_msec_t ngx_http_chatmaid_redis_address_missing(
    ngx_http_chatmaid_redis_address_t *address);

/* A connection to the current one has gone; "lasted": it was a good one.
 * Returns the same. */
ngx_msec_t ngx_http_chatmaid_redis_address_lost(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t lasted);

/* The turn goes to the next. */
void ngx_http_chatmaid_redis_address_next(
    ngx_http_chatmaid_redis_address_t *address);


#endif /* _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_ */
