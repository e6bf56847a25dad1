
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The directive chatmaid_redis.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_CONF_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_CONF_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_redis_tls.h"
#include "ngx_http_chatmaid_redis_url.h"


#define NGX_HTTP_CHATMAID_REDIS_MAX_PREFIX  128     /* bytes */
#define NGX_HTTP_CHATMAID_REDIS_MAX_TAG     128     /* bytes, of a stream key */


struct ngx_http_chatmaid_redis_conf_s {
    ngx_http_chatmaid_redis_url_t  url;
    ngx_http_core_loc_conf_t   *core;        /* http block: has the resolver */
    ngx_str_t                   password;    /* empty: no AUTH */
    ngx_str_t                   sentinel_user;
    ngx_str_t                   sentinel_password;

    ngx_msec_t                  timeout;     /* of a command, milliseconds */
    ngx_str_t                   prefix;      /* of all keys; for the store */
    ngx_uint_t                  reject;      /* fallback=reject */

#if (NGX_SSL)
    ngx_http_chatmaid_redis_tls_t  *tls;     /* NULL: no TLS */
#endif

    ngx_http_chatmaid_redis_t  *client;      /* of this process */
};


/* ngx_command_t.set: sets "redis" of the main configuration "conf".  Returns
 * NGX_CONF_OK, NGX_CONF_ERROR after it has logged a message, or a text that
 * nginx appends to the name of the directive.  No message contains the URL,
 * because it might contain a password. */
char *ngx_http_chatmaid_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CONF_H_INCLUDED_ */
