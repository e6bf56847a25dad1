
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_health.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_upstream_state.h"


/* The largest number of Redis servers that are asked. */
#define NGX_HTTP_CHATMAID_HEALTH_SERVERS  128


typedef struct ngx_http_chatmaid_health_s  ngx_http_chatmaid_health_t;


/* The question to one Redis server. */

typedef struct {
    ngx_http_chatmaid_health_t          *health;
    ngx_http_chatmaid_redis_command_t   *command;    /* under way, or NULL */
} ngx_http_chatmaid_health_probe_t;


struct ngx_http_chatmaid_health_s {
    ngx_http_chatmaid_flow_t            *flow;
    ngx_http_chatmaid_main_conf_t       *mcf;
    ngx_http_chatmaid_health_probe_t    *probes;
    ngx_uint_t                           nprobes;
    ngx_uint_t                           pending;    /* probes */
    ngx_uint_t                           answered;   /* with success */
};


static ngx_int_t ngx_http_chatmaid_health_ask(ngx_http_request_t *r,
    void *data);
static ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_health_probe(
    ngx_http_chatmaid_health_probe_t *probe, ngx_uint_t *tag);
static void ngx_http_chatmaid_health_probe_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_health_leave(void *data);
static ngx_int_t ngx_http_chatmaid_health_answer(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_health_expire(void *data);
static ngx_uint_t ngx_http_chatmaid_health_redis_up(
    ngx_http_chatmaid_health_t *health);
static ngx_int_t ngx_http_chatmaid_health_text(
    ngx_http_chatmaid_health_t *health, ngx_str_t *text, ngx_uint_t *status);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_health_steps[] = {
    ngx_http_chatmaid_health_ask,       /* whether Redis can be written to */
    ngx_http_chatmaid_health_answer,
    NULL
};


static const char  *ngx_http_chatmaid_health_upstreams[] = {
    "unknown",
    "up",
    "down"
};


ngx_int_t
ngx_http_chatmaid_health_init(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_request_t          *r;
    ngx_http_chatmaid_health_t  *health;

    static ngx_str_t  no_store = ngx_string("no-store");

    r = flow->request;

    health = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_health_t));

    if (health == NULL
        || ngx_http_chatmaid_answer_add_header(r, "Cache-Control", &no_store)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    health->flow = flow;
    health->mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    flow->leave = ngx_http_chatmaid_health_leave;
    flow->expire = ngx_http_chatmaid_health_expire;

    ngx_http_chatmaid_steps_init(&flow->steps, ngx_http_chatmaid_health_steps,
                                 health);
    return NGX_OK;
}


/*
 * Redis is asked for each request: what the module's client knows about a
 * server is as old as the latest command.  PING would not do, because a server
 * that answers it may refuse writes.  In a Cluster all masters are asked.
 */

static ngx_int_t
ngx_http_chatmaid_health_ask(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_health_t *health = data;

    ngx_uint_t                         i, n;
    ngx_uint_t                         tags[NGX_HTTP_CHATMAID_HEALTH_SERVERS];
    ngx_http_chatmaid_redis_t         *redis;
    ngx_http_chatmaid_health_probe_t  *probe;

    if (health->mcf->redis == NULL) {
        return NGX_OK;
    }

    redis = ngx_http_chatmaid_redis_get(health->mcf->redis);

    if (redis == NULL) {
        return NGX_OK;
    }

    n = ngx_http_chatmaid_redis_tags(redis, tags,
                                     NGX_HTTP_CHATMAID_HEALTH_SERVERS);

    health->nprobes = ngx_max(n, 1);
    health->probes = ngx_pcalloc(r->pool,
                                 health->nprobes
                                 * sizeof(ngx_http_chatmaid_health_probe_t));
    if (health->probes == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < health->nprobes; i++) {
        probe = &health->probes[i];
        probe->health = health;
        probe->command = ngx_http_chatmaid_health_probe(probe,
                                                        n ? &tags[i] : NULL);
        health->pending += (probe->command != NULL);
    }

    return health->pending
           ? ngx_http_chatmaid_flow_idle(health->flow,
                                         ngx_http_chatmaid_health_answer)
           : NGX_OK;
}


static ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_health_probe(ngx_http_chatmaid_health_probe_t *probe,
    ngx_uint_t *tag)
{
    u_char                          *p;
    ngx_http_chatmaid_words_t        words;
    ngx_http_chatmaid_redis_conf_t  *conf;

    u_char                           key[NGX_HTTP_CHATMAID_MAX_NAME];

    conf = probe->health->mcf->redis;

    p = ngx_cpymem(key, conf->prefix.data, conf->prefix.len);
    p = ngx_cpymem(p, "health", sizeof("health") - 1);

    if (tag) {
        p = ngx_sprintf(p, ":{%ui}", *tag);
    }

    words.n = 0;
    words.nkeys = 0;

    ngx_http_chatmaid_store_script_key(&words, key, p - key);

    return ngx_http_chatmaid_store_script_run(conf,
                                       &ngx_http_chatmaid_store_script_probe,
                                       &words,
                                       ngx_http_chatmaid_health_probe_handler,
                                       probe);
}


static void
ngx_http_chatmaid_health_probe_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_health_probe_t *probe = data;

    ngx_http_chatmaid_health_t  *health;

    health = probe->health;

    probe->command = NULL;
    health->answered += (ngx_http_chatmaid_store_script_result(error, reply)
                         == 1);
    health->pending--;

    if (health->pending == 0) {
        ngx_http_chatmaid_flow_resume(health->flow);
    }
}


static void
ngx_http_chatmaid_health_leave(void *data)
{
    ngx_http_chatmaid_health_t *health = data;

    ngx_uint_t                          i;
    ngx_http_chatmaid_redis_command_t  *command;

    for (i = 0; i < health->nprobes; i++) {
        command = health->probes[i].command;

        if (command) {
            ngx_http_chatmaid_redis_cancel(
                              ngx_http_chatmaid_redis_get(health->mcf->redis),
                              command);
            health->probes[i].command = NULL;
        }
    }
}


static ngx_int_t
ngx_http_chatmaid_health_answer(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_health_t *health = data;

    ngx_str_t   text;
    ngx_uint_t  status;

    if (ngx_http_chatmaid_health_text(health, &text, &status) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_flow_answer(health->flow, status, &text);
}


/* Redis has not answered by the flow's deadline, which came before the timeout
 * of Redis, and counts as down. */

static ngx_int_t
ngx_http_chatmaid_health_expire(void *data)
{
    ngx_http_chatmaid_health_t *health = data;

    ngx_str_t                  text;
    ngx_uint_t                 status;
    ngx_http_chatmaid_flow_t  *flow;

    flow = health->flow;

    if (flow->gone
        || ngx_http_chatmaid_health_text(health, &text, &status) != NGX_OK)
    {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    return ngx_http_chatmaid_answer_json(flow->request, flow->reply, status,
                                         &text);
}


static ngx_uint_t
ngx_http_chatmaid_health_redis_up(ngx_http_chatmaid_health_t *health)
{
    return health->nprobes > 0 && health->answered == health->nprobes;
}


/* If records can't be kept, sends are refused; the status of the answer says so
 * to monitors that do not read the body. */

static ngx_int_t
ngx_http_chatmaid_health_text(ngx_http_chatmaid_health_t *health,
    ngx_str_t *text, ngx_uint_t *status)
{
    u_char                              *p;
    const char                          *state, *redis;
    ngx_uint_t                           up;
    ngx_http_request_t                  *r;
    ngx_http_chatmaid_loc_conf_t        *conf;
    ngx_http_chatmaid_redis_conf_t      *rcf;
    ngx_http_chatmaid_upstream_state_e   upstream;

    r = health->flow->request;
    rcf = health->mcf->redis;
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    upstream = ngx_http_chatmaid_upstream_state_get(health->mcf->zone,
                                            conf->gateway->upstream.upstream);

    up = ngx_http_chatmaid_health_redis_up(health);
    redis = (rcf == NULL) ? "off" : (up ? "up" : "down");
    state = (upstream == NGX_HTTP_CHATMAID_UPSTREAM_DOWN) ? "degraded" : "ok";
    *status = NGX_HTTP_OK;

    if (rcf && !up) {
        state = "degraded";

        if (rcf->reject && conf->idempotency) {
            state = "down";
            *status = NGX_HTTP_SERVICE_UNAVAILABLE;
        }
    }

    p = ngx_pnalloc(r->pool, sizeof("{\"status\":\"degraded\","
                                    "\"redis\":\"down\","
                                    "\"upstream\":\"unknown\"}"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;
    text->len = ngx_sprintf(p, "{\"status\":\"%s\",\"redis\":\"%s\","
                               "\"upstream\":\"%s\"}",
                            state, redis,
                            ngx_http_chatmaid_health_upstreams[upstream])
                - p;

    return NGX_OK;
}
