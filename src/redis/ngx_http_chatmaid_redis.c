
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What callers see, and what each layer does when another has news.
 */


#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_conn.h"
#include "ngx_http_chatmaid_redis_health.h"
#include "ngx_http_chatmaid_redis_topology.h"


/* More than this waiting to be written counts as endless. */
#define NGX_HTTP_CHATMAID_REDIS_MAX_UNSENT  (16 * 1024 * 1024)


struct ngx_http_chatmaid_redis_s {
    ngx_http_chatmaid_redis_conn_t      conn;
    ngx_http_chatmaid_redis_login_t     login;
    ngx_http_chatmaid_redis_topology_t  topology;
    ngx_http_chatmaid_redis_commands_t  commands;
    ngx_http_chatmaid_redis_health_t    health;

    ngx_event_t                         flush;    /* posted: at a turn's end */
    ngx_uint_t                          retained;
};


static void ngx_http_chatmaid_redis_flush_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_settled(void *data);

static ngx_int_t ngx_http_chatmaid_redis_find(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_found(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_forget(void *data);
static void ngx_http_chatmaid_redis_due(void *data);
static void ngx_http_chatmaid_redis_ready(void *data);
static void ngx_http_chatmaid_redis_lasted(void *data);
static void ngx_http_chatmaid_redis_greeted(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_written(void *data, size_t n);
static ngx_int_t ngx_http_chatmaid_redis_reply(void *data, redisReply *reply);
static void ngx_http_chatmaid_redis_lost(void *data,
    ngx_http_chatmaid_redis_conn_lost_t *lost);

static ngx_int_t ngx_http_chatmaid_redis_accept(void *data, size_t unsent);
static void ngx_http_chatmaid_redis_changed(void *data);
static void ngx_http_chatmaid_redis_answered(void *data);
static void ngx_http_chatmaid_redis_refused(void *data,
    ngx_http_chatmaid_redis_refusal_t *refusal, ngx_str_t *text);
static void ngx_http_chatmaid_redis_late(void *data);
static void ngx_http_chatmaid_redis_silent(void *data);


static ngx_http_chatmaid_redis_conn_handlers_t
    ngx_http_chatmaid_redis_conn_handlers =
{
    ngx_http_chatmaid_redis_find,
    ngx_http_chatmaid_redis_forget,
    ngx_http_chatmaid_redis_due,
    ngx_http_chatmaid_redis_ready,
    ngx_http_chatmaid_redis_lasted,
    ngx_http_chatmaid_redis_greeted,
    ngx_http_chatmaid_redis_written,
    ngx_http_chatmaid_redis_reply,
    ngx_http_chatmaid_redis_lost,
    ngx_http_chatmaid_redis_settled
};


static ngx_http_chatmaid_redis_command_handlers_t
    ngx_http_chatmaid_redis_command_handlers =
{
    ngx_http_chatmaid_redis_accept,
    ngx_http_chatmaid_redis_changed,
    ngx_http_chatmaid_redis_answered,
    ngx_http_chatmaid_redis_refused,
    ngx_http_chatmaid_redis_late,
    ngx_http_chatmaid_redis_silent,
    ngx_http_chatmaid_redis_settled
};


/* For the log: what goes on while the server is away. */

static const char  ngx_http_chatmaid_redis_meanwhile_zone[] =
    "sends and marks of events are known to this nginx alone, streams of "
    "events take nothing";

static const char  ngx_http_chatmaid_redis_meanwhile_reject[] =
    "sends are answered 503, marks of events are known to this nginx alone, "
    "streams of events take nothing";


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

    redis->flush.handler = ngx_http_chatmaid_redis_flush_handler;
    redis->flush.data = redis;
    redis->flush.log = cycle->log;

    ngx_http_chatmaid_redis_command_init(&redis->commands, conf->timeout,
                                     &ngx_http_chatmaid_redis_command_handlers,
                                     redis, cycle->log);

    redis->login.user = conf->url.user;
    redis->login.password = conf->password;
    redis->login.db = conf->url.db;
    redis->login.master = 1;

    ngx_http_chatmaid_redis_conn_init(&redis->conn, conf, &redis->login,
                                      &redis->commands.out,
                                      &ngx_http_chatmaid_redis_conn_handlers,
                                      redis, cycle->log);

    if (ngx_http_chatmaid_redis_topology_init(&redis->topology, conf,
                                              &redis->conn.address,
                                              ngx_http_chatmaid_redis_found,
                                              redis, cycle->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_redis_health_init(&redis->health, &redis->conn.name,
                     conf->reject ? ngx_http_chatmaid_redis_meanwhile_reject
                                  : ngx_http_chatmaid_redis_meanwhile_zone,
                     alarms, cycle->log);

    conf->client = redis;

    ngx_http_chatmaid_redis_conn_connect(&redis->conn, 0);

    return NGX_OK;
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

    ngx_http_chatmaid_redis_conn_disconnect(&redis->conn);
    ngx_http_chatmaid_redis_topology_free(&redis->topology);
    ngx_http_chatmaid_redis_command_exit(&redis->commands);

    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_command(ngx_http_chatmaid_redis_t *redis,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    return ngx_http_chatmaid_redis_command_add(&redis->commands, argc, argv,
                                               len, handler, data);
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_script(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    return ngx_http_chatmaid_redis_command_add_script(&redis->commands, script,
                                                      nkeys, argc, argv, len,
                                                      handler, data);
}


void
ngx_http_chatmaid_redis_flush(ngx_http_chatmaid_redis_t *redis)
{
    ngx_http_chatmaid_redis_conn_flush(&redis->conn);
}


void
ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command)
{
    ngx_http_chatmaid_redis_command_cancel(&redis->commands, command);
}


void
ngx_http_chatmaid_redis_retain(ngx_http_chatmaid_redis_t *redis)
{
    redis->retained++;

    ngx_http_chatmaid_redis_conn_idle(&redis->conn, 0);
}


void
ngx_http_chatmaid_redis_release(ngx_http_chatmaid_redis_t *redis)
{
    if (redis->retained == 0) {
        ngx_log_error(NGX_LOG_ALERT, redis->flush.log, 0,
                      "chatmaid redis released too often");
        return;
    }

    redis->retained--;

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


ngx_uint_t
ngx_http_chatmaid_redis_up(ngx_http_chatmaid_redis_t *redis)
{
    return redis->health.up;
}


/* At the end of a turn: all its commands in one write. */

static void
ngx_http_chatmaid_redis_flush_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ev->data;

    if (redis->conn.state != NGX_HTTP_CHATMAID_REDIS_CONN_DOWN) {
        ngx_http_chatmaid_redis_conn_write(&redis->conn);

    } else if (ngx_http_chatmaid_redis_command_pending(&redis->commands)) {
        ngx_http_chatmaid_redis_due(redis);
    }

    ngx_http_chatmaid_redis_settled(redis);
}


/* What each event ends with.  A worker that is shutting down needs no
 * connection for which nobody waits. */

static void
ngx_http_chatmaid_redis_settled(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_uint_t  idle;

    ngx_http_chatmaid_redis_command_settle(&redis->commands);

    idle = redis->retained == 0
           && !ngx_http_chatmaid_redis_command_pending(&redis->commands);

    if (idle && ngx_exiting) {
        ngx_http_chatmaid_redis_conn_disconnect(&redis->conn);
        ngx_http_chatmaid_redis_command_close(&redis->commands,
                                              NGX_HTTP_CHATMAID_REDIS_LOST);
        return;
    }

    ngx_http_chatmaid_redis_conn_idle(&redis->conn, idle);
}


/* The connection's news. */

static ngx_int_t
ngx_http_chatmaid_redis_find(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    return ngx_http_chatmaid_redis_topology_find(&redis->topology,
                                                 redis->conn.hushed, trouble);
}


static void
ngx_http_chatmaid_redis_found(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_conn_found(&redis->conn, rc, trouble);
}


static void
ngx_http_chatmaid_redis_forget(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_topology_forget(&redis->topology);
}


static void
ngx_http_chatmaid_redis_due(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_conn_connect(&redis->conn, redis->health.down);
}


static void
ngx_http_chatmaid_redis_ready(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_health_ready(&redis->health);
    ngx_http_chatmaid_redis_command_open(&redis->commands);

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


static void
ngx_http_chatmaid_redis_lasted(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_health_lasted(&redis->health);
}


static void
ngx_http_chatmaid_redis_greeted(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_health_down(&redis->health, trouble);
}


static void
ngx_http_chatmaid_redis_written(void *data, size_t n)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_command_written(&redis->commands, n);
}


static ngx_int_t
ngx_http_chatmaid_redis_reply(void *data, redisReply *reply)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    if (ngx_http_chatmaid_redis_command_reply(&redis->commands, reply)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (redis->conn.leaving
        && !ngx_http_chatmaid_redis_command_due(&redis->commands))
    {
        return NGX_DONE;
    }

    return NGX_OK;
}


static void
ngx_http_chatmaid_redis_lost(void *data,
    ngx_http_chatmaid_redis_conn_lost_t *lost)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_uint_t  unused;

    if (lost->ready) {

        /* a connection that was closed while nothing was asked is no loss */

        unused = lost->trouble.err == 0 && !lost->protocol
                 && !ngx_http_chatmaid_redis_command_due(&redis->commands);

        ngx_http_chatmaid_redis_health_lost(&redis->health,
                                            unused ? NULL : &lost->trouble,
                                            lost->lasted, lost->leaving);

    } else if (lost->all) {
        ngx_http_chatmaid_redis_health_failed(&redis->health, &lost->trouble);
    }

    if (lost->pause >= redis->conn.conf->timeout) {
        /* nobody could wait so long */
        ngx_http_chatmaid_redis_health_away(&redis->health);
    }

    ngx_http_chatmaid_redis_command_close(&redis->commands,
                                          lost->protocol
                                          ? NGX_HTTP_CHATMAID_REDIS_PROTOCOL
                                          : NGX_HTTP_CHATMAID_REDIS_LOST);

    if (redis->health.away) {
        ngx_http_chatmaid_redis_command_drop(&redis->commands);
    }
}


/* The commands' news. */

static ngx_int_t
ngx_http_chatmaid_redis_accept(void *data, size_t unsent)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    static ngx_http_chatmaid_redis_trouble_t  trouble = {
        "its connections do not last", ngx_null_string, ngx_null_string, 0, NULL
    };

    /*
     * While a server is away no command waits for the next attempt, or for the
     * one under way.  A worker that is shutting down may be DOWN, without a
     * next attempt: then the command itself is the reason for it.
     */

    if (unsent <= NGX_HTTP_CHATMAID_REDIS_MAX_UNSENT
        && (!redis->health.away
            || redis->conn.state == NGX_HTTP_CHATMAID_REDIS_CONN_DOWN
            || redis->conn.state == NGX_HTTP_CHATMAID_REDIS_CONN_READY))
    {
        return NGX_OK;
    }

    /* no attempt has failed yet, where connections were made and lost */

    ngx_http_chatmaid_redis_health_down(&redis->health, &trouble);

    return NGX_DECLINED;
}


static void
ngx_http_chatmaid_redis_changed(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_post_event(&redis->flush, &ngx_posted_events);
}


static void
ngx_http_chatmaid_redis_answered(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_health_answered(&redis->health);
}


static void
ngx_http_chatmaid_redis_refused(void *data,
    ngx_http_chatmaid_redis_refusal_t *refusal, ngx_str_t *text)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_trouble_t  trouble;

    if (refusal->leave) {
        ngx_http_chatmaid_redis_conn_leave(&redis->conn);
    }

    ngx_memzero(&trouble, sizeof(ngx_http_chatmaid_redis_trouble_t));

    trouble.reason = "it answers";
    trouble.text = *text;
    trouble.advice = refusal->advice;

    if (refusal->replica) {
        ngx_http_chatmaid_redis_health_demoted(&redis->health, &trouble);

    } else {
        ngx_http_chatmaid_redis_health_troubled(&redis->health, &trouble);
    }
}


static void
ngx_http_chatmaid_redis_late(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    static ngx_http_chatmaid_redis_trouble_t  no_reply = {
        "no reply in time", ngx_null_string, ngx_null_string, 0,
        "it is slow or hangs, see the timeout of chatmaid_redis"
    };
    static ngx_http_chatmaid_redis_trouble_t  no_connection = {
        "no connection in time", ngx_null_string, ngx_null_string, 0, NULL
    };

    if (redis->conn.state == NGX_HTTP_CHATMAID_REDIS_CONN_READY) {
        ngx_http_chatmaid_redis_health_troubled(&redis->health, &no_reply);
        return;
    }

    ngx_http_chatmaid_redis_health_away(&redis->health);
    ngx_http_chatmaid_redis_health_down(&redis->health, &no_connection);
    ngx_http_chatmaid_redis_command_drop(&redis->commands);
}


static void
ngx_http_chatmaid_redis_silent(void *data)
{
    ngx_http_chatmaid_redis_t  *redis = data;

    ngx_http_chatmaid_redis_conn_lose(&redis->conn, NGX_ETIMEDOUT,
                                      "it does not answer");
}
