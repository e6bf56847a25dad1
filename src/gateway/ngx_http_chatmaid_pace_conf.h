
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The directive chatmaid_rate.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Directive handler (ngx_command_t.set): NGX_CONF_OK; NGX_CONF_ERROR after a
 * message of its own; or a text for nginx to put behind the directive. */
char *ngx_http_chatmaid_pace_conf_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Gives the account of a gateway the rate of that location, if it has one, and
 * the location the account's pace.  NGX_CONF_ERROR: the account has another
 * rate (logged). */
char *ngx_http_chatmaid_pace_conf_join(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_chatmaid_account_t *account);


#endif /* _NGX_HTTP_CHATMAID_PACE_CONF_H_INCLUDED_ */
