
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The webhook directives that nginx's own setters can't parse, and the checks
 * of all webhook directives.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The setters of chatmaid_webhook_secret_file and chatmaid_webhook_stream. */
char *ngx_http_chatmaid_webhook_conf_secret_file(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_chatmaid_webhook_conf_inbox(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);

/* Creates the arrays of mcf that the directives fill.  NGX_OK; NGX_ERROR: no
 * memory. */
ngx_int_t ngx_http_chatmaid_webhook_conf_init(ngx_conf_t *cf,
    ngx_http_chatmaid_main_conf_t *mcf);

/* At the end of merge: checks that the location has all that it needs and that
 * its directives fit together.  NGX_CONF_OK; NGX_CONF_ERROR (logged). */
char *ngx_http_chatmaid_webhook_conf_check(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf);

/* After the whole configuration has been read: warns of a secret or a stream
 * that no location uses.  A stream set in a location that does not verify
 * webhooks is an error.  NGX_OK; NGX_ERROR (logged). */
ngx_int_t ngx_http_chatmaid_webhook_conf_check_unused(ngx_conf_t *cf,
    ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_CONF_H_INCLUDED_ */
