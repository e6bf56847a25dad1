
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A host that a server names: a Sentinel names the host of the master, a node
 * of a Cluster the host of another node.  It is an address, which needs no DNS,
 * or a name.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_TOLD_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_TOLD_H_INCLUDED_


#include "ngx_http_chatmaid_redis_url.h"


#define NGX_HTTP_CHATMAID_REDIS_TOLD_NAME  255     /* bytes */


typedef struct {
    ngx_http_chatmaid_redis_host_t  host;      /* a name has no addresses */
    ngx_addr_t                      addr;
    ngx_sockaddr_t                  sockaddr;
    ngx_str_t                       text;      /* with the port, for the log */
    u_char                          buffer[NGX_HTTP_CHATMAID_REDIS_TOLD_NAME
                                           + sizeof(":65535")];
    u_char                          name[NGX_HTTP_CHATMAID_REDIS_TOLD_NAME + 1];
} ngx_http_chatmaid_redis_told_t;


/* Fills "told" with a copy of the name, and the port; "told" must not be moved
 * in memory.  Returns NGX_OK, or NGX_DECLINED if the name or the port is
 * invalid; then "told" is unchanged. */
ngx_int_t ngx_http_chatmaid_redis_told(ngx_http_chatmaid_redis_told_t *told,
    ngx_str_t *name, ngx_int_t port);

/* Gives a host that is a name the address of another server on the same host,
 * with its own port, until the name is resolved.  A host that is an address
 * remains unchanged. */
void ngx_http_chatmaid_redis_told_beside(ngx_http_chatmaid_redis_told_t *told,
    struct sockaddr *sockaddr, socklen_t socklen);

/* Returns 1 if the host has this name and this port, else 0. */
ngx_uint_t ngx_http_chatmaid_redis_told_is(
    ngx_http_chatmaid_redis_host_t *host, ngx_str_t *name, ngx_int_t port);


#endif /* _NGX_HTTP_CHATMAID_REDIS_TOLD_H_INCLUDED_ */
