
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Scripts as commands: EVALSHA, and EVAL with the same arguments for a server
 * that does not know the script yet.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_SCRIPT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_SCRIPT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>


#define NGX_HTTP_CHATMAID_REDIS_MAX_ARGS     32  /* of a script, and keys */


/* A script, and the name that Redis has for it.  One that "lasts" is worth
 * running when nobody waits for it any more. */

typedef struct {
    ngx_str_t                          text;
    ngx_uint_t                         lasts;
    u_char                             sha1[40];
} ngx_http_chatmaid_redis_script_t;


/* A command that runs one. */

typedef struct {
    ngx_http_chatmaid_redis_script_t  *script;
    char                              *evalsha;  /* its bytes, hiredis' */
    size_t                             len;      /* of these */
    ngx_uint_t                         nwords;   /* of the command */
} ngx_http_chatmaid_redis_script_call_t;


/* Computes script->sha1 of script->text; once, at configuration.  NGX_OK, or
 * NGX_ERROR where OpenSSL fails (logged). */
ngx_int_t ngx_http_chatmaid_redis_script_init(
    ngx_http_chatmaid_redis_script_t *script, ngx_log_t *log);

/* Formats EVALSHA with nkeys keys and then arguments, argc in all, which are
 * copied; "script" must outlive the call (of one that doesn't last: until
 * nobody waits for it).  NGX_ERROR: no memory, or too many of
 * them (logged). */
ngx_int_t ngx_http_chatmaid_redis_script_format(
    ngx_http_chatmaid_redis_script_call_t *call,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len, ngx_log_t *log);

/* Appends the same call as EVAL to a redis_buffer.  NGX_ERROR: no memory, and
 * the buffer is as it was. */
ngx_int_t ngx_http_chatmaid_redis_script_eval(
    ngx_http_chatmaid_redis_script_call_t *call, ngx_buf_t *b, ngx_log_t *log);

/* Frees what format() has made, if it has. */
void ngx_http_chatmaid_redis_script_free(
    ngx_http_chatmaid_redis_script_call_t *call);

/* Whether a reply to EVALSHA says that the server does not know the script. */
ngx_uint_t ngx_http_chatmaid_redis_script_is_unknown(redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_SCRIPT_H_INCLUDED_ */
