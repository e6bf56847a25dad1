
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the connection, the commands and the health do when one of them reports
 * an event.
 */


#include "ngx_http_chatmaid_redis_node.h"


/* While more bytes than this wait to be written, no command is accepted. */
#define NGX_HTTP_CHATMAID_REDIS_MAX_UNSENT  (16 * 1024 * 1024)


static void ngx_http_chatmaid_redis_node_flush_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_node_settled(void *data);

static ngx_int_t ngx_http_chatmaid_redis_node_find(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_node_found(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_node_forget(void *data);
static void ngx_http_chatmaid_redis_node_due(void *data);
static void ngx_http_chatmaid_redis_node_ready(void *data);
static void ngx_http_chatmaid_redis_node_lasted(void *data);
static void ngx_http_chatmaid_redis_node_greeted(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_node_written(void *data, size_t n);
static ngx_int_t ngx_http_chatmaid_redis_node_reply(void *data,
    redisReply *reply);
static void ngx_http_chatmaid_redis_node_lost(void *data,
    ngx_http_chatmaid_redis_conn_lost_t *lost);

static ngx_int_t ngx_http_chatmaid_redis_node_accept(void *data,
    size_t unsent);
static void ngx_http_chatmaid_redis_node_changed(void *data);
static void ngx_http_chatmaid_redis_node_answered(void *data);
static void ngx_http_chatmaid_redis_node_refused(void *data,
    ngx_http_chatmaid_redis_refusal_t *refusal, ngx_str_t *text);
static void ngx_http_chatmaid_redis_node_late(void *data);
static ngx_int_t ngx_http_chatmaid_redis_node_redirect(void *data,
    redisReply *reply, ngx_http_chatmaid_redis_redirect_t *redirect);
static void ngx_http_chatmaid_redis_node_silent(void *data);
static void ngx_http_chatmaid_redis_node_trouble(
    ngx_http_chatmaid_redis_node_t *node);


static ngx_http_chatmaid_redis_conn_handlers_t
    ngx_http_chatmaid_redis_node_conn_handlers =
{
    ngx_http_chatmaid_redis_node_find,
    ngx_http_chatmaid_redis_node_forget,
    ngx_http_chatmaid_redis_node_due,
    ngx_http_chatmaid_redis_node_ready,
    ngx_http_chatmaid_redis_node_lasted,
    ngx_http_chatmaid_redis_node_greeted,
    ngx_http_chatmaid_redis_node_written,
    ngx_http_chatmaid_redis_node_reply,
    ngx_http_chatmaid_redis_node_lost,
    ngx_http_chatmaid_redis_node_settled
};


static ngx_http_chatmaid_redis_command_handlers_t
    ngx_http_chatmaid_redis_node_command_handlers =
{
    ngx_http_chatmaid_redis_node_accept,
    ngx_http_chatmaid_redis_node_changed,
    ngx_http_chatmaid_redis_node_answered,
    ngx_http_chatmaid_redis_node_refused,
    ngx_http_chatmaid_redis_node_late,
    ngx_http_chatmaid_redis_node_redirect,
    ngx_http_chatmaid_redis_node_silent,
    ngx_http_chatmaid_redis_node_settled
};


ngx_int_t
ngx_http_chatmaid_redis_node_init(ngx_http_chatmaid_redis_node_t *node,
    ngx_http_chatmaid_redis_nodes_t *nodes,
    ngx_http_chatmaid_redis_host_t *hosts, ngx_uint_t nhosts,
    ngx_str_t *thing)
{
    ngx_log_t                       *log;
    ngx_http_chatmaid_redis_conf_t  *conf;

    conf = nodes->conf;
    log = nodes->log;

    node->nodes = nodes;

    node->flush.handler = ngx_http_chatmaid_redis_node_flush_handler;
    node->flush.data = node;
    node->flush.log = log;

    ngx_http_chatmaid_redis_fifo_init(&node->commands, conf->timeout,
                                &ngx_http_chatmaid_redis_node_command_handlers,
                                node, log);

    ngx_http_chatmaid_redis_conn_init(&node->conn, conf, &nodes->login,
                                   &node->commands.out,
                                   &ngx_http_chatmaid_redis_node_conn_handlers,
                                   node, log);

    if (thing) {
        node->conn.name = *thing;
    }

    ngx_http_chatmaid_redis_redirect_init(&node->commands);

    ngx_http_chatmaid_redis_health_init(&node->health, &nodes->servers,
                                        &node->conn.name, thing, log);

    return ngx_http_chatmaid_redis_topology_init(&node->topology, conf, hosts,
                                           nhosts, &node->conn.address,
                                           ngx_http_chatmaid_redis_node_found,
                                           node, log);
}


void
ngx_http_chatmaid_redis_node_connect(ngx_http_chatmaid_redis_node_t *node)
{
    ngx_http_chatmaid_redis_conn_connect(&node->conn, 0);
}


void
ngx_http_chatmaid_redis_node_exit(ngx_http_chatmaid_redis_node_t *node)
{
    ngx_http_chatmaid_redis_conn_disconnect(&node->conn);
    ngx_http_chatmaid_redis_topology_free(&node->topology);
    ngx_http_chatmaid_redis_fifo_exit(&node->commands);

    if (node->flush.posted) {
        ngx_delete_posted_event(&node->flush);
    }
}


void
ngx_http_chatmaid_redis_node_reject(ngx_http_chatmaid_redis_node_t *node,
    ngx_str_t *text, const char *advice)
{
    ngx_http_chatmaid_redis_trouble_t  trouble;

    node->unfit = 1;

    ngx_memzero(&trouble, sizeof(ngx_http_chatmaid_redis_trouble_t));

    trouble.reason = "it answers";
    trouble.text = *text;
    trouble.advice = advice;

    ngx_http_chatmaid_redis_health_troubled(&node->health, &trouble);
    ngx_http_chatmaid_redis_node_trouble(node);
}


void
ngx_http_chatmaid_redis_node_close(ngx_http_chatmaid_redis_node_t *node)
{
    ngx_http_chatmaid_redis_conn_disconnect(&node->conn);
    ngx_http_chatmaid_redis_fifo_close(&node->commands,
                                       NGX_HTTP_CHATMAID_REDIS_LOST);
}


void
ngx_http_chatmaid_redis_node_flush(ngx_http_chatmaid_redis_node_t *node)
{
    ngx_http_chatmaid_redis_conn_flush(&node->conn);
}


void
ngx_http_chatmaid_redis_node_retain(ngx_http_chatmaid_redis_node_t *node)
{
    ngx_http_chatmaid_redis_conn_idle(&node->conn, 0);
}


void
ngx_http_chatmaid_redis_node_release(ngx_http_chatmaid_redis_node_t *node)
{
    ngx_post_event(&node->flush, &ngx_posted_events);
}


/* At the end of a turn of the event loop: writes all its commands at once. */

static void
ngx_http_chatmaid_redis_node_flush_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_node_t  *node;

    node = ev->data;

    if (node->conn.state != NGX_HTTP_CHATMAID_REDIS_CONN_DOWN) {
        ngx_http_chatmaid_redis_conn_write(&node->conn);

    } else if (ngx_http_chatmaid_redis_fifo_pending(&node->commands)) {
        ngx_http_chatmaid_redis_node_due(node);
    }

    ngx_http_chatmaid_redis_node_settled(node);
}


/* The last call of each event.  A worker that is shutting down closes a
 * connection that nobody needs. */

static void
ngx_http_chatmaid_redis_node_settled(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_uint_t  idle;

    ngx_http_chatmaid_redis_fifo_settle(&node->commands);

    idle = node->nodes->retained == 0
           && !ngx_http_chatmaid_redis_fifo_pending(&node->commands);

    if (idle && ngx_exiting) {
        ngx_http_chatmaid_redis_node_close(node);
        return;
    }

    ngx_http_chatmaid_redis_conn_idle(&node->conn, idle);
}


/* Events of the connection. */

static ngx_int_t
ngx_http_chatmaid_redis_node_find(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    return ngx_http_chatmaid_redis_topology_find(&node->topology,
                                                 node->conn.hushed, trouble);
}


static void
ngx_http_chatmaid_redis_node_found(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_conn_found(&node->conn, rc, trouble);
}


static void
ngx_http_chatmaid_redis_node_forget(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_topology_forget(&node->topology);
}


static void
ngx_http_chatmaid_redis_node_due(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_conn_connect(&node->conn, node->health.down);
}


static void
ngx_http_chatmaid_redis_node_ready(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_health_ready(&node->health);
    ngx_http_chatmaid_redis_fifo_open(&node->commands);

    ngx_post_event(&node->flush, &ngx_posted_events);
}


static void
ngx_http_chatmaid_redis_node_lasted(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_health_lasted(&node->health);
}


static void
ngx_http_chatmaid_redis_node_greeted(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_health_down(&node->health, trouble);
}


static void
ngx_http_chatmaid_redis_node_written(void *data, size_t n)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_fifo_written(&node->commands, n);
}


static ngx_int_t
ngx_http_chatmaid_redis_node_reply(void *data, redisReply *reply)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    if (ngx_http_chatmaid_redis_command_reply(&node->commands, reply)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (node->conn.leaving
        && !ngx_http_chatmaid_redis_fifo_due(&node->commands))
    {
        return NGX_DONE;
    }

    return NGX_OK;
}


static void
ngx_http_chatmaid_redis_node_lost(void *data,
    ngx_http_chatmaid_redis_conn_lost_t *lost)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_uint_t  unused;

    if (lost->ready) {

        /* a connection closed while no reply was due does not matter */

        unused = lost->trouble.err == 0 && !lost->protocol
                 && !ngx_http_chatmaid_redis_fifo_due(&node->commands);

        ngx_http_chatmaid_redis_health_lost(&node->health,
                                            unused ? NULL : &lost->trouble,
                                            lost->lasted, lost->leaving);

    } else if (lost->all) {
        ngx_http_chatmaid_redis_health_failed(&node->health, &lost->trouble);
    }

    if (lost->pause >= node->conn.conf->timeout) {
        /* no command could wait that long */
        ngx_http_chatmaid_redis_health_away(&node->health);
    }

    if (node->health.down) {
        ngx_http_chatmaid_redis_node_trouble(node);
    }

    ngx_http_chatmaid_redis_fifo_close(&node->commands,
                                          lost->protocol
                                          ? NGX_HTTP_CHATMAID_REDIS_PROTOCOL
                                          : NGX_HTTP_CHATMAID_REDIS_LOST);

    if (node->health.away) {
        ngx_http_chatmaid_redis_fifo_drop(&node->commands);
    }
}


