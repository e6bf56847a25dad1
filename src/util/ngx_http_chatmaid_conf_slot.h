
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Setters for words and flags.  If the argument is wrong, nginx's own setters
 * print it whatever it is, and name neither the directive nor the permitted
 * words.  These setters name both, and never print what looks like a secret.
 */


#ifndef _NGX_HTTP_CHATMAID_CONF_SLOT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CONF_SLOT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Directive handlers (ngx_command_t.set) to be used instead of
 * ngx_conf_set_enum_slot(), ngx_conf_set_bitmask_slot() and
 * ngx_conf_set_flag_slot().  NGX_CONF_OK; NGX_CONF_ERROR after their own
 * message; or a text that nginx logs after the directive's name. */
char *ngx_http_chatmaid_conf_slot_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_chatmaid_conf_slot_bitmask(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_chatmaid_conf_slot_flag(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_CHATMAID_CONF_SLOT_H_INCLUDED_ */
