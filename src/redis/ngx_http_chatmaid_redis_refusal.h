
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Errors by which a server says that it can't serve, whatever the command.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_REFUSAL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_REFUSAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t   code;
    unsigned    leave:1;        /* another connection may fare better */
    unsigned    cluster:1;
} ngx_http_chatmaid_redis_refusal_t;


/* The refusal that the text of an error is, or NULL: it is an error of this
 * command alone. */
ngx_http_chatmaid_redis_refusal_t *ngx_http_chatmaid_redis_refusal_find(
    ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_REDIS_REFUSAL_H_INCLUDED_ */
