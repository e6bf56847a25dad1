
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One server: the connection to it, the commands for it, and what is known
 * about it.  These three do not know each other, and report to the node.
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

    /* Callbacks of a Cluster, else NULL.  redirect() is as in redis_fifo.h;
     * trouble(): a node is of no use at the moment. */
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
    ngx_event_t                           flush;    /* posted: writes at the
                                                     * end of a turn */

    /* only for a node of a Cluster */
    ngx_queue_t                           queue;
    ngx_http_chatmaid_redis_told_t        told;
    ngx_uint_t                            tag;      /* of a key in its slots */
    unsigned                              tagged:1; /* there is a "tag" */
    unsigned                              named:1;  /* by the URL */
    unsigned                              unfit:1;  /* it is not in a Cluster,
                                                     * and takes no commands */
    unsigned                              used:1;   /* it has slots, as the last
                                                     * CLUSTER SLOTS said */
};


/* Initializes zeroed memory.  "nodes" must outlive the node; "hosts" and
 * "nhosts" are as for redis_topology_init().  "thing" is the name that
 * distinguishes the alarms of this node from those of other nodes, or NULL.
 * Returns NGX_OK, or NGX_ERROR if there is no memory. */
ngx_int_t ngx_http_chatmaid_redis_node_init(
    ngx_http_chatmaid_redis_node_t *node,
    ngx_http_chatmaid_redis_nodes_t *nodes,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_str_t *thing);

/* Begins to connect.  Without this call, the first command does so. */
void ngx_http_chatmaid_redis_node_connect(
    ngx_http_chatmaid_redis_node_t *node);

/* The node is unfit, as the error "text" says; "advice" is for the log. */
void ngx_http_chatmaid_redis_node_reject(ngx_http_chatmaid_redis_node_t *node,
    ngx_str_t *text, const char *advice);

/* Closes the connection to a node that is no longer needed.  To be called only
 * while no command is pending. */
void ngx_http_chatmaid_redis_node_close(ngx_http_chatmaid_redis_node_t *node);

/* See ngx_http_chatmaid_redis_flush(). */
void ngx_http_chatmaid_redis_node_flush(ngx_http_chatmaid_redis_node_t *node);

/* To be called when "retained" has grown; when it has become less. */
void ngx_http_chatmaid_redis_node_retain(
    ngx_http_chatmaid_redis_node_t *node);
void ngx_http_chatmaid_redis_node_release(
    ngx_http_chatmaid_redis_node_t *node);

/* Closes and frees everything but the node itself.  Pending commands are
 * dropped without calling their handlers. */
void ngx_http_chatmaid_redis_node_exit(ngx_http_chatmaid_redis_node_t *node);


#endif /* _NGX_HTTP_CHATMAID_REDIS_NODE_H_INCLUDED_ */
