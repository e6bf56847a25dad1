
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_sentinel.h"


static ngx_int_t ngx_http_chatmaid_redis_sentinel_question(
    ngx_http_chatmaid_redis_sentinel_t *sentinel);
static ngx_int_t ngx_http_chatmaid_redis_sentinel_find(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_sentinel_found(void *data, ngx_int_t rc);
static void ngx_http_chatmaid_redis_sentinel_forget(void *data);
static void ngx_http_chatmaid_redis_sentinel_due(void *data);
static void ngx_http_chatmaid_redis_sentinel_ready(void *data);
static void ngx_http_chatmaid_redis_sentinel_lasted(void *data);
static void ngx_http_chatmaid_redis_sentinel_refused(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_sentinel_written(void *data, size_t n);
static ngx_int_t ngx_http_chatmaid_redis_sentinel_reply(void *data,
    redisReply *reply);
static ngx_int_t ngx_http_chatmaid_redis_sentinel_answer(
    ngx_http_chatmaid_redis_sentinel_t *sentinel, redisReply *reply);
static void ngx_http_chatmaid_redis_sentinel_timer_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_redis_sentinel_lost(void *data,
    ngx_http_chatmaid_redis_conn_lost_t *lost);
static void ngx_http_chatmaid_redis_sentinel_settled(void *data);


static ngx_http_chatmaid_redis_conn_handlers_t
    ngx_http_chatmaid_redis_sentinel_handlers =
{
    ngx_http_chatmaid_redis_sentinel_find,
    ngx_http_chatmaid_redis_sentinel_forget,
    ngx_http_chatmaid_redis_sentinel_due,
    ngx_http_chatmaid_redis_sentinel_ready,
    ngx_http_chatmaid_redis_sentinel_lasted,
    ngx_http_chatmaid_redis_sentinel_refused,
    ngx_http_chatmaid_redis_sentinel_written,
    ngx_http_chatmaid_redis_sentinel_reply,
    ngx_http_chatmaid_redis_sentinel_lost,
    ngx_http_chatmaid_redis_sentinel_settled
};


static ngx_http_chatmaid_redis_trouble_t
    ngx_http_chatmaid_redis_sentinel_no_address =
{
    "no Sentinel has an address", ngx_null_string, ngx_null_string, 0, NULL
};


ngx_int_t
ngx_http_chatmaid_redis_sentinel_init(
    ngx_http_chatmaid_redis_sentinel_t *sentinel,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_sentinel_pt handler, void *data, ngx_log_t *log)
{
    sentinel->conf = conf;
    sentinel->handler = handler;
    sentinel->data = data;

    sentinel->login.user = conf->sentinel_user;
    sentinel->login.password = conf->sentinel_password;

    sentinel->timer.handler = ngx_http_chatmaid_redis_sentinel_timer_handler;
    sentinel->timer.data = sentinel;
    sentinel->timer.log = log;
    sentinel->timer.cancelable = 1;

    ngx_http_chatmaid_redis_conn_init(&sentinel->conn, conf, &sentinel->login,
                                    &sentinel->question,
                                    &ngx_http_chatmaid_redis_sentinel_handlers,
                                    sentinel, log);

    if (ngx_http_chatmaid_redis_resolve_init(&sentinel->resolve, conf,
                                      &sentinel->conn.address,
                                      conf->url.hosts, conf->url.nhosts,
                                      ngx_http_chatmaid_redis_sentinel_found,
                                      sentinel, log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_redis_sentinel_question(sentinel);
}


static ngx_int_t
ngx_http_chatmaid_redis_sentinel_question(
    ngx_http_chatmaid_redis_sentinel_t *sentinel)
{
    char        *bytes;
    size_t       len[3];
    long long    n;
    const char  *argv[3];

    argv[0] = "SENTINEL";
    len[0] = sizeof("SENTINEL") - 1;

    argv[1] = "get-master-addr-by-name";
    len[1] = sizeof("get-master-addr-by-name") - 1;

    argv[2] = (char *) sentinel->conf->url.master.data;
    len[2] = sentinel->conf->url.master.len;

    n = redisFormatCommandArgv(&bytes, 3, argv, len);
    if (n < 0) {
        return NGX_ERROR;
    }

    sentinel->bytes = (u_char *) bytes;
    sentinel->len = n;

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_sentinel_ask(
    ngx_http_chatmaid_redis_sentinel_t *sentinel, ngx_uint_t quiet)
{
    sentinel->asking = 1;
    sentinel->answered = 0;
    sentinel->failed = 0;
    sentinel->refused = 0;
    sentinel->tries = 0;

    /* the caller makes a pause between questions */

    sentinel->conn.address.delay = 0;

    ngx_http_chatmaid_redis_conn_connect(&sentinel->conn, quiet);
}


void
ngx_http_chatmaid_redis_sentinel_cancel(
    ngx_http_chatmaid_redis_sentinel_t *sentinel)
{
    sentinel->asking = 0;

    ngx_http_chatmaid_redis_conn_disconnect(&sentinel->conn);

    if (sentinel->timer.timer_set) {
        ngx_del_timer(&sentinel->timer);
    }
}


void
ngx_http_chatmaid_redis_sentinel_free(
    ngx_http_chatmaid_redis_sentinel_t *sentinel)
{
    ngx_http_chatmaid_redis_sentinel_cancel(sentinel);
    ngx_http_chatmaid_redis_resolve_free(&sentinel->resolve);

    if (sentinel->bytes) {
        redisFreeCommand((char *) sentinel->bytes);
        sentinel->bytes = NULL;
    }
}


/* Events of the connection, in the order in which they occur. */

static ngx_int_t
ngx_http_chatmaid_redis_sentinel_find(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    *trouble = ngx_http_chatmaid_redis_sentinel_no_address;

    return ngx_http_chatmaid_redis_resolve_start(&sentinel->resolve);
}


static void
ngx_http_chatmaid_redis_sentinel_found(void *data, ngx_int_t rc)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    ngx_http_chatmaid_redis_conn_found(&sentinel->conn, rc,
                                 &ngx_http_chatmaid_redis_sentinel_no_address);
}


static void
ngx_http_chatmaid_redis_sentinel_forget(void *data)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    ngx_http_chatmaid_redis_resolve_cancel(&sentinel->resolve);
}


static void
ngx_http_chatmaid_redis_sentinel_due(void *data)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    if (!sentinel->failed) {
        ngx_http_chatmaid_redis_conn_connect(&sentinel->conn,
                                             sentinel->conn.hushed);
    }
}


static void
ngx_http_chatmaid_redis_sentinel_ready(void *data)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    sentinel->question.pos = sentinel->bytes;
    sentinel->question.last = sentinel->bytes + sentinel->len;

    ngx_add_timer(&sentinel->timer, sentinel->conf->timeout);

    /* if this fails, the timer ends the attempt */

    ngx_http_chatmaid_redis_conn_flush(&sentinel->conn);
}


static void
ngx_http_chatmaid_redis_sentinel_lasted(void *data)
{
    /* "timer" limits the time for the answer */
}


static void
ngx_http_chatmaid_redis_sentinel_refused(void *data,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    sentinel->trouble = *trouble;
    sentinel->refused = 1;

    if (trouble->text.len == 0) {
        return;
    }

    /* the text will be freed with the reply */

    sentinel->trouble.text.data = sentinel->error;
    sentinel->trouble.text.len = ngx_min(trouble->text.len,
                                         sizeof(sentinel->error));

    ngx_memcpy(sentinel->error, trouble->text.data, sentinel->trouble.text.len);
}


static void
ngx_http_chatmaid_redis_sentinel_written(void *data, size_t n)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    sentinel->question.pos += n;
}


