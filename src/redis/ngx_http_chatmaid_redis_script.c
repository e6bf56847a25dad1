
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_script.h"
#include "ngx_http_chatmaid_redis_buffer.h"
#include <openssl/evp.h>


/* EVALSHA, the script's name, and the number of keys. */
#define NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORDS  3


ngx_int_t
ngx_http_chatmaid_redis_script_init(ngx_http_chatmaid_redis_script_t *script,
    ngx_log_t *log)
{
    u_char  md[20];

    if (EVP_Digest(script->text.data, script->text.len, md, NULL, EVP_sha1(),
                   NULL)
        != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "chatmaid EVP_Digest() failed");
        return NGX_ERROR;
    }

    ngx_hex_dump(script->sha1, md, sizeof(md));

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_redis_script_format(
    ngx_http_chatmaid_redis_script_call_t *call,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len, ngx_log_t *log)
{
    size_t       lens[NGX_HTTP_CHATMAID_REDIS_MAX_ARGS
                      + NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORDS];
    u_char       number[NGX_INT_T_LEN];
    long long    n;
    const char  *args[NGX_HTTP_CHATMAID_REDIS_MAX_ARGS
                      + NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORDS];

    if (argc > NGX_HTTP_CHATMAID_REDIS_MAX_ARGS) {
        ngx_log_error(NGX_LOG_ALERT, log, 0,
                      "chatmaid script with %ui arguments", argc);
        return NGX_ERROR;
    }

    args[0] = "EVALSHA";
    lens[0] = sizeof("EVALSHA") - 1;

    args[1] = (char *) script->sha1;
    lens[1] = sizeof(script->sha1);

    args[2] = (char *) number;
    lens[2] = ngx_sprintf(number, "%ui", nkeys) - number;

    ngx_memcpy(&args[3], argv, argc * sizeof(char *));
    ngx_memcpy(&lens[3], len, argc * sizeof(size_t));

    call->script = script;
    call->nwords = argc + NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORDS;

    n = redisFormatCommandArgv(&call->evalsha, call->nwords, args, lens);

    if (n < 0) {
        call->evalsha = NULL;
        return NGX_ERROR;
    }

    call->len = n;

    return NGX_OK;
}


/* EVALSHA and EVAL have all words in common but the first two. */

ngx_int_t
ngx_http_chatmaid_redis_script_eval(
    ngx_http_chatmaid_redis_script_call_t *call, ngx_buf_t *b, ngx_log_t *log)
{
    size_t      n, used;
    u_char      head[sizeof("*" CRLF "$4" CRLF "EVAL" CRLF "$" CRLF)
                     + NGX_INT_T_LEN + NGX_SIZE_T_LEN];
    u_char      skip[NGX_INT_T_LEN];
    u_char     *p;
    ngx_str_t  *text;

    text = &call->script->text;

    p = ngx_sprintf(head, "*%ui" CRLF "$4" CRLF "EVAL" CRLF "$%uz" CRLF,
                    call->nwords, text->len);

    n = ngx_sprintf(skip, "%ui", call->nwords) - skip;
    n += sizeof("*" CRLF "$7" CRLF "EVALSHA" CRLF "$40" CRLF CRLF) - 1
         + sizeof(call->script->sha1);

    used = b->last - b->pos;

    if (ngx_http_chatmaid_redis_buffer_append(b, head, p - head, log) != NGX_OK
        || ngx_http_chatmaid_redis_buffer_append(b, text->data, text->len, log)
           != NGX_OK
        || ngx_http_chatmaid_redis_buffer_append(b, CRLF, sizeof(CRLF) - 1, log)
           != NGX_OK
        || ngx_http_chatmaid_redis_buffer_append(b, call->evalsha + n,
                                                 call->len - n, log)
           != NGX_OK)
    {
        b->last = b->pos + used;
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_script_free(
    ngx_http_chatmaid_redis_script_call_t *call)
{
    if (call->evalsha) {
        redisFreeCommand(call->evalsha);
        call->evalsha = NULL;
    }
}


ngx_uint_t
ngx_http_chatmaid_redis_script_is_unknown(redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR
           && reply->len >= sizeof("NOSCRIPT") - 1
           && ngx_strncmp(reply->str, "NOSCRIPT", sizeof("NOSCRIPT") - 1) == 0;
}
