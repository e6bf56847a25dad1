
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
#define NGX_HTTP_CHATMAID_REDIS_MAX_TAG     128     /* of a stream's key */


struct ngx_http_chatmaid_redis_conf_s {
    ngx_http_chatmaid_redis_url_t  url;
    ngx_http_core_loc_conf_t   *core;        /* of http: its resolver */
    ngx_str_t                   password;    /* empty: no AUTH */
    ngx_str_t                   sentinel_user;
    ngx_str_t                   sentinel_password;

    ngx_msec_t                  timeout;
    ngx_str_t                   prefix;      /* of all keys; for the store */
    ngx_uint_t                  reject;      /* fallback=reject */

#if (NGX_SSL)
    ngx_http_chatmaid_redis_tls_t  *tls;     /* NULL: no TLS */
#endif

    ngx_http_chatmaid_redis_t  *client;      /* of this process */
};


/* ngx_command_t.set: fills cmcf->redis.  NGX_CONF_OK, NGX_CONF_ERROR after a
 * message of its own, or a text that nginx puts behind the directive.  No
 * message holds the URL, for it might have a password in it. */
char *ngx_http_chatmaid_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_CHATMAID_REDIS_CONF_H_INCLUDED_ */