/* Events of the commands. */

static ngx_int_t
ngx_http_chatmaid_redis_node_accept(void *data, size_t unsent)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    static ngx_http_chatmaid_redis_trouble_t  trouble = {
        "its connections do not last", ngx_null_string, ngx_null_string, 0, NULL
    };

    /*
     * While a server is away, no command waits for the next attempt, or for the
     * one in progress.  In a worker that is shutting down, the connection may
     * be DOWN without a plan for an attempt: then the command causes one.
     */

    if (node->unfit) {
        return NGX_DECLINED;
    }

    if (unsent <= NGX_HTTP_CHATMAID_REDIS_MAX_UNSENT
        && (!node->health.away
            || node->conn.state == NGX_HTTP_CHATMAID_REDIS_CONN_DOWN
            || node->conn.state == NGX_HTTP_CHATMAID_REDIS_CONN_READY))
    {
        return NGX_OK;
    }

    /* no attempt has failed yet if connections were made, but did not last */

    if (!node->health.down || node->health.troubled) {
        ngx_http_chatmaid_redis_health_down(&node->health, &trouble);
    }

    return NGX_DECLINED;
}


static void
ngx_http_chatmaid_redis_node_changed(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_post_event(&node->flush, &ngx_posted_events);
}


static void
ngx_http_chatmaid_redis_node_answered(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_health_answered(&node->health);
}


