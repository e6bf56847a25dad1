
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A host that a server tells: a Sentinel that of the master, a node of a
 * Cluster that of another.  It is an address, which needs no DNS, or a name.
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


/* Makes the host, in memory that must stay where it is.  NGX_DECLINED: that is
 * neither an address nor a name, or no port. */
ngx_int_t ngx_http_chatmaid_redis_told(ngx_http_chatmaid_redis_told_t *told,
    ngx_str_t *name, ngx_int_t port);

/* A name that is also that of a server with this address has it as well, until
 * it is resolved itself.  An address stays as it is. */
void ngx_http_chatmaid_redis_told_beside(ngx_http_chatmaid_redis_told_t *told,
    struct sockaddr *sockaddr, socklen_t socklen);

/* Whether that is this host, by the same name: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_told_is(
    ngx_http_chatmaid_redis_host_t *host, ngx_str_t *name, ngx_int_t port);


#endif /* _NGX_HTTP_CHATMAID_REDIS_TOLD_H_INCLUDED_ */
