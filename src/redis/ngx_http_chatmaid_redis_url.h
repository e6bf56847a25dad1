
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The URL of chatmaid_redis.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_URL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_URL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* A host that the URL names, or that a server does. */

typedef struct {
    ngx_str_t                        name;      /* ends in NUL, no brackets */
    in_port_t                        port;
    ngx_addr_t                      *addrs;     /* as resolved at start */
    ngx_uint_t                       naddrs;

    unsigned                         dns:1;     /* a name, which DNS knows: no
                                                 * address and no path */
} ngx_http_chatmaid_redis_host_t;


typedef struct {
    ngx_str_t                        text;      /* for the log, no user */
    ngx_str_t                        user;      /* empty: the default user */
    ngx_http_chatmaid_redis_host_t  *hosts;
    ngx_uint_t                       nhosts;
    ngx_str_t                        master;    /* what Sentinels call it */
    ngx_str_t                        db;        /* digits; empty: no SELECT */

    unsigned                         tls:1;     /* rediss */
    unsigned                         sentinels:1;   /* are the hosts */
    unsigned                         cluster:1;     /* of the hosts */
} ngx_http_chatmaid_redis_url_t;


/* Takes a URL apart and resolves its hosts, on zeroed memory.  NGX_CONF_OK,
 * NGX_CONF_ERROR after a message of its own, or a text that nginx puts behind
 * the directive.  No message holds what might be a password. */
char *ngx_http_chatmaid_redis_url_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url);


#endif /* _NGX_HTTP_CHATMAID_REDIS_URL_H_INCLUDED_ */
