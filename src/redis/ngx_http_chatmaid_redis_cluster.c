
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_cluster.h"
#include "ngx_http_chatmaid_digits.h"


/* Milliseconds until CLUSTER SLOTS is sent: SOON after a node has said that
 * slots have changed, PAUSE while a node is away or slots have no node. */
#define NGX_HTTP_CHATMAID_REDIS_CLUSTER_SOON   20
#define NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE  250

/* How many nodes there may be beside those of the URL: a Redis Cluster is
 * designed for up to 1000. */
#define NGX_HTTP_CHATMAID_REDIS_CLUSTER_NODES  1024

/* How many numbers are tried as tags: enough for a node with a single slot. */
#define NGX_HTTP_CHATMAID_REDIS_CLUSTER_TAGS   (1 << 18)


static ngx_int_t ngx_http_chatmaid_redis_cluster_add_named(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_host_t *host);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_first(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_untried(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_get(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_slot_range_t *range,
    ngx_http_chatmaid_redis_node_t *said_by);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_find(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_str_t *name,
    ngx_int_t port);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_add(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_str_t *name,
    ngx_int_t port, ngx_peer_connection_t *beside);
static ngx_int_t ngx_http_chatmaid_redis_cluster_redirect(void *data,
    ngx_http_chatmaid_redis_node_t *node, redisReply *reply,
    ngx_http_chatmaid_redis_redirect_t *redirect);
static ngx_uint_t ngx_http_chatmaid_redis_cluster_is_later(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply);
static void ngx_http_chatmaid_redis_cluster_trouble(void *data);
static void ngx_http_chatmaid_redis_cluster_plan(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_msec_t pause);
static void ngx_http_chatmaid_redis_cluster_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_cluster_ask(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_next(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static void ngx_http_chatmaid_redis_cluster_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_redis_cluster_learn(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply);
static void ngx_http_chatmaid_redis_cluster_read(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply);
static void ngx_http_chatmaid_redis_cluster_tag(
    ngx_http_chatmaid_redis_cluster_t *cluster);
static void ngx_http_chatmaid_redis_cluster_tidy_handler(ngx_event_t *ev);


#define ngx_http_chatmaid_redis_cluster_each(cluster, q)                      \
    for (q = ngx_queue_head(&(cluster)->nodes);                               \
         q != ngx_queue_sentinel(&(cluster)->nodes);                          \
         q = ngx_queue_next(q))

#define ngx_http_chatmaid_redis_cluster_of(q)                                 \
    (ngx_queue_data(q, ngx_http_chatmaid_redis_node_t, queue))


ngx_int_t
ngx_http_chatmaid_redis_cluster_init(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_nodes_t *common)
{
    ngx_uint_t                       i;
    ngx_http_chatmaid_redis_url_t   *url;
    ngx_http_chatmaid_redis_host_t  *host;

    cluster->common = common;
    ngx_queue_init(&cluster->nodes);

    common->redirect = ngx_http_chatmaid_redis_cluster_redirect;
    common->trouble = ngx_http_chatmaid_redis_cluster_trouble;
    common->data = cluster;

    cluster->timer.handler = ngx_http_chatmaid_redis_cluster_timer_handler;
    cluster->timer.data = cluster;
    cluster->timer.log = common->log;
    cluster->timer.cancelable = 1;

    cluster->tidy.handler = ngx_http_chatmaid_redis_cluster_tidy_handler;
    cluster->tidy.data = cluster;
    cluster->tidy.log = common->log;
    cluster->tidy.cancelable = 1;

    url = &common->conf->url;

    for (i = 0; i < url->nhosts; i++) {
        host = &url->hosts[i];

        if (ngx_http_chatmaid_redis_cluster_find(cluster, &host->name,
                                                 host->port))
        {
            continue;                   /* named twice */
        }

        if (ngx_http_chatmaid_redis_cluster_add_named(cluster, host)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_http_chatmaid_redis_cluster_ask(cluster);

    return NGX_OK;
}


/* Adds a node that the URL names. */

static ngx_int_t
ngx_http_chatmaid_redis_cluster_add_named(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_host_t *host)
{
    ngx_http_chatmaid_redis_node_t  *node;

    node = ngx_calloc(sizeof(ngx_http_chatmaid_redis_node_t),
                      cluster->common->log);
    if (node == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_insert_tail(&cluster->nodes, &node->queue);

    node->named = 1;
    node->told.host = *host;

    return ngx_http_chatmaid_redis_node_init(node, cluster->common,
                                             &node->told.host, 1,
                                             &host->addrs[0].name);
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

    if (cluster->tidy.timer_set) {
        ngx_del_timer(&cluster->tidy);
    }

    while (!ngx_queue_empty(&cluster->nodes)) {
        q = ngx_queue_head(&cluster->nodes);
        ngx_queue_remove(q);

        node = ngx_http_chatmaid_redis_cluster_of(q);

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


/* Returns a node that is up, else one that may be. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_first(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (node->health.up) {
            return node;
        }
    }

    return ngx_http_chatmaid_redis_cluster_untried(cluster);
}


/* Returns a node that is not known to be down, else any. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_untried(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (!node->health.down) {
            return node;
        }
    }

    return ngx_http_chatmaid_redis_cluster_of(ngx_queue_head(&cluster->nodes));
}


ngx_uint_t
ngx_http_chatmaid_redis_cluster_up(ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (node->health.counts && node->health.up) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_chatmaid_redis_cluster_tags(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_uint_t *tags, ngx_uint_t n)
{
    ngx_uint_t                       i;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    i = 0;

    if (!cluster->whole && i < n) {
        tags[i++] = cluster->unserved;
    }

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (node->tagged && i < n) {
            tags[i++] = node->tag;
        }
    }

    return i;
}


/* Returns the node that has these slots; a new one is added.  "said_by" is the
 * node that has told them.  NULL: no memory, an invalid name or port, or too
 * many nodes. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_get(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_slot_range_t *range,
    ngx_http_chatmaid_redis_node_t *said_by)
{
    ngx_str_t                       *name;
    ngx_peer_connection_t           *beside;
    ngx_http_chatmaid_redis_node_t  *node;

    name = &range->name;
    beside = NULL;

    if (name->len == 0) {
        name = &said_by->told.host.name;
        beside = &said_by->conn.peer;
    }

    node = ngx_http_chatmaid_redis_cluster_find(cluster, name, range->port);

    if (node == NULL) {
        node = ngx_http_chatmaid_redis_cluster_add(cluster, name, range->port,
                                                   beside);
    }

    return node;
}


static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_find(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_str_t *name,
    ngx_int_t port)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (ngx_http_chatmaid_redis_told_is(&node->told.host, name, port)) {
            return node;
        }
    }

    return NULL;
}


/* "beside" is the connection to another node on the same host, whose address
 * is used, or NULL. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_add(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_str_t *name,
    ngx_int_t port, ngx_peer_connection_t *beside)
{
    ngx_http_chatmaid_redis_told_t  *told;
    ngx_http_chatmaid_redis_node_t  *node;

    if (cluster->told == NGX_HTTP_CHATMAID_REDIS_CLUSTER_NODES) {
        return NULL;
    }

    node = ngx_calloc(sizeof(ngx_http_chatmaid_redis_node_t),
                      cluster->common->log);
    if (node == NULL) {
        return NULL;
    }

    told = &node->told;

    if (ngx_http_chatmaid_redis_told(told, name, port) != NGX_OK) {
        ngx_free(node);
        return NULL;
    }

    if (beside) {
        ngx_http_chatmaid_redis_told_beside(told, beside->sockaddr,
                                            beside->socklen);
    }

    if (ngx_http_chatmaid_redis_node_init(node, cluster->common, &told->host,
                                          1, &told->text)
        != NGX_OK)
    {
        ngx_http_chatmaid_redis_node_exit(node);
        ngx_free(node);
        return NULL;
    }

    ngx_queue_insert_tail(&cluster->nodes, &node->queue);
    cluster->told++;

    return node;
}


static ngx_int_t
ngx_http_chatmaid_redis_cluster_redirect(void *data,
    ngx_http_chatmaid_redis_node_t *node, redisReply *reply,
    ngx_http_chatmaid_redis_redirect_t *redirect)
{
    ngx_http_chatmaid_redis_cluster_t  *cluster = data;

    ngx_uint_t                            asking;
    ngx_http_chatmaid_redis_node_t       *to;
    ngx_http_chatmaid_redis_slot_range_t  range;

    if (ngx_http_chatmaid_redis_cluster_is_later(cluster, reply)) {
        redirect->later = 1;
        return NGX_OK;
    }

    if (ngx_http_chatmaid_redis_slot_read_redirect(reply, &range, &asking)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    to = ngx_http_chatmaid_redis_cluster_get(cluster, &range, node);

    if (to == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_chatmaid_redis_health_need(&to->health);

    if (!asking) {
        cluster->slots[range.first] = to;
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                         NGX_HTTP_CHATMAID_REDIS_CLUSTER_SOON);
    }

    redirect->to = &to->commands;
    redirect->asking = asking;

    return NGX_OK;
}


/* Whether the command may succeed later: while a slot is being moved, the keys
 * of a script may be at two nodes; a slot without a node may get one. */

static ngx_uint_t
ngx_http_chatmaid_redis_cluster_is_later(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply)
{
    if (reply->len > 9 && ngx_strncmp(reply->str, "TRYAGAIN ", 9) == 0) {
        return 1;
    }

    if (reply->len > 12 && ngx_strncmp(reply->str, "CLUSTERDOWN ", 12) == 0) {
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                         NGX_HTTP_CHATMAID_REDIS_CLUSTER_SOON);
        return 1;
    }

    return 0;
}


/* Until the slots are known, the nodes of the URL count as needed only when all
 * of them are down. */

static void
ngx_http_chatmaid_redis_cluster_trouble(void *data)
{
    ngx_http_chatmaid_redis_cluster_t *cluster = data;

    ngx_queue_t  *q;

    ngx_http_chatmaid_redis_cluster_plan(cluster,
                                        NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);

    if (cluster->learnt) {
        return;
    }

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        if (!ngx_http_chatmaid_redis_cluster_of(q)->health.down) {
            return;
        }
    }

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        ngx_http_chatmaid_redis_health_need(
                               &ngx_http_chatmaid_redis_cluster_of(q)->health);
    }
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
    if (!ngx_exiting) {
        ngx_http_chatmaid_redis_cluster_ask(ev->data);
    }
}


static void
ngx_http_chatmaid_redis_cluster_ask(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_uint_t                          unfit;
    ngx_http_chatmaid_redis_node_t     *node;
    ngx_http_chatmaid_redis_command_t  *command;

    static const char    *argv[] = { "CLUSTER", "SLOTS" };
    static const size_t   len[] = { sizeof("CLUSTER") - 1,
                                    sizeof("SLOTS") - 1 };

    if (cluster->asking) {
        return;
    }

    node = ngx_http_chatmaid_redis_cluster_next(cluster);
    cluster->asked = node;

    /* an unfit node accepts no command but this one */

    unfit = node->unfit;
    node->unfit = 0;

    command = ngx_http_chatmaid_redis_command_add(&node->commands, 2, argv,
                                      len,
                                      ngx_http_chatmaid_redis_cluster_handler,
                                      cluster);
    node->unfit = unfit;

    if (command == NULL) {
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                        NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);
        return;
    }

    cluster->asking = 1;
}


/* Returns the node to ask, and moves it to the end of the queue: each node has
 * its turn, because one that answers may know of no slots. */

static ngx_http_chatmaid_redis_node_t *
ngx_http_chatmaid_redis_cluster_next(
    ngx_http_chatmaid_redis_cluster_t *cluster)
{
    ngx_http_chatmaid_redis_node_t  *node;

    node = ngx_http_chatmaid_redis_cluster_untried(cluster);

    ngx_queue_remove(&node->queue);
    ngx_queue_insert_tail(&cluster->nodes, &node->queue);

    return node;
}


static void
ngx_http_chatmaid_redis_cluster_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_redis_cluster_t  *cluster = data;

    ngx_str_t  text;

    cluster->asking = 0;

    if (error == NGX_HTTP_CHATMAID_REDIS_OK) {
        cluster->asked->unfit = 0;
        ngx_http_chatmaid_redis_cluster_learn(cluster, reply);

    } else if (error == NGX_HTTP_CHATMAID_REDIS_ERROR) {
        text.data = (u_char *) reply->str;
        text.len = reply->len;

        ngx_http_chatmaid_redis_node_reject(cluster->asked, &text,
                                    "redis+cluster:// is for a Redis Cluster");
    }

    if (error != NGX_HTTP_CHATMAID_REDIS_OK || !cluster->whole
        || cluster->common->servers.down)
    {
        ngx_http_chatmaid_redis_cluster_plan(cluster,
                                        NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);
    }
}


/* A reply without slots is ignored: it comes from a node that has been taken
 * out of its Cluster. */

static void
ngx_http_chatmaid_redis_cluster_learn(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply)
{
    ngx_uint_t                       i;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0) {
        return;
    }

    ngx_memzero(cluster->slots, sizeof(cluster->slots));

    ngx_http_chatmaid_redis_cluster_read(cluster, reply);

    cluster->learnt = 1;

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        ngx_http_chatmaid_redis_cluster_of(q)->used = 0;
    }

    for (i = 0; i < NGX_HTTP_CHATMAID_REDIS_SLOTS; i++) {
        if (cluster->slots[i]) {
            cluster->slots[i]->used = 1;
        }
    }

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (node->used) {
            ngx_http_chatmaid_redis_health_need(&node->health);

        } else {
            ngx_http_chatmaid_redis_health_gone(&node->health);
        }
    }

    ngx_http_chatmaid_redis_cluster_tag(cluster);

    if (!cluster->tidy.timer_set) {
        ngx_add_timer(&cluster->tidy, NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);
    }
}


static void
ngx_http_chatmaid_redis_cluster_read(
    ngx_http_chatmaid_redis_cluster_t *cluster, redisReply *reply)
{
    size_t                                 i;
    ngx_uint_t                             slot;
    ngx_http_chatmaid_redis_node_t        *node;
    ngx_http_chatmaid_redis_slot_range_t   range;

    for (i = 0; i < reply->elements; i++) {

        if (ngx_http_chatmaid_redis_slot_read_range(reply->element[i], &range)
            != NGX_OK)
        {
            continue;
        }

        node = ngx_http_chatmaid_redis_cluster_get(cluster, &range,
                                                   cluster->asked);

        for (slot = range.first; slot <= range.last; slot++) {
            cluster->slots[slot] = node;
        }
    }
}


/* Finds a number for each node, such that a key with this number as its hash
 * tag is in one of the node's slots; and, if some slots have no node, a number
 * for one of these slots. */

static void
ngx_http_chatmaid_redis_cluster_tag(ngx_http_chatmaid_redis_cluster_t *cluster)
{
    u_char                           digits[NGX_INT64_LEN];
    ngx_str_t                        text;
    ngx_uint_t                       i, left, unserved;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_redis_node_t  *node;

    left = 0;

    ngx_http_chatmaid_redis_cluster_each(cluster, q) {
        node = ngx_http_chatmaid_redis_cluster_of(q);

        left += node->used;
        node->tagged = 0;
    }

    cluster->whole = 1;

    for (i = 0; i < NGX_HTTP_CHATMAID_REDIS_SLOTS && cluster->whole; i++) {
        cluster->whole = (cluster->slots[i] != NULL);
    }

    unserved = !cluster->whole;
    left += unserved;
    text.data = digits;

    for (i = 0; i < NGX_HTTP_CHATMAID_REDIS_CLUSTER_TAGS && left; i++) {

        text.len = ngx_http_chatmaid_digits_decimal(digits, i) - digits;
        node = cluster->slots[ngx_http_chatmaid_redis_slot(&text)];

        if (node == NULL && unserved) {
            cluster->unserved = i;
            unserved = 0;
            left--;

        } else if (node && !node->tagged) {
            node->tag = i;
            node->tagged = 1;
            left--;
        }
    }
}


/* Closes the nodes that are no longer needed and have no commands, and frees
 * those of them that the URL does not name. */

static void
ngx_http_chatmaid_redis_cluster_tidy_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_cluster_t *cluster = ev->data;

    ngx_uint_t                       left;
    ngx_queue_t                     *q, *next;
    ngx_http_chatmaid_redis_node_t  *node;

    left = 0;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = next)
    {
        next = ngx_queue_next(q);
        node = ngx_http_chatmaid_redis_cluster_of(q);

        if (node->health.counts) {
            continue;
        }

        if (!ngx_http_chatmaid_redis_fifo_empty(&node->commands)) {
            left = 1;
            continue;
        }

        ngx_http_chatmaid_redis_node_close(node);

        if (!node->named) {
            ngx_queue_remove(q);
            cluster->told--;

            ngx_http_chatmaid_redis_node_exit(node);
            ngx_free(node);
        }
    }

    if (left && !ngx_exiting) {
        ngx_add_timer(&cluster->tidy, NGX_HTTP_CHATMAID_REDIS_CLUSTER_PAUSE);
    }
}
