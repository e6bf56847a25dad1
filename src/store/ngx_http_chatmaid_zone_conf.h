
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The directive chatmaid_zone.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Directive handler (ngx_command_t.set).  NGX_CONF_OK; NGX_CONF_ERROR after its
 * own message; or a text that nginx logs after the directive's name. */
char *ngx_http_chatmaid_zone_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Warns if this reload loses the records of the zone because its name or size
 * has changed.  Does nothing if there is a chatmaid_redis. */
void ngx_http_chatmaid_zone_conf_warn(ngx_conf_t *cf);


#endif /* _NGX_HTTP_CHATMAID_ZONE_CONF_H_INCLUDED_ */
