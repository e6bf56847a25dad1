
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The directive chatmaid_rate.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Directive handler (ngx_command_t.set): NGX_CONF_OK; NGX_CONF_ERROR after a
 * message of its own; or a text that nginx appends to the directive's name in
 * its own message. */
char *ngx_http_chatmaid_pace_conf_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Sets conf->pace to the account's pace.  If the location has a rate, it
 * becomes the account's.  NGX_CONF_OK; NGX_CONF_ERROR: the account already has
 * another rate (logged). */
char *ngx_http_chatmaid_pace_conf_join(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_chatmaid_account_t *account);


#endif /* _NGX_HTTP_CHATMAID_PACE_CONF_H_INCLUDED_ */
