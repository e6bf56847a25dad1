
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * From hosts to addresses.  Where the http block has a resolver, it is asked
 * for each host that is a name; without one, and where it does not answer, a
 * host's last known addresses hold: at first those of the start.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_RESOLVE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_RESOLVE_H_INCLUDED_


#include "ngx_http_chatmaid_redis_address.h"
#include "ngx_http_chatmaid_redis_conf.h"


/* The last known addresses of a host. */

typedef struct {
    ngx_addr_t                         *addrs;
    ngx_uint_t                          naddrs;
    void                               *memory;   /* NULL: those of the start */

    unsigned                            failing:1;  /* as the log says */
} ngx_http_chatmaid_redis_known_t;


/* rc as of start(), but for NGX_AGAIN. */
typedef void (*ngx_http_chatmaid_redis_resolve_pt)(void *data, ngx_int_t rc);


typedef struct {
    ngx_http_chatmaid_redis_conf_t     *conf;
    ngx_http_chatmaid_redis_address_t  *address;  /* to be filled */
    ngx_log_t                          *log;

    ngx_http_chatmaid_redis_host_t     *hosts;
    ngx_uint_t                          nhosts;
    ngx_http_chatmaid_redis_known_t    *known;    /* of each host */

    ngx_uint_t                          host;     /* whose turn it is */
    ngx_resolver_ctx_t                 *ctx;

    ngx_http_chatmaid_redis_resolve_pt  handler;
    void                               *data;

    unsigned                            changed:1;  /* "known", since it was
                                                     * filled in */
    unsigned                            pending:1;  /* ctx is under way */
    unsigned                            within:1;   /* ngx_resolve_name() */
} ngx_http_chatmaid_redis_resolve_t;


/* On zeroed memory; "address" must outlive it, and be filled by nobody else.
 * NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_resolve_init(
    ngx_http_chatmaid_redis_resolve_t *resolve,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_http_chatmaid_redis_resolve_pt handler, void *data, ngx_log_t *log);

/* Fills the address with those of all hosts, in their order.  NGX_OK: that is
 * done; NGX_AGAIN: the handler will be called, unless cancel() is;
 * NGX_DECLINED: there is none, or no memory. */
ngx_int_t ngx_http_chatmaid_redis_resolve_start(
    ngx_http_chatmaid_redis_resolve_t *resolve);

/* The handler won't be called any more. */
void ngx_http_chatmaid_redis_resolve_cancel(
    ngx_http_chatmaid_redis_resolve_t *resolve);

/* Cancels, and frees all, if init() has been called. */
void ngx_http_chatmaid_redis_resolve_free(
    ngx_http_chatmaid_redis_resolve_t *resolve);


#endif /* _NGX_HTTP_CHATMAID_REDIS_RESOLVE_H_INCLUDED_ */
