
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_facts.h"


static ngx_uint_t ngx_http_chatmaid_facts_is_ours(ngx_http_request_t *r);
static ngx_http_chatmaid_facts_t *ngx_http_chatmaid_facts_find(
    ngx_http_request_t *r);
static ngx_http_chatmaid_facts_t *ngx_http_chatmaid_facts_create(
    ngx_http_request_t *r);
static void ngx_http_chatmaid_facts_begin(ngx_http_chatmaid_facts_t *facts,
    ngx_http_request_t *r);
static void ngx_http_chatmaid_facts_cleanup(void *data);


static ngx_str_t  ngx_http_chatmaid_facts_routes[] = {
    ngx_string(""),
    ngx_string("other"),
    ngx_string("send"),
    ngx_string("messages"),
    ngx_string("message"),
    ngx_string("inbound_messages"),
    ngx_string("inbound_message"),
    ngx_string("phones"),
    ngx_string("phone"),
    ngx_string("phone_status"),
    ngx_string("groups"),
    ngx_string("account"),
    ngx_string("account_usage"),
    ngx_string("operation"),
    ngx_string("health")
};


static ngx_str_t  ngx_http_chatmaid_facts_idempotencies[] = {
    ngx_string(""),
    ngx_string("new"),
    ngx_string("recovered"),
    ngx_string("replayed"),
    ngx_string("in_flight"),
    ngx_string("reused"),
    ngx_string("off")
};


static ngx_str_t  ngx_http_chatmaid_facts_stores[] = {
    ngx_string(""),
    ngx_string("zone"),
    ngx_string("redis")
};


ngx_int_t
ngx_http_chatmaid_facts_preaccess_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_facts_t  *facts;

    if (r != r->main || !ngx_http_chatmaid_facts_is_ours(r)) {
        return NGX_DECLINED;
    }

    facts = ngx_http_chatmaid_facts_find(r);

    if (facts) {
        ngx_http_chatmaid_facts_begin(facts, r);    /* a redirect led here */
        return NGX_DECLINED;
    }

    return ngx_http_chatmaid_facts_create(r) ? NGX_DECLINED
                                             : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_uint_t
ngx_http_chatmaid_facts_is_ours(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    return conf->gateway || conf->webhook;
}


ngx_http_chatmaid_facts_t *
ngx_http_chatmaid_facts_here(ngx_http_request_t *r)
{
    ngx_http_chatmaid_facts_t  *facts;

    facts = (r == r->main) ? ngx_http_chatmaid_facts_find(r) : NULL;

    return facts ? facts : ngx_http_chatmaid_facts_create(r);
}


/* The facts may be missing because nginx refused the request before the
 * PREACCESS phase. */

ngx_http_chatmaid_facts_t *
ngx_http_chatmaid_facts_get(ngx_http_request_t *r)
{
    ngx_http_chatmaid_facts_t  *facts;

    r = r->main;

    facts = ngx_http_chatmaid_facts_find(r);

    if (facts == NULL && ngx_http_chatmaid_facts_is_ours(r)) {
        facts = ngx_http_chatmaid_facts_create(r);
    }

    return facts;
}


static ngx_http_chatmaid_facts_t *
ngx_http_chatmaid_facts_find(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_chatmaid_facts_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


/* nginx zeroes r->ctx on an internal redirect, so the facts of a main request
 * are kept in a cleanup of its pool. */

static ngx_http_chatmaid_facts_t *
ngx_http_chatmaid_facts_create(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_chatmaid_facts_t  *facts;

    if (r != r->main) {
        facts = ngx_palloc(r->pool, sizeof(ngx_http_chatmaid_facts_t));

    } else {
        cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_chatmaid_facts_t));

        if (cln == NULL) {
            return NULL;
        }

        cln->handler = ngx_http_chatmaid_facts_cleanup;
        facts = cln->data;
    }

    if (facts) {
        ngx_http_chatmaid_facts_begin(facts, r);
    }

    return facts;
}


static void
ngx_http_chatmaid_facts_begin(ngx_http_chatmaid_facts_t *facts,
    ngx_http_request_t *r)
{
    ngx_memzero(facts, sizeof(ngx_http_chatmaid_facts_t));

    facts->conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    facts->uri = r->uri;
}


/* Does nothing: its address tells which cleanup holds the facts. */

static void
ngx_http_chatmaid_facts_cleanup(void *data)
{
}


void
ngx_http_chatmaid_facts_store_asked(ngx_http_chatmaid_facts_t *facts)
{
    facts->store_asked = 1;
    facts->store_began = ngx_current_msec;
}


void
ngx_http_chatmaid_facts_store_answered(ngx_http_chatmaid_facts_t *facts,
    ngx_uint_t store)
{
    facts->store = store;
    facts->store_time += ngx_current_msec - facts->store_began;
}


ngx_str_t *
ngx_http_chatmaid_facts_route_name(ngx_uint_t route)
{
    return &ngx_http_chatmaid_facts_routes[route];
}


ngx_str_t *
ngx_http_chatmaid_facts_idempotency_name(ngx_uint_t idempotency)
{
    return &ngx_http_chatmaid_facts_idempotencies[idempotency];
}


ngx_str_t *
ngx_http_chatmaid_facts_store_name(ngx_uint_t store)
{
    return &ngx_http_chatmaid_facts_stores[store];
}
