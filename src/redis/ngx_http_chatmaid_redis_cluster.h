
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A Redis Cluster: which node has which of the 16384 slots, learnt by CLUSTER
 * SLOTS from any of them.  It is asked at the start, when a node redirects a
 * command, and as long as a node is away.  Until it is known, commands go to a
 * node of the URL, which redirects them.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_


#include "ngx_http_chatmaid_redis_node.h"
#include "ngx_http_chatmaid_redis_slot.h"


typedef struct {
    ngx_http_chatmaid_redis_nodes_t  *common;
    ngx_queue_t                       nodes;
    ngx_http_chatmaid_redis_node_t   *asked;     /* whose answer is due */
    ngx_event_t                       timer;     /* the next question */

    unsigned                          asking:1;
    unsigned                          known:1;   /* where all slots are */

    ngx_http_chatmaid_redis_node_t   *slots[NGX_HTTP_CHATMAID_REDIS_SLOTS];
} ngx_http_chatmaid_redis_cluster_t;


/* On zeroed memory.  "common" must outlive it; its redirect and trouble are
 * filled in.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_cluster_init(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_nodes_t *common);

void ngx_http_chatmaid_redis_cluster_exit(
    ngx_http_chatmaid_redis_cluster_t *cluster);

/* The node that has a key, as far as is known. */
ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_node(
    ngx_http_chatmaid_redis_cluster_t *cluster, const char *key, size_t len);

/* Whether all slots are served, as far as is known: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_cluster_up(
    ngx_http_chatmaid_redis_cluster_t *cluster);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_ */
