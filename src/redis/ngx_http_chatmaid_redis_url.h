
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The URL of chatmaid_redis.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_URL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_URL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* A host that the URL or a server names. */

typedef struct {
    ngx_str_t                        name;      /* ends in NUL, no brackets */
    in_port_t                        port;
    ngx_addr_t                      *addrs;     /* as resolved at start */
    ngx_uint_t                       naddrs;

    unsigned                         dns:1;     /* a name for DNS, not an
                                                 * address or a path */
} ngx_http_chatmaid_redis_host_t;


typedef struct {
    ngx_str_t                        text;      /* for the log, without user */
    ngx_str_t                        user;      /* empty: the default user */
    ngx_http_chatmaid_redis_host_t  *hosts;
    ngx_uint_t                       nhosts;
    ngx_str_t                        master;    /* its name at Sentinels */
    ngx_str_t                        db;        /* digits; empty: no SELECT */

    unsigned                         tls:1;     /* rediss */
    unsigned                         sentinels:1;   /* hosts are Sentinels */
    unsigned                         cluster:1;     /* hosts are in a Cluster */
} ngx_http_chatmaid_redis_url_t;


/* Parses the URL "text" into "url", zeroed memory, and resolves the hosts.
 * "url" refers to the bytes of "text".  Returns NGX_CONF_OK, NGX_CONF_ERROR
 * after it has logged a message, or a text that nginx appends to the name of
 * the directive.  No message contains what might be a password. */
char *ngx_http_chatmaid_redis_url_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url);


#endif /* _NGX_HTTP_CHATMAID_REDIS_URL_H_INCLUDED_ */