static ngx_int_t
ngx_http_chatmaid_redis_sentinel_reply(void *data, redisReply *reply)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    ngx_http_chatmaid_redis_trouble_t   trouble;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    ngx_memzero(&trouble, sizeof(ngx_http_chatmaid_redis_trouble_t));

    switch (reply->type) {

    case REDIS_REPLY_ARRAY:

        if (ngx_http_chatmaid_redis_sentinel_answer(sentinel, reply)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        sentinel->answered = 1;

        return NGX_DONE;

    case REDIS_REPLY_NIL:
        trouble.reason = "it knows no such master";
        trouble.advice = "see the name behind the Sentinels in the URL";
        break;

    case REDIS_REPLY_ERROR:
        trouble.text.data = (u_char *) reply->str;
        trouble.text.len = reply->len;
        trouble.reason = "it answers";

        refusal = ngx_http_chatmaid_redis_refusal_find(&trouble.text);
        trouble.advice = refusal ? refusal->advice : NULL;
        break;

    default:
        return NGX_ERROR;
    }

    ngx_http_chatmaid_redis_sentinel_refused(sentinel, &trouble);

    return NGX_DONE;
}


/* The answer is an array of an address or a name, and a port. */

static ngx_int_t
ngx_http_chatmaid_redis_sentinel_answer(
    ngx_http_chatmaid_redis_sentinel_t *sentinel, redisReply *reply)
{
    ngx_int_t     port;
    ngx_str_t     name;
    redisReply  **element;

    element = reply->element;

    if (reply->elements != 2
        || element[0]->type != REDIS_REPLY_STRING
        || element[1]->type != REDIS_REPLY_STRING)
    {
        return NGX_DECLINED;
    }

    name.data = (u_char *) element[0]->str;
    name.len = element[0]->len;

    port = ngx_atoi((u_char *) element[1]->str, element[1]->len);

    sentinel->moved = !ngx_http_chatmaid_redis_told_is(&sentinel->master.host,
                                                       &name, port);

    return sentinel->moved
           ? ngx_http_chatmaid_redis_told(&sentinel->master, &name, port)
           : NGX_OK;
}


