
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
    ngx_addr_t   *addrs;
    ngx_uint_t    naddrs;
    ngx_addr_t   *current;          /* the one whose turn it is */
    ngx_uint_t    tries;            /* addresses tried in vain */
    ngx_msec_t    delay;            /* of the last pause */
} ngx_http_chatmaid_redis_address_t;


/* On zeroed memory; "addrs" must outlive it. */
void ngx_http_chatmaid_redis_address_init(
    ngx_http_chatmaid_redis_address_t *address, ngx_addr_t *addrs,
    ngx_uint_t naddrs);

/* The current one is of use. */
void ngx_http_chatmaid_redis_address_works(
    ngx_http_chatmaid_redis_address_t *address);

/* An attempt at the current one has failed; "all": by now at all of them.
 * Returns the pause before the next attempt. */
ngx_msec_t ngx_http_chatmaid_redis_address_failed(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t *all);

/* A connection to the current one has gone; "lasted": it was a good one.
 * Returns the same. */
ngx_msec_t ngx_http_chatmaid_redis_address_lost(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t lasted);

/* The turn goes to the next. */
void ngx_http_chatmaid_redis_address_next(
    ngx_http_chatmaid_redis_address_t *address);


#endif /* _NGX_HTTP_CHATMAID_REDIS_ADDRESS_H_INCLUDED_ */
