
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_told.h"


static ngx_uint_t ngx_http_chatmaid_redis_told_is_name(ngx_str_t *name);
static ngx_int_t ngx_http_chatmaid_redis_told_address(
    ngx_http_chatmaid_redis_told_t *told);
static void ngx_http_chatmaid_redis_told_fill(
    ngx_http_chatmaid_redis_told_t *told);


ngx_int_t
ngx_http_chatmaid_redis_told(ngx_http_chatmaid_redis_told_t *told,
    ngx_str_t *name, ngx_int_t port)
{
    ngx_http_chatmaid_redis_host_t  *host;

    if (!ngx_http_chatmaid_redis_told_is_name(name) || port < 1 || port > 65535)
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(told->name, name->data, name->len);
    told->name[name->len] = '\0';

    host = &told->host;

    host->name.data = told->name;
    host->name.len = name->len;
    host->port = (in_port_t) port;
    host->addrs = NULL;
    host->naddrs = 0;

    host->dns = (ngx_http_chatmaid_redis_told_address(told) != NGX_OK);

    told->text.data = told->buffer;

    if (host->dns) {
        told->text.len = ngx_sprintf(told->buffer, "%V:%i", &host->name, port)
                         - told->buffer;
        return NGX_OK;
    }

    ngx_http_chatmaid_redis_told_fill(told);

    return NGX_OK;
}


/* Only visible ASCII is valid, because names are logged as they are, by nginx
 * too. */

static ngx_uint_t
ngx_http_chatmaid_redis_told_is_name(ngx_str_t *name)
{
    size_t  i;

    if (name->len == 0 || name->len > NGX_HTTP_CHATMAID_REDIS_TOLD_NAME) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        if (name->data[i] <= ' ' || name->data[i] >= 0x7f) {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_http_chatmaid_redis_told_address(ngx_http_chatmaid_redis_told_t *told)
{
    ngx_str_t            *name;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    name = &told->host.name;

    ngx_memzero(&told->sockaddr, sizeof(ngx_sockaddr_t));

    sin = &told->sockaddr.sockaddr_in;
    sin->sin_addr.s_addr = ngx_inet_addr(name->data, name->len);

    if (sin->sin_addr.s_addr != INADDR_NONE) {
        sin->sin_family = AF_INET;
        told->addr.socklen = sizeof(struct sockaddr_in);

        return NGX_OK;
    }

#if (NGX_HAVE_INET6)

    ngx_memzero(&told->sockaddr, sizeof(ngx_sockaddr_t));

    sin6 = &told->sockaddr.sockaddr_in6;

    if (ngx_inet6_addr(name->data, name->len, sin6->sin6_addr.s6_addr)
        == NGX_OK)
    {
        sin6->sin6_family = AF_INET6;
        told->addr.socklen = sizeof(struct sockaddr_in6);

        return NGX_OK;
    }

#endif

    return NGX_DECLINED;
}


static void
ngx_http_chatmaid_redis_told_fill(ngx_http_chatmaid_redis_told_t *told)
{
    told->addr.sockaddr = &told->sockaddr.sockaddr;
    ngx_inet_set_port(told->addr.sockaddr, told->host.port);

    told->text.len = ngx_sock_ntop(told->addr.sockaddr, told->addr.socklen,
                                   told->buffer, NGX_SOCKADDR_STRLEN, 1);
    told->addr.name = told->text;

    told->host.addrs = &told->addr;
    told->host.naddrs = 1;
}


void
ngx_http_chatmaid_redis_told_beside(ngx_http_chatmaid_redis_told_t *told,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    if (told->host.dns) {
        ngx_memcpy(&told->sockaddr, sockaddr, socklen);
        told->addr.socklen = socklen;

        ngx_http_chatmaid_redis_told_fill(told);
    }
}


ngx_uint_t
ngx_http_chatmaid_redis_told_is(ngx_http_chatmaid_redis_host_t *host,
    ngx_str_t *name, ngx_int_t port)
{
    return (ngx_int_t) host->port == port && host->name.len == name->len
           && ngx_strncmp(host->name.data, name->data, name->len) == 0;
}