static void
ngx_http_chatmaid_redis_sentinel_timer_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = ev->data;

    ngx_http_chatmaid_redis_conn_lose(&sentinel->conn, NGX_ETIMEDOUT,
                                      "it does not answer");

    ngx_http_chatmaid_redis_sentinel_settled(sentinel);
}


static void
ngx_http_chatmaid_redis_sentinel_lost(void *data,
    ngx_http_chatmaid_redis_conn_lost_t *lost)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    u_char  *p;

    if (sentinel->timer.timer_set) {
        ngx_del_timer(&sentinel->timer);
    }

    if (sentinel->answered) {
        return;
    }

    if (!sentinel->refused) {
        sentinel->trouble = lost->trouble;
    }

    sentinel->refused = 0;

    p = ngx_snprintf(sentinel->reason, sizeof(sentinel->reason) - 1,
                     "no Sentinel tells the master, the last was \"%V\": %s",
                     &sentinel->conn.name, sentinel->trouble.reason);
    *p = '\0';

    sentinel->trouble.reason = (char *) sentinel->reason;

    sentinel->tries++;

    if (sentinel->tries >= sentinel->conn.address.n) {
        sentinel->failed = 1;
    }
}


/* The last call of each event: now the connection may be closed. */

static void
ngx_http_chatmaid_redis_sentinel_settled(void *data)
{
    ngx_http_chatmaid_redis_sentinel_t  *sentinel = data;

    if (!sentinel->asking || (!sentinel->answered && !sentinel->failed)) {
        return;
    }

    ngx_http_chatmaid_redis_sentinel_cancel(sentinel);

    if (sentinel->answered) {
        sentinel->handler(sentinel->data, NGX_OK, &sentinel->master.host,
                          NULL);

    } else {
        sentinel->handler(sentinel->data, NGX_DECLINED, NULL,
                          &sentinel->trouble);
    }
}
