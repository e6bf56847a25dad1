
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status_conf.h"
#include "ngx_http_chatmaid_status.h"
#include "ngx_http_chatmaid_status_page.h"
#include "ngx_http_chatmaid_conf_place.h"


char *
ngx_http_chatmaid_status_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (lcf->status) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return ngx_http_chatmaid_conf_place_shared(cf, clcf,
                                                   "chatmaid_status");
    }

    ngx_http_chatmaid_status_page_init();

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);

    clcf->handler = ngx_http_chatmaid_status_handler;
    lcf->status = 1;
    mcf->status = 1;

    return NGX_CONF_OK;
}
