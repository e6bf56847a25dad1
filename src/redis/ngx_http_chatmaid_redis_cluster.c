
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_cluster.h"


/* Milliseconds: until the map is asked for when it is out of date, and until the
 * next question while a node is away, or none has answered. */
#define NGX_HTTP_CHATMAID_REDIS_CLUSTER_SOON   20
#define NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE  250


static ngx_int_t ngx_http_chatmaid_redis_cluster_named(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_told(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_str_t *name,
    ngx_int_t port);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_first(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static ngx_http_chatmaid_redis_commands_t *
    ngx_http_chatmaid_redis_cluster_redirect(void *data,
    ngx_http_chatmaid_redis_node_t *node, redisReply *reply,
    ngx_uint_t *asking);
static void ngx_http_chatmaid_redis_cluster_trouble(void *data);
static void ngx_http_chatmaid_redis_cluster_plan(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_msec_t pause);
static void ngx_http_chatmaid_redis_cluster_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_cluster_tidy(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static void ngx_http_chatmaid_redis_cluster_ask(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_next(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static void ngx_http_chatmaid_redis_cluster_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_redis_cluster_learn(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply);
static void ngx_http_chatmaid_redis_cluster_range(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *range);


ngx_int_t
ngx_http_chatmaid_redis_cluster_init(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_nodes_t *common)
{
    cluster->common = common;
    ngx_queue_init(&cluster->nodes);

    common->redirect = ngx_http_chatmaid_redis_cluster_redirect;
    common->trouble = ngx_http_chatmaid_redis_cluster_trouble;
    common->data = cluster;

    cluster->timer.handler = ngx_http_chatmaid_redis_cluster_timer_handler;
    cluster->timer.data = cluster;
    cluster->timer.log = common->log;
    cluster->timer.cancelable = 1;

    if (ngx_http_chatmaid_redis_cluster_named(cluster) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_redis_cluster_ask(cluster);

    return NGX_OK;
}


/* The nodes that the URL names. */

static ngx_int_t
ngx_http_chatmaid_redis_cluster_named(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_uint_t                       i;
    ngx_str_t                       *text;
    ngx_http_chatmaid_redis_url_t   *url;
    ngx_http_chatmaid_redis_node_t  *node;

    url = &cluster->common->conf->url;

    for (i = 0; i < url->nhosts; i++) {

        node = ngx_calloc(sizeof(ngx_http_chatmaid_redis_node_t),
                          cluster->common->log);
        if (node == NULL) {
            return NGX_ERROR;
        }

        ngx_queue_insert_tail(&cluster->nodes, &node->queue);

        node->named = 1;
        node->told.host = url->hosts[i];
        text = &url->hosts[i].addrs[0].name;

        if (ngx_http_chatmaid_redis_node_init(node, cluster->common,
                                              &node->told.host, 1, text)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_cluster_exit(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    if (cluster->timer.timer_set) {
        ngx_del_timer(&cluster->timer);
    }

    while (!ngx_queue_empty(&cluster->nodes)) {
        q = ngx_queue_head(&cluster->nodes);
        ngx_queue_remove(q);

        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);

        ngx_http_chatmaid_redis_node_exit(node);
        ngx_free(node);
    }
}


ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_node(
    ngx_http_chatmaid_redis_cluster_t *cluster, const char *key, size_t len)
{
    ngx_str_t                        text;
    ngx_http_chatmaid_redis_node_t  *node;

    text.data = (u_char *) key;
    text.len = len;

    node = cluster->slots[ngx_http_chatmaid_redis_slot(&text)];

    return node ? node : ngx_http_chatmaid_redis_cluster_first(cluster);
}


/* One that is not known to be away, or any. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_first(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);

        if (!node->health.down) {
            return node;
        }
    }

    return ngx_queue_data(ngx_queue_head(&cluster->nodes),
                          ngx_http_chatmaid_redis_node_t, queue);
}


ngx_uint_t
ngx_http_chatmaid_redis_cluster_up(ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    if (!cluster->known) {
        return 0;
    }

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);

        if (node->used && node->health.down) {
            return 0;
        }
    }

    return 1;
}


/* The node at this host, which is made where it is new.  NULL: no memory, or
 * that is no host. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_told(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_str_t *name,
    ngx_int_t port)
{
    ngx_str_t                       *text;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_host_t  *host;
    ngx_http_chatmaid_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);

        if (ngx_http_chatmaid_redis_told_is(&node->told.host, name, port)) {
            return node;
        }
    }

    node = ngx_calloc(sizeof(ngx_http_chatmaid_redis_node_t),
                      cluster->common->log);
    if (node == NULL) {
        return NULL;
    }

    if (ngx_http_chatmaid_redis_told(&node->told, name, port) != NGX_OK) {
        ngx_free(node);
        return NULL;
    }

    host = &node->told.host;
    text = host->dns ? &host->name : &node->told.addr.name;

    if (ngx_http_chatmaid_redis_node_init(node, cluster->common, host, 1, text)
        != NGX_OK)
    {
        ngx_http_chatmaid_redis_node_exit(node);
        ngx_free(node);
        return NULL;
    }

    ngx_queue_insert_tail(&cluster->nodes, &node->queue);

    return node;
}


/* "MOVED 3999 10.0.0.1:6381", "ASK 3999 10.0.0.1:6381".  Without a host it is
 * the one that says so. */

static ngx_http_chatmaid_redis_commands_t *
ngx_http_chatmaid_redis_cluster_redirect(void *data,
    ngx_http_chatmaid_redis_node_t *node, redisReply *reply,
    ngx_uint_t *asking)
{
    ngx_http_chatmaid_redis_cluster_t  *cluster = data;

    u_char                          *p, *last, *colon;
    ngx_int_t                        slot, port;
    ngx_str_t                        name;
    ngx_http_chatmaid_redis_node_t  *to;

    p = (u_char *) reply->str;
    last = p + reply->len;

    if (reply->len > 6 && ngx_strncmp(p, "MOVED ", 6) == 0) {
        *asking = 0;
        p += 6;

    } else if (reply->len > 4 && ngx_strncmp(p, "ASK ", 4) == 0) {
        *asking = 1;
        p += 4;

    } else {
        return NULL;
    }

    name.data = ngx_strlchr(p, last, ' ');

    if (name.data == NULL) {
        return NULL;
    }

    slot = ngx_atoi(p, name.data - p);
    name.data++;

    for (colon = last - 1; colon > name.data && *colon != ':'; colon--) {
        /* void */
    }

    if (slot < 0 || slot >= NGX_HTTP_CHATMAID_REDIS_SLOTS
        || colon < name.data || *colon != ':')
    {
        return NULL;
    }

    name.len = colon - name.data;
    port = ngx_atoi(colon + 1, last - colon - 1);

    if (name.len == 0) {
        name = node->told.host.name;
    }

    to = ngx_http_chatmaid_redis_cluster_told(cluster, &name, port);

    if (to == NULL) {
        return NULL;
    }

    to->used = 1;

    if (!*asking) {
        cluster->slots[slot] = to;
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                         NGX_HTTP_CHATMAID_REDIS_CLUSTER_SOON);
    }

    return &to->commands;
}


static void
ngx_http_chatmaid_redis_cluster_trouble(void *data)
{
    ngx_http_chatmaid_redis_cluster_plan(data,
                                         NGX_HTTP_CHATMAID_REDIS_CLUSTER_SOON);
}


static void
ngx_http_chatmaid_redis_cluster_plan(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_msec_t pause)
{
    if (!cluster->timer.timer_set && !cluster->asking && !ngx_exiting) {
        ngx_add_timer(&cluster->timer, pause);
    }
}


static void
ngx_http_chatmaid_redis_cluster_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_cluster_t  *cluster = ev->data;

    if (ngx_exiting) {
        return;
    }

    ngx_http_chatmaid_redis_cluster_tidy(cluster);
    ngx_http_chatmaid_redis_cluster_ask(cluster);
}


/* Nodes that have no slots any more, and nothing to answer. */

static void
ngx_http_chatmaid_redis_cluster_tidy(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q, *next;
    ngx_http_chatmaid_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);

        if (node->used || !cluster->known
            || !ngx_http_chatmaid_redis_command_empty(&node->commands))
        {
            continue;
        }

        ngx_http_chatmaid_redis_health_gone(&node->health);

        if (node->named) {
            ngx_http_chatmaid_redis_conn_disconnect(&node->conn);
            continue;
        }

        ngx_queue_remove(q);
        ngx_http_chatmaid_redis_node_exit(node);
        ngx_free(node);
    }
}


static void
ngx_http_chatmaid_redis_cluster_ask(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_http_chatmaid_redis_node_t  *node;

    static const char    *argv[] = { "CLUSTER", "SLOTS" };
    static const size_t   len[] = { sizeof("CLUSTER") - 1,
                                    sizeof("SLOTS") - 1 };

    if (cluster->asking) {
        return;
    }

    node = ngx_http_chatmaid_redis_cluster_next(cluster);
    cluster->asked = node;

    if (ngx_http_chatmaid_redis_command_add(&node->commands, 2, argv, len,
                                       ngx_http_chatmaid_redis_cluster_handler,
                                       cluster)
        == NULL)
    {
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                        NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);
        return;
    }

    cluster->asking = 1;
}


/* The first that is not known to be away; it goes to the end, so that all of
 * them have their turn. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_next(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_http_chatmaid_redis_node_t  *node;

    node = ngx_http_chatmaid_redis_cluster_first(cluster);

    ngx_queue_remove(&node->queue);
    ngx_queue_insert_tail(&cluster->nodes, &node->queue);

    return node;
}


static void
ngx_http_chatmaid_redis_cluster_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_redis_cluster_t  *cluster = data;

    cluster->asking = 0;

    if (error == NGX_HTTP_CHATMAID_REDIS_OK
        && reply->type == REDIS_REPLY_ARRAY)
    {
        ngx_http_chatmaid_redis_cluster_learn(cluster, reply);
    }

    if (!ngx_http_chatmaid_redis_cluster_up(cluster)) {
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                        NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);
    }
}


/* Ranges of slots, each with its master and then its replicas. */

static void
ngx_http_chatmaid_redis_cluster_learn(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply)
{
    size_t                           i;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);
        node->used = 0;
    }

    ngx_memzero(cluster->slots, sizeof(cluster->slots));

    for (i = 0; i < reply->elements; i++) {
        ngx_http_chatmaid_redis_cluster_range(cluster, reply->element[i]);
    }

    cluster->known = 1;

    for (i = 0; i < NGX_HTTP_CHATMAID_REDIS_SLOTS; i++) {
        if (cluster->slots[i] == NULL) {
            cluster->known = 0;
            break;
        }
    }

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue);

        if (!node->used && node->health.down) {
            ngx_http_chatmaid_redis_health_gone(&node->health);
        }
    }
}


