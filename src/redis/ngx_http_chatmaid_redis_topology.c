
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_topology.h"


static void ngx_http_chatmaid_redis_topology_told(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_host_t *master,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static ngx_int_t ngx_http_chatmaid_redis_topology_resolve(
    ngx_http_chatmaid_redis_topology_t *topology,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts);
static void ngx_http_chatmaid_redis_topology_resolved(void *data,
    ngx_int_t rc);


static ngx_http_chatmaid_redis_trouble_t
    ngx_http_chatmaid_redis_topology_no_address =
{
    "its name can't be resolved", ngx_null_string, ngx_null_string, 0,
    "a name that Sentinels or a Cluster tell needs a \"resolver\" in the "
    "http block"
};


ngx_int_t
ngx_http_chatmaid_redis_topology_init(
    ngx_http_chatmaid_redis_topology_t *topology,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_http_chatmaid_redis_address_t *address,
    ngx_http_chatmaid_redis_topology_pt handler, void *data, ngx_log_t *log)
{
    topology->conf = conf;
    topology->address = address;
    topology->handler = handler;
    topology->data = data;
    topology->log = log;

    if (conf->url.sentinels) {
        return ngx_http_chatmaid_redis_sentinel_init(&topology->sentinel, conf,
                                         ngx_http_chatmaid_redis_topology_told,
                                         topology, log);
    }

    return ngx_http_chatmaid_redis_topology_resolve(topology, hosts, nhosts);
}


ngx_int_t
ngx_http_chatmaid_redis_topology_find(
    ngx_http_chatmaid_redis_topology_t *topology, ngx_uint_t quiet,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    if (topology->conf->url.sentinels) {
        ngx_http_chatmaid_redis_sentinel_ask(&topology->sentinel, quiet);
        return NGX_AGAIN;
    }

    *trouble = ngx_http_chatmaid_redis_topology_no_address;

    return ngx_http_chatmaid_redis_resolve_start(&topology->resolve);
}


/* What the Sentinels have said. */

static void
ngx_http_chatmaid_redis_topology_told(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_host_t *master,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_topology_t  *topology = data;

    if (rc != NGX_OK) {
        topology->handler(topology->data, rc, trouble);
        return;
    }

    /* if the master is where it was, its last known addresses are kept */

    if (topology->sentinel.moved) {
        ngx_http_chatmaid_redis_resolve_free(&topology->resolve);
    }

    if (topology->resolve.known == NULL
        && ngx_http_chatmaid_redis_topology_resolve(topology, master, 1)
           != NGX_OK)
    {
        rc = NGX_DECLINED;

    } else {
        rc = ngx_http_chatmaid_redis_resolve_start(&topology->resolve);
    }

    if (rc != NGX_AGAIN) {
        ngx_http_chatmaid_redis_topology_resolved(topology, rc);
    }
}


static ngx_int_t
ngx_http_chatmaid_redis_topology_resolve(
    ngx_http_chatmaid_redis_topology_t *topology,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts)
{
    return ngx_http_chatmaid_redis_resolve_init(&topology->resolve,
                                     topology->conf, topology->address,
                                     hosts, nhosts,
                                     ngx_http_chatmaid_redis_topology_resolved,
                                     topology, topology->log);
}


static void
ngx_http_chatmaid_redis_topology_resolved(void *data, ngx_int_t rc)
{
    ngx_http_chatmaid_redis_topology_t  *topology = data;

    topology->handler(topology->data, rc,
                      &ngx_http_chatmaid_redis_topology_no_address);
}


void
ngx_http_chatmaid_redis_topology_forget(
    ngx_http_chatmaid_redis_topology_t *topology)
{
    if (topology->conf->url.sentinels) {
        ngx_http_chatmaid_redis_sentinel_cancel(&topology->sentinel);
    }

    ngx_http_chatmaid_redis_resolve_cancel(&topology->resolve);
}


void
ngx_http_chatmaid_redis_topology_free(
    ngx_http_chatmaid_redis_topology_t *topology)
{
    if (topology->conf->url.sentinels) {
        ngx_http_chatmaid_redis_sentinel_free(&topology->sentinel);
    }

    ngx_http_chatmaid_redis_resolve_free(&topology->resolve);
}
