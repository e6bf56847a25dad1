
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * For tests: a request to a location with "zone_probe;" kills its worker while
 * that worker has the zone locked.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_chatmaid_zone.h"


static char *probe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_command_t  probe_commands[] = {

    { ngx_string("zone_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      probe,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_chatmaid_zone_probe_module = {
    NGX_MODULE_V1,
    &probe_module_ctx,                     /* module context */
    probe_commands,                        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
probe_handler(ngx_http_request_t *r)
{
    ngx_http_chatmaid_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    ngx_http_chatmaid_zone_lock(cmcf->zone->data);
    raise(SIGKILL);

    return NGX_ERROR;
}


static char *
probe(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = probe_handler;

    return NGX_CONF_OK;
}