static void
ngx_http_chatmaid_redis_node_refused(void *data,
    ngx_http_chatmaid_redis_refusal_t *refusal, ngx_str_t *text)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_trouble_t  trouble;

    if (refusal->leave) {
        ngx_http_chatmaid_redis_conn_leave(&node->conn);
    }

    ngx_memzero(&trouble, sizeof(ngx_http_chatmaid_redis_trouble_t));

    trouble.reason = "it answers";
    trouble.text = *text;
    trouble.advice = refusal->advice;

    if (refusal->replica) {
        ngx_http_chatmaid_redis_health_demoted(&node->health, &trouble);

    } else {
        ngx_http_chatmaid_redis_health_troubled(&node->health, &trouble);
    }

    ngx_http_chatmaid_redis_node_trouble(node);
}


static void
ngx_http_chatmaid_redis_node_late(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    static ngx_http_chatmaid_redis_trouble_t  no_reply = {
        "no reply in time", ngx_null_string, ngx_null_string, 0,
        "it is slow or hangs, see the timeout of chatmaid_redis"
    };
    static ngx_http_chatmaid_redis_trouble_t  no_connection = {
        "no connection in time", ngx_null_string, ngx_null_string, 0, NULL
    };

    if (node->conn.state == NGX_HTTP_CHATMAID_REDIS_CONN_READY) {
        ngx_http_chatmaid_redis_health_troubled(&node->health, &no_reply);

    } else {
        ngx_http_chatmaid_redis_health_away(&node->health);
        ngx_http_chatmaid_redis_health_down(&node->health, &no_connection);
        ngx_http_chatmaid_redis_fifo_drop(&node->commands);
    }

    ngx_http_chatmaid_redis_node_trouble(node);
}


static void
ngx_http_chatmaid_redis_node_silent(void *data)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    ngx_http_chatmaid_redis_conn_lose(&node->conn, NGX_ETIMEDOUT,
                                      "it does not answer");
}


static ngx_int_t
ngx_http_chatmaid_redis_node_redirect(void *data, redisReply *reply,
    ngx_http_chatmaid_redis_redirect_t *redirect)
{
    ngx_http_chatmaid_redis_node_t  *node = data;

    return node->nodes->redirect
           ? node->nodes->redirect(node->nodes->data, node, reply, redirect)
           : NGX_DECLINED;
}


static void
ngx_http_chatmaid_redis_node_trouble(ngx_http_chatmaid_redis_node_t *node)
{
    if (node->nodes->trouble) {
        node->nodes->trouble(node->nodes->data);
    }
}
