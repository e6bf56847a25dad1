
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A Redis Cluster: which node has which of the 16384 slots.  Any node tells
 * this in reply to CLUSTER SLOTS, which is sent at the start, when a node
 * redirects a command, and repeatedly while a node is away or a slot has no
 * node.  Until the first reply, commands go to a node of the URL, which
 * redirects them.
 *
 * A node is connected when it is first needed.  It counts as needed while it
 * has slots.  A node of the URL without slots raises no alarm when it is away,
 * unless all of them are away before one of them has told the slots.
 * Connections to nodes without slots are closed.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_


#include "ngx_http_chatmaid_redis_node.h"
#include "ngx_http_chatmaid_redis_slot.h"


typedef struct {
    ngx_http_chatmaid_redis_nodes_t  *common;
    ngx_queue_t                       nodes;
    ngx_http_chatmaid_redis_node_t   *asked;     /* the node asked last */
    ngx_event_t                       timer;     /* for CLUSTER SLOTS */
    ngx_event_t                       tidy;      /* looks for nodes that are
                                                  * no longer needed */
    ngx_uint_t                        told;      /* how many nodes are not
                                                  * named by the URL */
    ngx_uint_t                        unserved;  /* unless "whole": tag of a
                                                  * slot that no node has */
    unsigned                          asking:1;  /* a reply is due */
    unsigned                          learnt:1;  /* slots have been told */
    unsigned                          whole:1;   /* all slots have nodes */

    ngx_http_chatmaid_redis_node_t   *slots[NGX_HTTP_CHATMAID_REDIS_SLOTS];
} ngx_http_chatmaid_redis_cluster_t;


/* Initializes zeroed memory, and asks for the slots.  "common" must outlive the
 * cluster; its callbacks and their data are set here.  Returns NGX_OK, or
 * NGX_ERROR if there is no memory. */
ngx_int_t ngx_http_chatmaid_redis_cluster_init(
    ngx_http_chatmaid_redis_cluster_t *cluster,
    ngx_http_chatmaid_redis_nodes_t *common);

/* Closes and frees all nodes.  Pending commands are dropped without calling
 * their handlers. */
void ngx_http_chatmaid_redis_cluster_exit(
    ngx_http_chatmaid_redis_cluster_t *cluster);

/* Returns the node that has a key as far as is known, else another one, which
 * will redirect the command; never NULL. */
ngx_http_chatmaid_redis_node_t *ngx_http_chatmaid_redis_cluster_node(
    ngx_http_chatmaid_redis_cluster_t *cluster, const char *key, size_t len);

/* Returns 1 if at least one of the needed nodes answers, as far as is known;
 * else 0. */
ngx_uint_t ngx_http_chatmaid_redis_cluster_up(
    ngx_http_chatmaid_redis_cluster_t *cluster);

/* See ngx_http_chatmaid_redis_tags(). */
ngx_uint_t ngx_http_chatmaid_redis_cluster_tags(
    ngx_http_chatmaid_redis_cluster_t *cluster, ngx_uint_t *tags, ngx_uint_t n);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CLUSTER_H_INCLUDED_ */
