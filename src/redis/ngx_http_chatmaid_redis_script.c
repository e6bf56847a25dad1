
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_script.h"
#include "ngx_http_chatmaid_digits.h"
#include "ngx_http_chatmaid_redis_buffer.h"
#include <openssl/evp.h>


/* The words before the keys: EVALSHA, the script's name, the number of keys. */
#define NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORDS  3

/* How many bytes RESP adds to a word, at most. */
#define NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORD                                   \
    (sizeof("$" CRLF CRLF) - 1 + NGX_SIZE_T_LEN)


static u_char *ngx_http_chatmaid_redis_script_word(u_char *p, const void *data,
    size_t len);


ngx_int_t
ngx_http_chatmaid_redis_script_init(ngx_http_chatmaid_redis_script_t *script,
    ngx_log_t *log)
{
    char        *bytes;
    u_char       md[20], sha1[2 * 20];
    const char  *argv[2];

    static const size_t  len[] = { sizeof("EVALSHA") - 1, sizeof(sha1) };

    if (EVP_Digest(script->text.data, script->text.len, md, NULL, EVP_sha1(),
                   NULL)
        != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "chatmaid EVP_Digest() failed");
        return NGX_ERROR;
    }

    ngx_hex_dump(sha1, md, sizeof(md));

    argv[0] = "EVALSHA";
    argv[1] = (char *) sha1;

    if (redisFormatSdsCommandArgv(&bytes, 2, argv, len) < 0) {
        return NGX_ERROR;
    }

    ngx_memcpy(script->head, bytes + sizeof("*2" CRLF) - 1,
               NGX_HTTP_CHATMAID_REDIS_SCRIPT_HEAD);

    redisFreeSdsCommand(bytes);

    return NGX_OK;
}


size_t
ngx_http_chatmaid_redis_script_size(ngx_uint_t argc, const size_t *len)
{
    size_t      size;
    ngx_uint_t  i;

    size = sizeof("*" CRLF) - 1 + NGX_INT_T_LEN
           + NGX_HTTP_CHATMAID_REDIS_SCRIPT_HEAD
           + NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORD + NGX_INT_T_LEN;

    for (i = 0; i < argc; i++) {
        size += NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORD + len[i];
    }

    return size;
}


/* hiredis' formatter takes 650 instructions for a word, in all a sixth of what
 * a send with Redis costs.  So it is used for the head alone, at init. */

void
ngx_http_chatmaid_redis_script_format(
    ngx_http_chatmaid_redis_script_call_t *call,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len, u_char *p)
{
    u_char      number[NGX_INT64_LEN], *last;
    ngx_uint_t  i;

    call->script = script;
    call->evalsha = p;
    call->nwords = argc + NGX_HTTP_CHATMAID_REDIS_SCRIPT_WORDS;

    *p++ = '*';
    p = ngx_http_chatmaid_digits_decimal(p, call->nwords);
    *p++ = CR; *p++ = LF;

    p = ngx_cpymem(p, script->head, NGX_HTTP_CHATMAID_REDIS_SCRIPT_HEAD);

    last = ngx_http_chatmaid_digits_decimal(number, nkeys);
    p = ngx_http_chatmaid_redis_script_word(p, number, last - number);

    for (i = 0; i < argc; i++) {
        p = ngx_http_chatmaid_redis_script_word(p, argv[i], len[i]);
    }

    call->len = p - call->evalsha;
}


static u_char *
ngx_http_chatmaid_redis_script_word(u_char *p, const void *data, size_t len)
{
    *p++ = '$';
    p = ngx_http_chatmaid_digits_decimal(p, len);
    *p++ = CR; *p++ = LF;

    if (len) {
        p = ngx_cpymem(p, data, len);
    }

    *p++ = CR; *p++ = LF;

    return p;
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
    n += sizeof("*" CRLF) - 1 + NGX_HTTP_CHATMAID_REDIS_SCRIPT_HEAD;

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


ngx_uint_t
ngx_http_chatmaid_redis_script_is_unknown(redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR
           && reply->len >= sizeof("NOSCRIPT") - 1
           && ngx_strncmp(reply->str, "NOSCRIPT", sizeof("NOSCRIPT") - 1) == 0;
}
