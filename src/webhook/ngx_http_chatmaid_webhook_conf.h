
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The webhook directives that stock setters can't parse, and the checks of all.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_command_t.set */
char *ngx_http_chatmaid_webhook_conf_secret_file(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_chatmaid_webhook_conf_inbox(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

/* Makes the arrays of mcf.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_webhook_conf_init(ngx_conf_t *cf,
    ngx_http_chatmaid_main_conf_t *mcf);

/* At the end of merge: is the location complete, and without contradictions?
 * NGX_CONF_OK, or NGX_CONF_ERROR after a message. */
char *ngx_http_chatmaid_webhook_conf_check(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf);

/* Once all is read: warns of a secret that no location uses, and refuses the
 * stream of a location that verifies nothing.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_webhook_conf_check_unused(ngx_conf_t *cf,
    ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_CONF_H_INCLUDED_ */