/* [first, last, [host, port, ...], ...].  A host that is not known there, or
 * empty, is that of the node which says so. */

static void
ngx_http_chatmaid_redis_cluster_range(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *range)
{
    ngx_str_t                         name;
    long long                         i;
    redisReply                      **element, **master;
    ngx_http_chatmaid_redis_node_t   *node;

    element = range->element;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3
        || element[0]->type != REDIS_REPLY_INTEGER
        || element[1]->type != REDIS_REPLY_INTEGER
        || element[2]->type != REDIS_REPLY_ARRAY
        || element[2]->elements < 2)
    {
        return;
    }

    master = element[2]->element;

    if (element[0]->integer < 0
        || element[1]->integer >= NGX_HTTP_CHATMAID_REDIS_SLOTS
        || (master[0]->type != REDIS_REPLY_STRING
            && master[0]->type != REDIS_REPLY_NIL)
        || master[1]->type != REDIS_REPLY_INTEGER)
    {
        return;
    }

    if (master[0]->type == REDIS_REPLY_STRING && master[0]->len) {
        name.data = (u_char *) master[0]->str;
        name.len = master[0]->len;

    } else {
        name = cluster->asked->told.host.name;
    }

    node = ngx_http_chatmaid_redis_cluster_told(cluster, &name,
                                          (ngx_int_t) master[1]->integer);
    if (node == NULL) {
        return;
    }

    node->used = 1;

    for (i = element[0]->integer; i <= element[1]->integer; i++) {
        cluster->slots[i] = node;
    }
}
