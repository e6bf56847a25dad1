
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_resolve.h"


/* Resolving a name may take this many times the timeout of a command. */
#define NGX_HTTP_CHATMAID_REDIS_RESOLVE_PATIENCE  4


static ngx_int_t ngx_http_chatmaid_redis_resolve_next(
    ngx_http_chatmaid_redis_resolve_t *resolve);
static ngx_int_t ngx_http_chatmaid_redis_resolve_ask(
    ngx_http_chatmaid_redis_resolve_t *resolve);
static void ngx_http_chatmaid_redis_resolve_handler(ngx_resolver_ctx_t *ctx);
static void ngx_http_chatmaid_redis_resolve_failed(
    ngx_http_chatmaid_redis_resolve_t *resolve, ngx_int_t state);
static void ngx_http_chatmaid_redis_resolve_learn(
    ngx_http_chatmaid_redis_resolve_t *resolve, ngx_resolver_ctx_t *ctx);
static ngx_int_t ngx_http_chatmaid_redis_resolve_fill(
    ngx_http_chatmaid_redis_resolve_t *resolve);


ngx_int_t
ngx_http_chatmaid_redis_resolve_init(
    ngx_http_chatmaid_redis_resolve_t *resolve,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_http_chatmaid_redis_resolve_pt handler, void *data, ngx_log_t *log)
{
    ngx_uint_t  i;

    resolve->conf = conf;
    resolve->address = address;
    resolve->hosts = hosts;
    resolve->nhosts = nhosts;
    resolve->handler = handler;
    resolve->data = data;
    resolve->log = log;
    resolve->changed = 1;

    resolve->known = ngx_calloc(nhosts
                                * sizeof(ngx_http_chatmaid_redis_known_t), log);
    if (resolve->known == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < nhosts; i++) {
        resolve->known[i].addrs = hosts[i].addrs;
        resolve->known[i].naddrs = hosts[i].naddrs;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_redis_resolve_start(
    ngx_http_chatmaid_redis_resolve_t *resolve)
{
    resolve->host = 0;

    return ngx_http_chatmaid_redis_resolve_next(resolve);
}


static ngx_int_t
ngx_http_chatmaid_redis_resolve_next(
    ngx_http_chatmaid_redis_resolve_t *resolve)
{
    while (resolve->host < resolve->nhosts) {

        if (ngx_http_chatmaid_redis_resolve_ask(resolve) == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        resolve->host++;
    }

    return ngx_http_chatmaid_redis_resolve_fill(resolve);
}


/* NGX_AGAIN: the answer will come; NGX_OK: the known addresses are used. */

static ngx_int_t
ngx_http_chatmaid_redis_resolve_ask(
    ngx_http_chatmaid_redis_resolve_t *resolve)
{
    ngx_resolver_t                  *resolver;
    ngx_resolver_ctx_t              *ctx;
    ngx_http_chatmaid_redis_host_t  *host;

    host = &resolve->hosts[resolve->host];

    /* NULL if each server block has a resolver of its own */

    resolver = resolve->conf->core->resolver;

    if (!host->dns || resolver == NULL) {
        return NGX_OK;
    }

    ctx = ngx_resolve_start(resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        return NGX_OK;
    }

    ctx->name = host->name;
    ctx->handler = ngx_http_chatmaid_redis_resolve_handler;
    ctx->data = resolve;
    ctx->timeout = resolve->conf->timeout
                   * NGX_HTTP_CHATMAID_REDIS_RESOLVE_PATIENCE;
    ctx->cancelable = 1;

    resolve->ctx = ctx;
    resolve->pending = 1;

    resolve->within = 1;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        resolve->pending = 0;           /* ctx has been freed */
    }

    resolve->within = 0;

    return resolve->pending ? NGX_AGAIN : NGX_OK;
}


static void
ngx_http_chatmaid_redis_resolve_handler(ngx_resolver_ctx_t *ctx)
{
    ngx_int_t                           rc;
    ngx_http_chatmaid_redis_resolve_t  *resolve;

    resolve = ctx->data;

    if (ctx->state) {
        ngx_http_chatmaid_redis_resolve_failed(resolve, ctx->state);

    } else {
        ngx_http_chatmaid_redis_resolve_learn(resolve, ctx);
    }

    resolve->pending = 0;
    ngx_resolve_name_done(ctx);

    if (resolve->within) {
        return;
    }

    resolve->host++;

    rc = ngx_http_chatmaid_redis_resolve_next(resolve);

    if (rc != NGX_AGAIN) {
        resolve->handler(resolve->data, rc);
    }
}


/* Each worker logs this once, until the name is resolved again. */

static void
ngx_http_chatmaid_redis_resolve_failed(
    ngx_http_chatmaid_redis_resolve_t *resolve, ngx_int_t state)
{
    ngx_http_chatmaid_redis_known_t  *known;

    known = &resolve->known[resolve->host];

    if (known->failing) {
        return;
    }

    known->failing = 1;

    ngx_log_error(NGX_LOG_WARN, resolve->log, 0,
                  "chatmaid redis host \"%V\" can't be resolved (%i: %s)%s",
                  &resolve->hosts[resolve->host].name, state,
                  ngx_resolver_strerror(state),
                  known->naddrs ? ", its last known addresses are tried" : "");
}


/* Copies the addresses, because those of the resolver are valid only until its
 * handler returns; and adds what they lack, the port and the text. */

static void
ngx_http_chatmaid_redis_resolve_learn(
    ngx_http_chatmaid_redis_resolve_t *resolve, ngx_resolver_ctx_t *ctx)
{
    u_char                           *p;
    size_t                            size;
    ngx_uint_t                        i;
    ngx_addr_t                       *addrs;
    ngx_http_chatmaid_redis_known_t  *known;

    size = sizeof(ngx_addr_t) + sizeof(ngx_sockaddr_t) + NGX_SOCKADDR_STRLEN;

    addrs = ngx_calloc(ctx->naddrs * size, resolve->log);
    if (addrs == NULL) {
        return;
    }

    p = (u_char *) &addrs[ctx->naddrs];

    for (i = 0; i < ctx->naddrs; i++) {
        addrs[i].sockaddr = (struct sockaddr *) p;
        addrs[i].socklen = ctx->addrs[i].socklen;

        ngx_memcpy(p, ctx->addrs[i].sockaddr, ctx->addrs[i].socklen);
        ngx_inet_set_port(addrs[i].sockaddr,
                          resolve->hosts[resolve->host].port);

        p += sizeof(ngx_sockaddr_t);
    }

    for (i = 0; i < ctx->naddrs; i++) {
        addrs[i].name.data = p;
        addrs[i].name.len = ngx_sock_ntop(addrs[i].sockaddr, addrs[i].socklen,
                                          p, NGX_SOCKADDR_STRLEN, 1);
        p += NGX_SOCKADDR_STRLEN;
    }

    known = &resolve->known[resolve->host];

    if (known->memory) {
        ngx_free(known->memory);
    }

    known->addrs = addrs;
    known->naddrs = ctx->naddrs;
    known->memory = addrs;
    known->failing = 0;

    resolve->changed = 1;
}


static ngx_int_t
ngx_http_chatmaid_redis_resolve_fill(
    ngx_http_chatmaid_redis_resolve_t *resolve)
{
    ngx_uint_t                            i, j, n;
    ngx_http_chatmaid_redis_endpoint_t   *endpoints;

    if (!resolve->changed) {
        return NGX_OK;
    }

    n = 0;

    for (i = 0; i < resolve->nhosts; i++) {
        n += resolve->known[i].naddrs;
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    endpoints = ngx_alloc(n * sizeof(ngx_http_chatmaid_redis_endpoint_t),
                          resolve->log);
    if (endpoints == NULL) {
        return NGX_DECLINED;
    }

    n = 0;

    for (i = 0; i < resolve->nhosts; i++) {
        for (j = 0; j < resolve->known[i].naddrs; j++) {
            endpoints[n].addr = &resolve->known[i].addrs[j];
            endpoints[n++].host = (char *) resolve->hosts[i].name.data;
        }
    }

    ngx_http_chatmaid_redis_address_set(resolve->address, endpoints, n);
    resolve->changed = 0;

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_resolve_cancel(
    ngx_http_chatmaid_redis_resolve_t *resolve)
{
    if (resolve->pending) {
        resolve->pending = 0;
        ngx_resolve_name_done(resolve->ctx);
    }
}


void
ngx_http_chatmaid_redis_resolve_free(
    ngx_http_chatmaid_redis_resolve_t *resolve)
{
    ngx_uint_t  i;

    if (resolve->known == NULL) {
        return;
    }

    ngx_http_chatmaid_redis_resolve_cancel(resolve);
    ngx_http_chatmaid_redis_address_free(resolve->address);

    for (i = 0; i < resolve->nhosts; i++) {
        if (resolve->known[i].memory) {
            ngx_free(resolve->known[i].memory);
        }
    }

    ngx_free(resolve->known);
    resolve->known = NULL;
}
