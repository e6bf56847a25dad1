
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One server: the connection to it, the commands for it, and what is known of
 * it.  These do not know each other, and tell the node what happens.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_NODE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_NODE_H_INCLUDED_


#include "ngx_http_chatmaid_redis_command.h"
#include "ngx_http_chatmaid_redis_conn.h"
#include "ngx_http_chatmaid_redis_health.h"
#include "ngx_http_chatmaid_redis_told.h"
#include "ngx_http_chatmaid_redis_topology.h"


typedef struct ngx_http_chatmaid_redis_node_s  ngx_http_chatmaid_redis_node_t;


/* What all nodes of a client have in common. */

typedef struct {
    ngx_http_chatmaid_redis_conf_t       *conf;
    ngx_http_chatmaid_redis_login_t       login;
    ngx_shm_zone_t                       *alarms;
    ngx_log_t                            *log;
    ngx_uint_t                            retained;  /* see redis.h */

    /* NULL, or as of redis_command.h; and that the node is of no use just now */
    ngx_http_chatmaid_redis_commands_t *(*redirect)(void *data,
                                            ngx_http_chatmaid_redis_node_t
                                            *node, redisReply *reply,
                                            ngx_uint_t *asking);
    void                                (*trouble)(void *data);
    void                                 *data;
} ngx_http_chatmaid_redis_nodes_t;


struct ngx_http_chatmaid_redis_node_s {
    ngx_http_chatmaid_redis_nodes_t      *nodes;
    ngx_http_chatmaid_redis_conn_t        conn;
    ngx_http_chatmaid_redis_topology_t    topology;
    ngx_http_chatmaid_redis_commands_t    commands;
    ngx_http_chatmaid_redis_health_t      health;
    ngx_event_t                           flush;    /* posted: at a turn's
                                                     * end */

    /* of a Cluster's */
    ngx_queue_t                           queue;
    ngx_http_chatmaid_redis_told_t        told;
    unsigned                              named:1;  /* by the URL */
    unsigned                              used:1;   /* it has slots, or may */
};


/* On zeroed memory.  "hosts" and "nhosts" as of redis_topology_init(); "thing"
 * is NULL, or the name by which its trouble is told from that of other nodes.
 * NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_node_init(
    ngx_http_chatmaid_redis_node_t *node,
    ngx_http_chatmaid_redis_nodes_t *nodes,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_str_t *thing);

/* Begins to connect, which the first command does otherwise. */
void ngx_http_chatmaid_redis_node_connect(
    ngx_http_chatmaid_redis_node_t *node);

/* Writes what is queued, as of redis_flush(). */
void ngx_http_chatmaid_redis_node_flush(ngx_http_chatmaid_redis_node_t *node);

/* "retained" has grown; or it is 0. */
void ngx_http_chatmaid_redis_node_retain(
    ngx_http_chatmaid_redis_node_t *node);
void ngx_http_chatmaid_redis_node_release(
    ngx_http_chatmaid_redis_node_t *node);

/* Closes and frees all but the node itself, whose commands are dropped without
 * a word. */
void ngx_http_chatmaid_redis_node_exit(ngx_http_chatmaid_redis_node_t *node);


#endif /* _NGX_HTTP_CHATMAID_REDIS_NODE_H_INCLUDED_ */
