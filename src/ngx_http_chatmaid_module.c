
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Directives, their inheritance, and where the module hooks into nginx.
 */


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_body_limit.h"
#include "ngx_http_chatmaid_conf_place.h"
#include "ngx_http_chatmaid_conf_slot.h"
#include "ngx_http_chatmaid_count.h"
#include "ngx_http_chatmaid_counters.h"
#include "ngx_http_chatmaid_gateway_conf.h"
#include "ngx_http_chatmaid_gateway.h"
#include "ngx_http_chatmaid_internal.h"
#include "ngx_http_chatmaid_pace_conf.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_api_key.h"
#include "ngx_http_chatmaid_filter.h"
#include "ngx_http_chatmaid_error_page.h"
#include "ngx_http_chatmaid_facts.h"
#include "ngx_http_chatmaid_store_redis.h"
#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_store_untold.h"
#include "ngx_http_chatmaid_store_zone.h"
#include "ngx_http_chatmaid_streams.h"
#include "ngx_http_chatmaid_zone.h"
#include "ngx_http_chatmaid_zone_conf.h"
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_status.h"
#include "ngx_http_chatmaid_status_conf.h"
#include "ngx_http_chatmaid_variables.h"
#include "ngx_http_chatmaid_webhook.h"
#include "ngx_http_chatmaid_webhook_conf.h"


static ngx_int_t ngx_http_chatmaid_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_chatmaid_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_chatmaid_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_chatmaid_init_process(ngx_cycle_t *cycle);
static void ngx_http_chatmaid_exit_process(ngx_cycle_t *cycle);
static void *ngx_http_chatmaid_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_chatmaid_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_chatmaid_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);


typedef struct {
    ngx_http_phases        phase;
    ngx_http_handler_pt    handler;
} ngx_http_chatmaid_phase_t;


static ngx_http_chatmaid_phase_t  ngx_http_chatmaid_phases[] = {
    { NGX_HTTP_SERVER_REWRITE_PHASE,
      ngx_http_chatmaid_body_limit_lift_handler },
    { NGX_HTTP_REWRITE_PHASE, ngx_http_chatmaid_error_page_rewrite_handler },
    { NGX_HTTP_PREACCESS_PHASE, ngx_http_chatmaid_body_limit_restore_handler },
    { NGX_HTTP_PREACCESS_PHASE, ngx_http_chatmaid_facts_preaccess_handler },
    { NGX_HTTP_PRECONTENT_PHASE, ngx_http_chatmaid_call_precontent_handler },
    { NGX_HTTP_PRECONTENT_PHASE, ngx_http_chatmaid_webhook_handler },
    { NGX_HTTP_LOG_PHASE, ngx_http_chatmaid_webhook_log_handler },
    { NGX_HTTP_LOG_PHASE, ngx_http_chatmaid_count_log_handler },
    { 0, NULL }
};


