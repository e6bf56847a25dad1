
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Files that hold a secret, read while the configuration is read.
 */


#ifndef _NGX_HTTP_CHATMAID_SECRET_FILE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SECRET_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_SECRET_FILE_MAX  4096


/* Reads the one line of a secret file; README has the rules for such files.
 * With "ascii" it may hold visible ASCII characters only.  "path" becomes
 * absolute.  secret->data has NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1 bytes of
 * cf->pool; the caller wipes and frees it.  NGX_OK, or NGX_ERROR after a
 * message that names the directive. */
ngx_int_t ngx_http_chatmaid_secret_file_read(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_str_t *path, ngx_str_t *secret, ngx_uint_t ascii);


#endif /* _NGX_HTTP_CHATMAID_SECRET_FILE_H_INCLUDED_ */
