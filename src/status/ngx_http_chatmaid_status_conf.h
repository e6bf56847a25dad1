
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * chatmaid_status.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The directive's setter. */
char *ngx_http_chatmaid_status_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Logs that the location has another content handler too; returns
 * NGX_CONF_ERROR. */
char *ngx_http_chatmaid_status_conf_shared(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf);


#endif /* _NGX_HTTP_CHATMAID_STATUS_CONF_H_INCLUDED_ */
