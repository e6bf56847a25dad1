
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The directive chatmaid_status.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The setter of the directive. */
char *ngx_http_chatmaid_status_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_CHATMAID_STATUS_CONF_H_INCLUDED_ */
