
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a reply says of its command and of the server.  Scripts too: the first
 * reply to one may be that the server does not know it.
 */


#include "ngx_http_chatmaid_redis_link.h"
#include <openssl/evp.h>


/* After a timeout or refusal the server counts as away for at least so long:
 * else a read that works between two writes that don't would make two lines in
 * the log each time. */
#define NGX_HTTP_CHATMAID_REDIS_CALM  5000


/* Errors by which the server says that it can't serve, whatever the command. */

typedef struct {
    ngx_str_t    code;
    unsigned     leave:1;      /* another connection may fare better */
    unsigned     cluster:1;
} ngx_http_chatmaid_redis_refusal_t;


static ngx_uint_t ngx_http_chatmaid_redis_judge(
    ngx_http_chatmaid_redis_t *redis, redisReply *reply);
static ngx_http_chatmaid_redis_refusal_t *ngx_http_chatmaid_redis_refusal(
    ngx_str_t text);
static ngx_uint_t ngx_http_chatmaid_redis_is_noscript(redisReply *reply);
static ngx_int_t ngx_http_chatmaid_redis_eval(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command);


static ngx_http_chatmaid_redis_refusal_t  ngx_http_chatmaid_redis_refusals[] = {
    { ngx_string("LOADING"), 0, 0 },
    { ngx_string("READONLY"), 1, 0 },        /* a failover: it is a replica */
    { ngx_string("MASTERDOWN"), 1, 0 },
    { ngx_string("NOAUTH"), 1, 0 },          /* AUTH may help */
    { ngx_string("WRONGPASS"), 1, 0 },
    { ngx_string("NOPERM"), 0, 0 },
    { ngx_string("OOM"), 0, 0 },
    { ngx_string("MISCONF"), 0, 0 },
    { ngx_string("NOREPLICAS"), 0, 0 },
    { ngx_string("BUSY"), 0, 0 },
    { ngx_string("MOVED"), 0, 1 },
    { ngx_string("ASK"), 0, 1 },
    { ngx_string("CROSSSLOT"), 0, 1 },
    { ngx_string("CLUSTERDOWN"), 0, 1 },
    { ngx_string("TRYAGAIN"), 0, 1 },
    { ngx_null_string, 0, 0 }
};


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


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_redis_script(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_script_t *script, ngx_uint_t nkeys,
    ngx_uint_t argc, const char **argv, const size_t *len,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    char                               *bytes;
    size_t                              lens[NGX_HTTP_CHATMAID_REDIS_MAX_ARGS
                                             + 3];
    u_char                              number[NGX_INT_T_LEN];
    long long                           n;
    const char                         *args[NGX_HTTP_CHATMAID_REDIS_MAX_ARGS
                                             + 3];
    ngx_http_chatmaid_redis_command_t  *command;

    if (argc > NGX_HTTP_CHATMAID_REDIS_MAX_ARGS) {
        ngx_log_error(NGX_LOG_ALERT, redis->log, 0,
                      "chatmaid script with %ui arguments", argc);
        return NULL;
    }

    args[0] = "EVALSHA";
    lens[0] = sizeof("EVALSHA") - 1;

    args[1] = (char *) script->sha1;
    lens[1] = sizeof(script->sha1);

    args[2] = (char *) number;
    lens[2] = ngx_sprintf(number, "%ui", nkeys) - number;

    ngx_memcpy(&args[3], argv, argc * sizeof(char *));
    ngx_memcpy(&lens[3], len, argc * sizeof(size_t));

    n = redisFormatCommandArgv(&bytes, argc + 3, args, lens);
    if (n < 0) {
        return NULL;
    }

    command = ngx_http_chatmaid_redis_queue(redis, bytes, n, handler, data);

    if (command == NULL) {
        redisFreeCommand(bytes);
        return NULL;
    }

    /* its arguments, should EVAL be needed */

    command->script = script;
    command->evalsha = bytes;
    command->evalsha_len = n;
    command->nargs = argc + 3;

    return command;
}


void
ngx_http_chatmaid_redis_replied(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply)
{
    ngx_uint_t                          error;
    ngx_queue_t                        *q;
    ngx_http_chatmaid_redis_command_t  *command;

    q = ngx_queue_head(&redis->sent);
    ngx_queue_remove(q);

    command = ngx_queue_data(q, ngx_http_chatmaid_redis_command_t, fifo);
    command->in_fifo = 0;

    if (command->ended) {
        /* too late: the handler is about to be told */
        return;
    }

    error = ngx_http_chatmaid_redis_judge(redis, reply);

    if (!command->live) {
        ngx_http_chatmaid_redis_free(command);
        return;
    }

    if (error != NGX_HTTP_CHATMAID_REDIS_REFUSED
        && !redis->up && !redis->flapping
        && (!redis->troubled
            || (ngx_msec_int_t) (ngx_current_msec - redis->trouble)
               >= NGX_HTTP_CHATMAID_REDIS_CALM))
    {
        ngx_http_chatmaid_redis_note_up(redis);
    }

    if (command->script && ngx_http_chatmaid_redis_is_noscript(reply)
        && ngx_http_chatmaid_redis_eval(redis, command) == NGX_OK)
    {
        return;
    }

    ngx_queue_remove(&command->queue);
    command->live = 0;

    command->handler(command->data, error, reply);

    ngx_http_chatmaid_redis_free(command);
}


