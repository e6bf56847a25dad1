
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
#include "ngx_http_chatmaid_redis_redirect.h"
#include "ngx_http_chatmaid_redis_told.h"
#include "ngx_http_chatmaid_redis_topology.h"


typedef struct ngx_http_chatmaid_redis_node_s  ngx_http_chatmaid_redis_node_t;


/* What all nodes of a client have in common. */

typedef struct {
    ngx_http_chatmaid_redis_conf_t       *conf;
    ngx_http_chatmaid_redis_login_t       login;
    ngx_http_chatmaid_redis_servers_t     servers;
    ngx_log_t                            *log;
    ngx_uint_t                            retained;  /* see redis.h */

    /* Of a Cluster, else NULL: as of redis_fifo.h; and that a node is of no use
     * just now. */
    ngx_int_t                           (*redirect)(void *data,
                                            ngx_http_chatmaid_redis_node_t
                                            *node, redisReply *reply,
                                            ngx_http_chatmaid_redis_redirect_t
                                            *redirect);
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
    ngx_uint_t                            tag;      /* of a key in its slots */
    unsigned                              tagged:1; /* there is a "tag" */
    unsigned                              named:1;  /* by the URL */
    unsigned                              unfit:1;  /* it is of no Cluster, and
                                                     * takes no commands */
    unsigned                              used:1;   /* it had slots when they
                                                     * were told last */
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

/* It is unfit: "text" is the error that says so. */
void ngx_http_chatmaid_redis_node_reject(ngx_http_chatmaid_redis_node_t *node,
    ngx_str_t *text, const char *advice);

/* It is needed no more: closes the connection.  Only while there is no
 * command. */
void ngx_http_chatmaid_redis_node_close(ngx_http_chatmaid_redis_node_t *node);

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
