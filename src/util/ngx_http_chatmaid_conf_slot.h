
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * nginx's setters for words and flags print the argument, whatever it is, and
 * neither the directive nor which words there are.  These name both, and never
 * print what looks like a secret.
 */


#ifndef _NGX_HTTP_CHATMAID_CONF_SLOT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CONF_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Directive handlers (ngx_command_t.set) that take the place of
 * ngx_conf_set_enum_slot(), ngx_conf_set_bitmask_slot() and
 * ngx_conf_set_flag_slot(): NGX_CONF_OK; NGX_CONF_ERROR after a message of
 * their own; or a text for nginx to put behind the directive. */
char *ngx_http_chatmaid_conf_slot_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_chatmaid_conf_slot_bitmask(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_chatmaid_conf_slot_flag(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_CHATMAID_CONF_SLOT_H_INCLUDED_ */
