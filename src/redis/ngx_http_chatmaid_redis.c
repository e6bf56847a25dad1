
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The client as callers see it: one node, or the nodes of a Cluster.
 */


#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_cluster.h"
#include "ngx_http_chatmaid_redis_node.h"


struct ngx_http_chatmaid_redis_s {
    ngx_http_chatmaid_redis_nodes_t     nodes;
    ngx_http_chatmaid_redis_node_t      node;      /* without a Cluster */
    ngx_http_chatmaid_redis_cluster_t  *cluster;
};


static const char *ngx_http_chatmaid_redis_meanwhile(
    ngx_http_chatmaid_redis_conf_t *conf);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_node(
    ngx_http_chatmaid_redis_t *redis, const char *key, size_t len);
static void ngx_http_chatmaid_redis_each(ngx_http_chatmaid_redis_t *redis,
    void (*handler)(ngx_http_chatmaid_redis_node_t *node));


ngx_http_chatmaid_redis_t *
ngx_http_chatmaid_redis_get(ngx_http_chatmaid_redis_conf_t *conf)
{
    return conf->client;
}


ngx_int_t
ngx_http_chatmaid_redis_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_shm_zone_t *alarms)
{
    ngx_http_chatmaid_redis_t  *redis;

    /* not in the cache manager */

    if (conf == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    redis = ngx_pcalloc(cycle->pool, sizeof(ngx_http_chatmaid_redis_t));
    if (redis == NULL) {
        return NGX_ERROR;
    }

    redis->nodes.conf = conf;
    redis->nodes.servers.alarms = alarms;
    redis->nodes.servers.meanwhile = ngx_http_chatmaid_redis_meanwhile(conf);
    redis->nodes.log = cycle->log;

    redis->nodes.login.user = conf->url.user;
    redis->nodes.login.password = conf->password;
    redis->nodes.login.db = conf->url.db;

    if (conf->url.cluster) {
        redis->cluster = ngx_pcalloc(cycle->pool,
                                    sizeof(ngx_http_chatmaid_redis_cluster_t));

        if (redis->cluster == NULL
            || ngx_http_chatmaid_redis_cluster_init(redis->cluster,
                                                    &redis->nodes)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        conf->client = redis;

        return NGX_OK;
    }

    /* in a Cluster the slot map names the masters */

    redis->nodes.login.master = 1;

    if (ngx_http_chatmaid_redis_node_init(&redis->node, &redis->nodes,
                                          conf->url.hosts, conf->url.nhosts,
                                          NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    conf->client = redis;

    ngx_http_chatmaid_redis_health_need(&redis->node.health);
    ngx_http_chatmaid_redis_node_connect(&redis->node);

    return NGX_OK;
}


/* For the log: what happens while a server is away. */

static const char *
ngx_http_chatmaid_redis_meanwhile(ngx_http_chatmaid_redis_conf_t *conf)
{
    if (conf->url.cluster) {
        return conf->reject
               ? "sends whose records it has are answered 503, marks of events "
                 "are known to this nginx alone, its streams take nothing"
               : "sends and marks of events whose records it has are known to "
                 "this nginx alone, its streams take nothing";
    }

    return conf->reject
           ? "sends are answered 503, marks of events are known to this nginx "
             "alone, streams of events take nothing"
           : "sends and marks of events are known to this nginx alone, streams "
             "of events take nothing";
}


void
ngx_http_chatmaid_redis_exit(ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_http_chatmaid_redis_t  *redis;

    if (conf == NULL || conf->client == NULL) {
        return;
    }

    redis = conf->client;
    conf->client = NULL;

    if (redis->cluster) {
        ngx_http_chatmaid_redis_cluster_exit(redis->cluster);

    } else {
        ngx_http_chatmaid_redis_node_exit(&redis->node);
    }
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_redis_node_t  *node;

    node = (argc > 1) ? ngx_http_chatmaid_redis_node(redis, argv[1], len[1])
                      : ngx_http_chatmaid_redis_node(redis, "", 0);

    return ngx_http_chatmaid_redis_command_add(&node->commands, argc, argv,
                                               len, handler, data);
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_script(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_redis_node_t  *node;

    node = nkeys ? ngx_http_chatmaid_redis_node(redis, argv[0], len[0])
                 : ngx_http_chatmaid_redis_node(redis, "", 0);

    return ngx_http_chatmaid_redis_command_add_script(&node->commands, script,
                                                      nkeys, argc, argv, len,
                                                      handler, data);
}


static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_node(ngx_http_chatmaid_redis_t *redis,
    const char *key, size_t len)
{
    return redis->cluster
           ? ngx_http_chatmaid_redis_cluster_node(redis->cluster, key, len)
           : &redis->node;
}


void
ngx_http_chatmaid_redis_flush(ngx_http_chatmaid_redis_t *redis)
{
    ngx_http_chatmaid_redis_each(redis, ngx_http_chatmaid_redis_node_flush);
}


static void
ngx_http_chatmaid_redis_each(ngx_http_chatmaid_redis_t *redis,
    void (*handler)(ngx_http_chatmaid_redis_node_t *node))
{
    ngx_queue_t  *q, *nodes;

    if (redis->cluster == NULL) {
        handler(&redis->node);
        return;
    }

    nodes = &redis->cluster->nodes;

    for (q = ngx_queue_head(nodes);
         q != ngx_queue_sentinel(nodes);
         q = ngx_queue_next(q))
    {
        handler(ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue));
    }
}


void
ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command)
{
    ngx_http_chatmaid_redis_fifo_cancel(command);
}


void
ngx_http_chatmaid_redis_retain(ngx_http_chatmaid_redis_t *redis)
{
    redis->nodes.retained++;

    ngx_http_chatmaid_redis_each(redis, ngx_http_chatmaid_redis_node_retain);
}


void
ngx_http_chatmaid_redis_release(ngx_http_chatmaid_redis_t *redis)
{
    if (redis->nodes.retained == 0) {
        ngx_log_error(NGX_LOG_ALERT, redis->nodes.log, 0,
                      "chatmaid redis released too often");
        return;
    }

    redis->nodes.retained--;

    ngx_http_chatmaid_redis_each(redis, ngx_http_chatmaid_redis_node_release);
}


ngx_uint_t
ngx_http_chatmaid_redis_up(ngx_http_chatmaid_redis_t *redis)
{
    return redis->cluster ? ngx_http_chatmaid_redis_cluster_up(redis->cluster)
                          : redis->node.health.up;
}


ngx_uint_t
ngx_http_chatmaid_redis_is_cluster(ngx_http_chatmaid_redis_t *redis)
{
    return redis->cluster != NULL;
}


ngx_uint_t
ngx_http_chatmaid_redis_tags(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t *tags, ngx_uint_t n)
{
    return redis->cluster
           ? ngx_http_chatmaid_redis_cluster_tags(redis->cluster, tags, n) : 0;
}


ngx_uint_t
ngx_http_chatmaid_redis_is_near(ngx_http_chatmaid_redis_t *redis,
    const char *key, size_t len)
{
    return !ngx_http_chatmaid_redis_node(redis, key, len)->health.away;
}
