
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


/* The length of the two words that each call of a script begins with: EVALSHA,
 * and the script's name, which is a SHA-1 in hexadecimal. */
#define NGX_HTTP_CHATMAID_REDIS_SCRIPT_HEAD                                   \
    (sizeof("$7" CRLF "EVALSHA" CRLF "$40" CRLF CRLF) - 1 + 40)


/* A script, and the bytes that its calls begin with.  A script that "lasts" is
 * worth running even when nobody waits for its reply any more. */

typedef struct {
    ngx_str_t                          text;
    ngx_uint_t                         lasts;
    u_char                             head
                                          [NGX_HTTP_CHATMAID_REDIS_SCRIPT_HEAD];
} ngx_http_chatmaid_redis_script_t;


/* A command that runs a script. */

typedef struct {
    ngx_http_chatmaid_redis_script_t  *script;
    u_char                            *evalsha;  /* the bytes of EVALSHA */
    size_t                             len;      /* how many there are */
    ngx_uint_t                         nwords;   /* of the command */
} ngx_http_chatmaid_redis_script_call_t;


/* Makes script->head from script->text; to be called once, at configuration.
 * Returns NGX_OK, or NGX_ERROR if OpenSSL fails (logged) or there is no
 * memory. */
ngx_int_t ngx_http_chatmaid_redis_script_init(
    ngx_http_chatmaid_redis_script_t *script, ngx_log_t *log);

/* How many bytes format() needs at most for argc keys and arguments. */
size_t ngx_http_chatmaid_redis_script_size(ngx_uint_t argc, const size_t *len);

/* Fills "call", and writes EVALSHA with nkeys keys and then the arguments, argc
 * in all, to p, which must have room for size() bytes and last as long as the
 * call.  "script" must outlive the call; if it does not "last", only until
 * nobody waits for the reply. */
void ngx_http_chatmaid_redis_script_format(
    ngx_http_chatmaid_redis_script_call_t *call,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len, u_char *p);

/* Appends the same call as EVAL to b, see redis_buffer.h.  Returns NGX_OK, or
 * NGX_ERROR if there is no memory; then nothing has been appended. */
ngx_int_t ngx_http_chatmaid_redis_script_eval(
    ngx_http_chatmaid_redis_script_call_t *call, ngx_buf_t *b, ngx_log_t *log);

/* Whether a reply to EVALSHA says that the server does not know the script. */
ngx_uint_t ngx_http_chatmaid_redis_script_is_unknown(redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_SCRIPT_H_INCLUDED_ */
