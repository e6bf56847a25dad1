
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What is said first on each connection: AUTH, SELECT, PING, ROLE.  No command
 * is sent before all of it has been answered: with a SELECT that failed it
 * would go to another database, and a replica's records are not the latest.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_GREETING_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_GREETING_H_INCLUDED_


#include "ngx_http_chatmaid_redis_refusal.h"
#include <hiredis/hiredis.h>


/* As whom, and to what. */

typedef struct {
    ngx_str_t                                user;      /* may be empty */
    ngx_str_t                                password;  /* empty: no AUTH */
    ngx_str_t                                db;        /* empty: no SELECT */

    unsigned                                 master:1;  /* ROLE must say so */
} ngx_http_chatmaid_redis_login_t;


typedef enum {
    NGX_HTTP_CHATMAID_REDIS_GREETING_AUTH = 0,
    NGX_HTTP_CHATMAID_REDIS_GREETING_SELECT,
    NGX_HTTP_CHATMAID_REDIS_GREETING_PING,
    NGX_HTTP_CHATMAID_REDIS_GREETING_ROLE
} ngx_http_chatmaid_redis_greeting_step_e;


typedef struct {
    ngx_buf_t                                bytes;   /* from pos to last */
    ngx_http_chatmaid_redis_greeting_step_e  steps[4];
    ngx_uint_t                               nsteps;
    ngx_uint_t                               step;    /* whose reply is due */
} ngx_http_chatmaid_redis_greeting_t;


/* Makes the bytes, on zeroed or freed memory.  NGX_ERROR: no memory; what has
 * been made is to be freed all the same. */
ngx_int_t ngx_http_chatmaid_redis_greeting_make(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_login_t *login, ngx_log_t *log);

/* Wipes and frees the bytes, once they are written: they hold the password. */
void ngx_http_chatmaid_redis_greeting_free(
    ngx_http_chatmaid_redis_greeting_t *greeting);

/* A reply to the greeting.  NGX_AGAIN: another one is due; NGX_OK: it was the
 * last; NGX_DECLINED: the server refuses a command, and "trouble" says why, as
 * long as the reply lasts; NGX_ABORT: it is no master; NGX_ERROR: this is no
 * reply to it. */
ngx_int_t ngx_http_chatmaid_redis_greeting_reply(
    ngx_http_chatmaid_redis_greeting_t *greeting, redisReply *reply,
    ngx_http_chatmaid_redis_trouble_t *trouble);


#endif /* _NGX_HTTP_CHATMAID_REDIS_GREETING_H_INCLUDED_ */
