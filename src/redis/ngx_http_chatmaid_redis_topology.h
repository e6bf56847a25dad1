
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Where a server is: at the host it is known by, or where Sentinels say.  It
 * finds addresses; whether there is a master is known by the ROLE.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_TOPOLOGY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_TOPOLOGY_H_INCLUDED_


#include "ngx_http_chatmaid_redis_resolve.h"
#include "ngx_http_chatmaid_redis_sentinel.h"


/* rc as of find(), but for NGX_AGAIN. */
typedef void (*ngx_http_chatmaid_redis_topology_pt)(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_trouble_t *trouble);


typedef struct {
    ngx_http_chatmaid_redis_conf_t      *conf;
    ngx_http_chatmaid_redis_address_t   *address;   /* to be filled */
    ngx_log_t                           *log;

    ngx_http_chatmaid_redis_resolve_t    resolve;   /* of the master */
    ngx_http_chatmaid_redis_sentinel_t   sentinel;

    ngx_http_chatmaid_redis_topology_pt  handler;
    void                                *data;
} ngx_http_chatmaid_redis_topology_t;


/* On zeroed memory; "hosts", which are of no interest with Sentinels, and
 * "address" must outlive it.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_topology_init(
    ngx_http_chatmaid_redis_topology_t *topology,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_topology_pt handler, void *data, ngx_log_t *log);

/* Fills the address.  NGX_OK: that is done; NGX_AGAIN: the handler will be
 * called, unless forget() is; NGX_DECLINED: there is none, as "trouble" says.
 * "quiet" as for redis_conn_connect(). */
ngx_int_t ngx_http_chatmaid_redis_topology_find(
    ngx_http_chatmaid_redis_topology_t *topology, ngx_uint_t quiet,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* The handler won't be called any more. */
void ngx_http_chatmaid_redis_topology_forget(
    ngx_http_chatmaid_redis_topology_t *topology);

/* Forgets, and frees all. */
void ngx_http_chatmaid_redis_topology_free(
    ngx_http_chatmaid_redis_topology_t *topology);


#endif /* _NGX_HTTP_CHATMAID_REDIS_TOPOLOGY_H_INCLUDED_ */
