
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Finds the addresses of hosts.  If the http block has a resolver, it is asked
 * for each host that is a name.  Without a resolver, or if it does not answer,
 * the last known addresses of a host are used: at first those found at start.
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

    unsigned                            failing:1;  /* the log has said so */
} ngx_http_chatmaid_redis_known_t;


/* rc is as for start(), but never NGX_AGAIN. */
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

    unsigned                            changed:1;  /* "known" is newer than
                                                     * "address" */
    unsigned                            pending:1;  /* ctx is in use */
    unsigned                            within:1;   /* in ngx_resolve_name() */
} ngx_http_chatmaid_redis_resolve_t;


/* Initializes zeroed memory.  "conf", "address" and "hosts" must outlive it,
 * and nobody else may fill "address".  Returns NGX_OK, or NGX_ERROR if there is
 * no memory. */
ngx_int_t ngx_http_chatmaid_redis_resolve_init(
    ngx_http_chatmaid_redis_resolve_t *resolve,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_http_chatmaid_redis_resolve_pt handler, void *data, ngx_log_t *log);

/* Fills "address" with the addresses of all hosts, in the order of the hosts.
 * Returns NGX_OK: that is done; NGX_AGAIN: the handler will be called, unless
 * cancel() is called first; NGX_DECLINED: there is no address, or no
 * memory. */
ngx_int_t ngx_http_chatmaid_redis_resolve_start(
    ngx_http_chatmaid_redis_resolve_t *resolve);

/* The handler won't be called any more. */
void ngx_http_chatmaid_redis_resolve_cancel(
    ngx_http_chatmaid_redis_resolve_t *resolve);

/* Cancels, and frees everything, the array of "address" too.  Does nothing if
 * init() has not been called. */
void ngx_http_chatmaid_redis_resolve_free(
    ngx_http_chatmaid_redis_resolve_t *resolve);


#endif /* _NGX_HTTP_CHATMAID_REDIS_RESOLVE_H_INCLUDED_ */
