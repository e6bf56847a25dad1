
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Why a server does not serve, for the log; and the errors with which a server
 * refuses commands of any kind.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_REFUSAL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_REFUSAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    const char  *reason;        /* what is wrong */
    ngx_str_t    command;       /* empty, or what the server has refused */
    ngx_str_t    text;          /* empty, or its error: bytes from outside */
    ngx_err_t    err;           /* an errno or 0 */
    const char  *advice;        /* NULL, or what it means, what to do */
} ngx_http_chatmaid_redis_trouble_t;


typedef struct {
    ngx_str_t    code;
    unsigned     leave:1;       /* close: a new connection may do better */
    unsigned     replica:1;     /* the server is no longer a master */
    const char  *advice;        /* what it means, what to do */
} ngx_http_chatmaid_redis_refusal_t;


/* Returns the refusal that an error with this text means, in static memory, or
 * NULL if the error concerns this command alone. */
ngx_http_chatmaid_redis_refusal_t *ngx_http_chatmaid_redis_refusal_find(
    ngx_str_t *text);


#endif /* _NGX_HTTP_CHATMAID_REDIS_REFUSAL_H_INCLUDED_ */