static ngx_conf_enum_t  ngx_http_chatmaid_environment[] = {
    { ngx_string("test"), NGX_HTTP_CHATMAID_TEST },
    { ngx_string("live"), NGX_HTTP_CHATMAID_LIVE },
    { ngx_string("any"), NGX_HTTP_CHATMAID_ANY },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_chatmaid_recipients[] = {
    { ngx_string("checked"), NGX_HTTP_CHATMAID_RECIPIENTS_CHECKED },
    { ngx_string("any"), NGX_HTTP_CHATMAID_RECIPIENTS_ANY },
    { ngx_null_string, 0 }
};


static ngx_conf_bitmask_t  ngx_http_chatmaid_scopes[] = {
    { ngx_string("messages:send"), NGX_HTTP_CHATMAID_SEND },
    { ngx_string("messages:read"), NGX_HTTP_CHATMAID_READ },
    { ngx_string("phone_numbers:read"), NGX_HTTP_CHATMAID_PHONES },
    { ngx_string("account:read"), NGX_HTTP_CHATMAID_ACCOUNT },
    { ngx_null_string, 0 }
};


static ngx_conf_post_t  ngx_http_chatmaid_window = {
    ngx_http_chatmaid_gateway_conf_window
};


static ngx_conf_post_t  ngx_http_chatmaid_not_zero = {
    ngx_http_chatmaid_gateway_conf_not_zero
};


static ngx_command_t  ngx_http_chatmaid_commands[] = {

    { ngx_string("chatmaid_gateway"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_gateway_conf_gateway,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_api_key_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_gateway_conf_api_key_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_environment"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_conf_slot_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, environment),
      &ngx_http_chatmaid_environment },

    { ngx_string("chatmaid_account"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_gateway_conf_account,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_sender"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_chatmaid_gateway_conf_sender,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_recipients"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_conf_slot_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, recipients),
      &ngx_http_chatmaid_recipients },

    { ngx_string("chatmaid_scope"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_chatmaid_conf_slot_bitmask,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, scope),
      &ngx_http_chatmaid_scopes },

    { ngx_string("chatmaid_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_zone_conf_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_redis"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_chatmaid_redis_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_idempotency"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_chatmaid_conf_slot_flag,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, idempotency),
      NULL },

    { ngx_string("chatmaid_idempotency_scope"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, key_scope),
      NULL },

    { ngx_string("chatmaid_idempotency_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, ttl),
      &ngx_http_chatmaid_not_zero },

    { ngx_string("chatmaid_idempotency_window"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, window),
      &ngx_http_chatmaid_window },

    { ngx_string("chatmaid_idempotency_wait"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, wait),
      NULL },

    { ngx_string("chatmaid_retries"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, retries),
      NULL },

    { ngx_string("chatmaid_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, timeout),
      &ngx_http_chatmaid_not_zero },

    { ngx_string("chatmaid_wait_max"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, wait_max),
      NULL },

    { ngx_string("chatmaid_rate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_chatmaid_pace_conf_rate,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_webhook"),
      NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_chatmaid_conf_slot_flag,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, webhook),
      NULL },

    { ngx_string("chatmaid_webhook_secret_file"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_chatmaid_webhook_conf_secret_file,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_webhook_tolerance"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_sec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, webhook_tolerance),
      NULL },

    { ngx_string("chatmaid_webhook_dedup"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_chatmaid_loc_conf_t, webhook_dedup),
      NULL },

    { ngx_string("chatmaid_webhook_stream"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_chatmaid_webhook_conf_inbox,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("chatmaid_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_chatmaid_status_conf,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_chatmaid_module_ctx = {
    ngx_http_chatmaid_add_variables,       /* preconfiguration */
    ngx_http_chatmaid_init,                /* postconfiguration */

    ngx_http_chatmaid_create_main_conf,    /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_chatmaid_create_loc_conf,     /* create location configuration */
    ngx_http_chatmaid_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_chatmaid_module = {
    NGX_MODULE_V1,
    &ngx_http_chatmaid_module_ctx,         /* module context */
    ngx_http_chatmaid_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_chatmaid_init_module,         /* init module */
    ngx_http_chatmaid_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_chatmaid_exit_process,        /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* Finds nginx's $request_id, which the module reads, and adds its variables. */

static ngx_int_t
ngx_http_chatmaid_add_variables(ngx_conf_t *cf)
{
    ngx_str_t                       name = ngx_string("request_id");
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);

    mcf->request_id = ngx_http_get_variable_index(cf, &name);

    if (mcf->request_id == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_variables_add(cf);
}


static ngx_int_t
ngx_http_chatmaid_init(ngx_conf_t *cf)
{
    ngx_str_t                       zone = ngx_string("chatmaid");
    ngx_http_handler_pt            *h;
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_chatmaid_phase_t      *ph;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);

    if (ngx_http_chatmaid_webhook_conf_check_unused(cf, mcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (mcf->redis || mcf->gateways.nelts || mcf->webhooks.nelts) {
        mcf->alarms = ngx_http_chatmaid_alarm_add(cf);

        if (mcf->alarms == NULL) {
            return NGX_ERROR;
        }
    }

    if (mcf->gateways.nelts == 0 && mcf->webhooks.nelts == 0 && !mcf->status) {
        return NGX_OK;
    }

    if (mcf->zone == NULL) {
        mcf->zone = ngx_http_chatmaid_zone_add(cf, &zone,
                                                     4 * 1024 * 1024);
        if (mcf->zone == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_http_chatmaid_zone_conf_warn(cf);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    mcf->loaded = ngx_time();
    mcf->store = &ngx_http_chatmaid_store_zone;

    if (mcf->redis) {
        mcf->store = &ngx_http_chatmaid_store_redis;

        if (ngx_http_chatmaid_store_script_init(cf->log) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    for (ph = ngx_http_chatmaid_phases; ph->handler; ph++) {

        h = ngx_array_push(&cmcf->phases[ph->phase].handlers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        *h = ph->handler;
    }

    ngx_http_chatmaid_filter_init();

    if (mcf->gateways.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_internal_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_api_key_init(cf);
}


/* Logs which key each account uses.  The new configuration's log can be written
 * to only from now on. */

static ngx_int_t
ngx_http_chatmaid_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_http_chatmaid_account_t    *account;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_chatmaid_module);

    if (mcf == NULL || ngx_test_config) {
        return NGX_OK;
    }

    account = mcf->accounts.elts;

    for (i = 0; i < mcf->accounts.nelts; i++) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "chatmaid account \"%V\" has the key %*s of \"%V\"",
                      &account[i].account,
                      sizeof(account[i].api_key->fingerprint),
                      account[i].api_key->fingerprint,
                      &account[i].api_key->file);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_init_process(ngx_cycle_t *cycle)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_chatmaid_module);

    if (mcf == NULL) {
        return NGX_OK;
    }

    if (mcf->zone) {
        ngx_http_chatmaid_counters_use(
                                  ngx_http_chatmaid_zone_counters(mcf->zone));
    }

    if (mcf->alarms == NULL) {
        return NGX_OK;
    }

    ngx_http_chatmaid_alarm_init(mcf->alarms);

    if (ngx_http_chatmaid_redis_init(cycle, mcf->redis, mcf->alarms)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_store_untold_init(cycle, mcf);
    ngx_http_chatmaid_streams_init(cycle, mcf);

    return NGX_OK;
}


static void
ngx_http_chatmaid_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_chatmaid_module);
    if (mcf) {
        ngx_http_chatmaid_redis_exit(mcf->redis);
    }
}


static void *
ngx_http_chatmaid_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->upstreams, cf->pool, 4,
                       sizeof(ngx_http_chatmaid_upstream_t))
        != NGX_OK
        || ngx_array_init(&mcf->gateways, cf->pool, 4,
                          sizeof(ngx_http_chatmaid_gateway_t *))
           != NGX_OK
        || ngx_array_init(&mcf->accounts, cf->pool, 4,
                          sizeof(ngx_http_chatmaid_account_t))
           != NGX_OK
        || ngx_http_chatmaid_webhook_conf_init(cf, mcf) != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static void *
ngx_http_chatmaid_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->gateway = NULL;
     *     conf->account_name = { 0, NULL };
     *     conf->account = { 0, NULL };
     *     conf->scope = 0;
     *     conf->pace = NULL;
     *     conf->status = 0;
     */

    ngx_http_chatmaid_conf_place_set(&conf->place, cf);

    conf->api_key = NGX_CONF_UNSET_PTR;
    conf->environment = NGX_CONF_UNSET_UINT;
    conf->sender = NGX_CONF_UNSET_PTR;
    conf->sender_fixed = NGX_CONF_UNSET;
    conf->recipients = NGX_CONF_UNSET_UINT;
    conf->idempotency = NGX_CONF_UNSET;
    conf->key_scope = NGX_CONF_UNSET_PTR;
    conf->ttl = NGX_CONF_UNSET_MSEC;
    conf->window = NGX_CONF_UNSET_MSEC;
    conf->wait = NGX_CONF_UNSET_MSEC;
    conf->retries = NGX_CONF_UNSET;
    conf->timeout = NGX_CONF_UNSET_MSEC;
    conf->wait_max = NGX_CONF_UNSET_MSEC;
    conf->rate = NGX_CONF_UNSET_PTR;
    conf->webhook = NGX_CONF_UNSET;
    conf->webhook_secrets = NGX_CONF_UNSET_PTR;
    conf->webhook_tolerance = NGX_CONF_UNSET;
    conf->webhook_dedup = NGX_CONF_UNSET_MSEC;
    conf->webhook_inbox = NGX_CONF_UNSET_PTR;

    return conf;
}


static char *
ngx_http_chatmaid_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_chatmaid_loc_conf_t  *prev = parent;
    ngx_http_chatmaid_loc_conf_t  *conf = child;

    ngx_conf_t                 at;
    ngx_http_core_loc_conf_t  *clcf;

    at = ngx_http_chatmaid_conf_place_at(&conf->place, cf);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* "if" and "limit_except" are locations without a handler of their own */

    if (clcf->noname && prev->gateway) {

        if (clcf->handler) {
            return ngx_http_chatmaid_conf_place_shared(&at, clcf,
                                                       "chatmaid_gateway");
        }

        conf->gateway = prev->gateway;
        clcf->handler = ngx_http_chatmaid_gateway_handler;
    }

    if (clcf->noname && prev->status) {

        if (clcf->handler) {
            return ngx_http_chatmaid_conf_place_shared(&at, clcf,
                                                       "chatmaid_status");
        }

        conf->status = 1;
        clcf->handler = ngx_http_chatmaid_status_handler;
    }

    ngx_conf_merge_ptr_value(conf->api_key, prev->api_key, NULL);
    ngx_conf_merge_uint_value(conf->environment, prev->environment,
                              NGX_HTTP_CHATMAID_ANY);
    ngx_conf_merge_str_value(conf->account_name, prev->account_name, "");
    ngx_conf_merge_value(conf->sender_fixed, prev->sender_fixed, 0);
    ngx_conf_merge_ptr_value(conf->sender, prev->sender, NULL);
    ngx_conf_merge_uint_value(conf->recipients, prev->recipients,
                              NGX_HTTP_CHATMAID_RECIPIENTS_CHECKED);
    ngx_conf_merge_bitmask_value(conf->scope, prev->scope,
                                 (NGX_CONF_BITMASK_SET
                                  |NGX_HTTP_CHATMAID_SEND
                                  |NGX_HTTP_CHATMAID_READ
                                  |NGX_HTTP_CHATMAID_PHONES
                                  |NGX_HTTP_CHATMAID_ACCOUNT));
    ngx_conf_merge_value(conf->idempotency, prev->idempotency, 1);
    ngx_conf_merge_ptr_value(conf->key_scope, prev->key_scope, NULL);
    ngx_conf_merge_msec_value(conf->ttl, prev->ttl, 24 * 3600 * 1000);
    ngx_conf_merge_msec_value(conf->window, prev->window, 120 * 1000);
    ngx_conf_merge_msec_value(conf->wait, prev->wait, 10 * 1000);
    ngx_conf_merge_value(conf->retries, prev->retries, 2);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, 25 * 1000);
    ngx_conf_merge_msec_value(conf->wait_max, prev->wait_max, 60 * 1000);
    ngx_conf_merge_ptr_value(conf->rate, prev->rate, NULL);
    ngx_conf_merge_value(conf->webhook, prev->webhook, 0);
    ngx_conf_merge_ptr_value(conf->webhook_secrets, prev->webhook_secrets,
                             NULL);
    ngx_conf_merge_sec_value(conf->webhook_tolerance, prev->webhook_tolerance,
                             25 * 60);
    ngx_conf_merge_msec_value(conf->webhook_dedup, prev->webhook_dedup,
                              24 * 3600 * 1000);
    ngx_conf_merge_ptr_value(conf->webhook_inbox, prev->webhook_inbox, NULL);

    if (ngx_http_chatmaid_webhook_conf_check(&at, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->status && clcf->handler != ngx_http_chatmaid_status_handler) {
        return ngx_http_chatmaid_conf_place_shared(&at, clcf,
                                                       "chatmaid_status");
    }

    if (conf->gateway == NULL) {
        return NGX_CONF_OK;
    }

    return ngx_http_chatmaid_gateway_conf_check(&at, conf);
}
