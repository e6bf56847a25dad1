
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A Redis Cluster: which node has which of the 16384 slots, learnt by CLUSTER
 * SLOTS from any of them.  It is asked at the start, when a node redirects a
 * command, and as long as a node is away or a slot has none.  Until the answer
 * is there, commands go to a node of the URL, which redirects them.
 *
 * A node is connected when it is first needed.  It counts as needed while it
 * has slots; a node of the URL that has none is nobody's trouble, unless all of
 * them are away before one has told the slots.  Nodes without slots are closed.
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
    ngx_event_t                       tidy;      /* looks for nodes that are
                                                  * needed no more */
    ngx_uint_t                        told;      /* nodes not of the URL */
    ngx_uint_t                        unserved;  /* one of the slots that no
                                                  * node has */
    unsigned                          asking:1;
    unsigned                          learnt:1;  /* where slots are */
    unsigned                          whole:1;   /* all slots have nodes */

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

/* Whether any node answers, as far as is known: 1 or 0. */
ngx_uint_t ngx_http_chatmaid_redis_cluster_up(
    ngx_http_chatmaid_redis_cluster_t *cluster);

/* Tags of keys, one for each node that has slots: writes up to n of them. */
ngx_uint_t ngx_http_chatmaid_redis_cluster_tags(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_uint_t *tags, ngx_uint_t n);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_ */
