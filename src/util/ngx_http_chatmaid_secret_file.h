
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Files that hold a secret, read while the configuration is read.
 */


#ifndef _NGX_HTTP_CHATMAID_SECRET_FILE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SECRET_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_SECRET_FILE_MAX  4096     /* bytes */


/* The kind of secret that a file holds: it decides which characters are
 * refused. */

typedef enum {
    NGX_HTTP_CHATMAID_SECRET_FILE_API_KEY = 0,
    NGX_HTTP_CHATMAID_SECRET_FILE_WEBHOOK,
    NGX_HTTP_CHATMAID_SECRET_FILE_PASSWORD
} ngx_http_chatmaid_secret_file_e;


/* Reads the one line of a secret file; docs/directives.md has the rules for
 * such files.  "path" becomes absolute.  secret->data has
 * NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1 bytes of cf->pool; the caller wipes and
 * frees it.  NGX_OK, or NGX_ERROR after a message that names the directive. */
ngx_int_t ngx_http_chatmaid_secret_file_read(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_str_t *path, ngx_str_t *secret,
    ngx_http_chatmaid_secret_file_e kind);

/* Refuses a directive if an argument is itself a key or a secret, so that no
 * later message prints it.  NGX_CONF_OK; NGX_CONF_ERROR after its own message,
 * which does not contain the argument. */
char *ngx_http_chatmaid_secret_file_guard(ngx_conf_t *cf, ngx_command_t *cmd);


#endif /* _NGX_HTTP_CHATMAID_SECRET_FILE_H_INCLUDED_ */
