
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Finds the addresses of a server: those of its hosts, or of the master that
 * Sentinels name.  Only ROLE tells whether a master is there.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_TOPOLOGY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_TOPOLOGY_H_INCLUDED_


#include "ngx_http_chatmaid_redis_resolve.h"
#include "ngx_http_chatmaid_redis_sentinel.h"


/* rc and "trouble" are as for find(), but rc is never NGX_AGAIN. */
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


/* Initializes zeroed memory.  "hosts" is not used with Sentinels.  "conf",
 * "hosts" and "address" must outlive it.  Returns NGX_OK, or NGX_ERROR if there
 * is no memory. */
ngx_int_t ngx_http_chatmaid_redis_topology_init(
    ngx_http_chatmaid_redis_topology_t *topology,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_topology_pt handler, void *data, ngx_log_t *log);

/* Fills "address".  Returns NGX_OK: that is done; NGX_AGAIN: the handler will
 * be called, unless forget() is called first; NGX_DECLINED: there is no
 * address, and "trouble" says why.  "quiet" is as for redis_conn_connect(). */
ngx_int_t ngx_http_chatmaid_redis_topology_find(
    ngx_http_chatmaid_redis_topology_t *topology, ngx_uint_t quiet,
    ngx_http_chatmaid_redis_trouble_t *trouble);

/* The handler won't be called any more. */
void ngx_http_chatmaid_redis_topology_forget(
    ngx_http_chatmaid_redis_topology_t *topology);

/* Does the same as forget(), and frees everything. */
void ngx_http_chatmaid_redis_topology_free(
    ngx_http_chatmaid_redis_topology_t *topology);


#endif /* _NGX_HTTP_CHATMAID_REDIS_TOPOLOGY_H_INCLUDED_ */
