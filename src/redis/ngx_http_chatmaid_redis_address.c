
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_address.h"


/* Milliseconds.  AT_ONCE is not 0: otherwise attempts that fail immediately
 * would follow each other within one turn of the event loop. */

#define NGX_HTTP_CHATMAID_REDIS_ADDRESS_AT_ONCE      1
#define NGX_HTTP_CHATMAID_REDIS_ADDRESS_FIRST_DELAY  50
#define NGX_HTTP_CHATMAID_REDIS_ADDRESS_LAST_DELAY   2000


static ngx_msec_t ngx_http_chatmaid_redis_address_pause(
    ngx_http_chatmaid_redis_address_t *address);


void
ngx_http_chatmaid_redis_address_set(
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_endpoint_t *endpoints, ngx_uint_t n)
{
    ngx_http_chatmaid_redis_address_free(address);

    address->endpoints = endpoints;
    address->n = n;
    address->current %= n;
    address->tries = 0;
}


void
ngx_http_chatmaid_redis_address_free(
    ngx_http_chatmaid_redis_address_t *address)
{
    if (address->endpoints) {
        ngx_free(address->endpoints);
        address->endpoints = NULL;
    }

    address->n = 0;
}


ngx_http_chatmaid_redis_endpoint_t *
ngx_http_chatmaid_redis_address_current(
    ngx_http_chatmaid_redis_address_t *address)
{
    return &address->endpoints[address->current];
}


ngx_uint_t
ngx_http_chatmaid_redis_address_left(
    ngx_http_chatmaid_redis_address_t *address)
{
    return address->tries > 0;
}


void
ngx_http_chatmaid_redis_address_works(
    ngx_http_chatmaid_redis_address_t *address)
{
    address->tries = 0;
}


ngx_msec_t
ngx_http_chatmaid_redis_address_failed(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t *all)
{
    address->tries++;
    *all = (address->tries >= address->n);

    if (!*all) {
        return NGX_HTTP_CHATMAID_REDIS_ADDRESS_AT_ONCE;
    }

    return ngx_http_chatmaid_redis_address_missing(address);
}


ngx_msec_t
ngx_http_chatmaid_redis_address_missing(
    ngx_http_chatmaid_redis_address_t *address)
{
    address->tries = 0;

    return ngx_http_chatmaid_redis_address_pause(address);
}


ngx_msec_t
ngx_http_chatmaid_redis_address_lost(
    ngx_http_chatmaid_redis_address_t *address, ngx_uint_t lasted)
{
    if (lasted) {
        address->delay = 0;
        return NGX_HTTP_CHATMAID_REDIS_ADDRESS_AT_ONCE;
    }

    return ngx_http_chatmaid_redis_address_pause(address);
}


/* The pause is random, so that not all workers connect at the same time. */

static ngx_msec_t
ngx_http_chatmaid_redis_address_pause(
    ngx_http_chatmaid_redis_address_t *address)
{
    ngx_msec_t  half;

    address->delay = address->delay
                     ? ngx_min(address->delay * 2,
                               NGX_HTTP_CHATMAID_REDIS_ADDRESS_LAST_DELAY)
                     : NGX_HTTP_CHATMAID_REDIS_ADDRESS_FIRST_DELAY;

    half = address->delay / 2;

    return half + ngx_random() % (half + 1);
}


void
ngx_http_chatmaid_redis_address_next(
    ngx_http_chatmaid_redis_address_t *address)
{
    if (address->n) {
        address->current = (address->current + 1) % address->n;
    }
}
