
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The first commands on each connection: AUTH, SELECT, PING, ROLE.  No other
 * command is sent before all of these have been answered: after a SELECT that
 * failed it would go to another database, and a replica's records may be old.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_GREETING_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_GREETING_H_INCLUDED_


#include "ngx_http_chatmaid_redis_refusal.h"
#include <hiredis/hiredis.h>


/* The user, the database, and whether the server must be a master. */

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


/* Makes the bytes of a zeroed or freed greeting.  Returns NGX_OK, or NGX_ERROR
 * if there is no memory.  In both cases the caller has to call free(). */
ngx_int_t ngx_http_chatmaid_redis_greeting_make(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_login_t *login, ngx_log_t *log);

/* Wipes and frees the bytes, because they contain the password; to be called
 * as soon as they have been written. */
void ngx_http_chatmaid_redis_greeting_free(
    ngx_http_chatmaid_redis_greeting_t *greeting);

/* Takes a reply to the greeting.  Returns NGX_AGAIN: another one is due;
 * NGX_OK: it was the last; NGX_DECLINED: the server refuses a command, and
 * "trouble" says why, which is valid as long as the reply; NGX_ABORT: the
 * server is not a master; NGX_ERROR: this is not a reply to the greeting. */
ngx_int_t ngx_http_chatmaid_redis_greeting_reply(
    ngx_http_chatmaid_redis_greeting_t *greeting, redisReply *reply,
    ngx_http_chatmaid_redis_trouble_t *trouble);


#endif /* _NGX_HTTP_CHATMAID_REDIS_GREETING_H_INCLUDED_ */
