
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The directives of a gateway, and the checks that need more than one of them.
 */


#ifndef _NGX_HTTP_CHATMAID_GATEWAY_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_GATEWAY_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Directive handlers (ngx_command_t.set): NGX_CONF_OK; NGX_CONF_ERROR after a
 * message of their own; or a text that nginx appends to the directive's name in
 * its own message. */

char *ngx_http_chatmaid_gateway_conf_gateway(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_chatmaid_gateway_conf_api_key_file(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_chatmaid_gateway_conf_account(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_chatmaid_gateway_conf_sender(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_conf_post_t: refuses a time above 0 and below 1 second. */
char *ngx_http_chatmaid_gateway_conf_window(ngx_conf_t *cf, void *post,
    void *data);

/* ngx_conf_post_t: refuses a time of 0. */
char *ngx_http_chatmaid_gateway_conf_not_zero(ngx_conf_t *cf, void *post,
    void *data);

/* At the end of merge: checks that a gateway has all that it needs, and sets
 * account, account_id and pace of "conf".  NGX_CONF_OK, or NGX_CONF_ERROR after
 * a message. */
char *ngx_http_chatmaid_gateway_conf_check(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf);


#endif /* _NGX_HTTP_CHATMAID_GATEWAY_CONF_H_INCLUDED_ */