static ngx_uint_t
ngx_http_chatmaid_redis_judge(ngx_http_chatmaid_redis_t *redis,
    redisReply *reply)
{
    ngx_str_t                           text;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    if (reply->type != REDIS_REPLY_ERROR) {
        return NGX_HTTP_CHATMAID_REDIS_OK;
    }

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    refusal = ngx_http_chatmaid_redis_refusal(text);

    if (refusal == NULL) {
        return NGX_HTTP_CHATMAID_REDIS_ERROR;
    }

    redis->trouble = ngx_current_msec;
    redis->troubled = 1;

    if (refusal->leave) {
        redis->leaving = 1;
    }

    ngx_http_chatmaid_redis_note_away(redis, 0,
        refusal->cluster ? "it is a Redis Cluster, which is not followed:"
                         : "it answers",
        &text);

    return NGX_HTTP_CHATMAID_REDIS_REFUSED;
}


static ngx_http_chatmaid_redis_refusal_t *
ngx_http_chatmaid_redis_refusal(ngx_str_t text)
{
    u_char                             *p;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    static ngx_str_t  wrapped = ngx_string("ERR Error running script ");

    /* before Redis 7, what a command of a script met is within the text */

    if (text.len > wrapped.len
        && ngx_strncmp(text.data, wrapped.data, wrapped.len) == 0)
    {
        p = ngx_strnstr(text.data, ": -", text.len);

        if (p) {
            text.len -= p + 3 - text.data;
            text.data = p + 3;
        }
    }

    for (refusal = ngx_http_chatmaid_redis_refusals;
         refusal->code.len;
         refusal++)
    {
        if (text.len >= refusal->code.len
            && ngx_strncmp(text.data, refusal->code.data, refusal->code.len)
               == 0
            && (text.len == refusal->code.len
                || text.data[refusal->code.len] == ' '))
        {
            return refusal;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_chatmaid_redis_is_noscript(redisReply *reply)
{
    return reply->type == REDIS_REPLY_ERROR
           && reply->len >= sizeof("NOSCRIPT") - 1
           && ngx_strncmp(reply->str, "NOSCRIPT", sizeof("NOSCRIPT") - 1) == 0;
}


/* EVALSHA and EVAL have all words in common but the first two. */

static ngx_int_t
ngx_http_chatmaid_redis_eval(ngx_http_chatmaid_redis_t *redis,
    ngx_http_chatmaid_redis_command_t *command)
{
    size_t      n, size;
    u_char      head[sizeof("*" CRLF "$4" CRLF "EVAL" CRLF "$" CRLF)
                     + NGX_INT_T_LEN + NGX_SIZE_T_LEN];
    u_char      skip[NGX_INT_T_LEN];
    u_char     *p;
    ngx_str_t  *text;

    text = &command->script->text;

    p = ngx_sprintf(head, "*%ui" CRLF "$4" CRLF "EVAL" CRLF "$%uz" CRLF,
                    command->nargs, text->len);

    n = ngx_sprintf(skip, "%ui", command->nargs) - skip;
    n += sizeof("*" CRLF "$7" CRLF "EVALSHA" CRLF "$40" CRLF CRLF) - 1
         + sizeof(command->script->sha1);

    size = redis->out.last - redis->out.pos;

    if (ngx_http_chatmaid_redis_append(redis, &redis->out, head, p - head)
        != NGX_OK
        || ngx_http_chatmaid_redis_append(redis, &redis->out, text->data,
                                          text->len)
           != NGX_OK
        || ngx_http_chatmaid_redis_append(redis, &redis->out, CRLF,
                                          sizeof(CRLF) - 1)
           != NGX_OK
        || ngx_http_chatmaid_redis_append(redis, &redis->out,
                                          command->evalsha + n,
                                          command->evalsha_len - n)
           != NGX_OK)
    {
        redis->out.last = redis->out.pos + size;
        return NGX_ERROR;
    }

    command->script = NULL;

    ngx_http_chatmaid_redis_enqueue(redis, command,
                                    redis->out.last - redis->out.pos - size);

    return NGX_OK;
}
