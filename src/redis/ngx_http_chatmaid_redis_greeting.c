
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_greeting.h"
#include <openssl/crypto.h>


static ngx_int_t ngx_http_chatmaid_redis_greeting_auth(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_log_t *log);
static ngx_int_t ngx_http_chatmaid_redis_greeting_add(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_greeting_step_e step, ngx_uint_t argc,
    const char **argv, size_t *len, ngx_log_t *log);


static ngx_str_t  ngx_http_chatmaid_redis_greeting_names[] = {
    ngx_string("AUTH"),
    ngx_string("SELECT"),
    ngx_string("PING")
};


ngx_int_t
ngx_http_chatmaid_redis_greeting_make(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_log_t *log)
{
    size_t       len[2];
    const char  *argv[2];

    greeting->nsteps = 0;
    greeting->step = 0;

    if (conf->password.len
        && ngx_http_chatmaid_redis_greeting_auth(greeting, conf, log)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->db.len) {
        argv[1] = (char *) conf->db.data;
        len[1] = conf->db.len;

        if (ngx_http_chatmaid_redis_greeting_add(greeting,
                                       NGX_HTTP_CHATMAID_REDIS_GREETING_SELECT,
                                       2, argv, len, log)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_chatmaid_redis_greeting_add(greeting,
                                         NGX_HTTP_CHATMAID_REDIS_GREETING_PING,
                                         1, argv, len, log);
}


static ngx_int_t
ngx_http_chatmaid_redis_greeting_auth(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_log_t *log)
{
    size_t       len[3];
    ngx_uint_t   n;
    const char  *argv[3];

    n = 1;

    if (conf->user.len) {
        argv[n] = (char *) conf->user.data;
        len[n++] = conf->user.len;
    }

    argv[n] = (char *) conf->password.data;
    len[n++] = conf->password.len;

    return ngx_http_chatmaid_redis_greeting_add(greeting,
                                         NGX_HTTP_CHATMAID_REDIS_GREETING_AUTH,
                                         n, argv, len, log);
}


/* argv[0] and len[0] are the step's name. */

static ngx_int_t
ngx_http_chatmaid_redis_greeting_add(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_greeting_step_e step, ngx_uint_t argc,
    const char **argv, size_t *len, ngx_log_t *log)
{
    char       *bytes;
    size_t      used;
    u_char     *p;
    long long   n;
    ngx_buf_t  *b;
    ngx_str_t  *name;

    name = &ngx_http_chatmaid_redis_greeting_names[step];

    argv[0] = (char *) name->data;
    len[0] = name->len;

    n = redisFormatCommandArgv(&bytes, argc, argv, len);
    if (n < 0) {
        return NGX_ERROR;
    }

    b = &greeting->bytes;
    used = b->last - b->pos;

    p = ngx_alloc(used + n, log);

    if (p) {
        if (used) {
            ngx_memcpy(p, b->pos, used);
        }

        ngx_memcpy(p + used, bytes, n);

        ngx_http_chatmaid_redis_greeting_free(greeting);

        b->start = p;
        b->pos = p;
        b->last = p + used + n;
        b->end = b->last;

        greeting->steps[greeting->nsteps++] = step;
    }

    OPENSSL_cleanse(bytes, n);
    redisFreeCommand(bytes);

    return p ? NGX_OK : NGX_ERROR;
}


void
ngx_http_chatmaid_redis_greeting_free(
    ngx_http_chatmaid_redis_greeting_t *greeting)
{
    ngx_buf_t  *b;

    b = &greeting->bytes;

    if (b->start == NULL) {
        return;
    }

    OPENSSL_cleanse(b->start, b->end - b->start);

    ngx_free(b->start);
    ngx_memzero(b, sizeof(ngx_buf_t));
}


ngx_int_t
ngx_http_chatmaid_redis_greeting_reply(
    ngx_http_chatmaid_redis_greeting_t *greeting, redisReply *reply,
    ngx_str_t *command, ngx_str_t *text)
{
    u_char                                   *p;
    ngx_http_chatmaid_redis_greeting_step_e   step;

    step = greeting->steps[greeting->step];
    *command = ngx_http_chatmaid_redis_greeting_names[step];

    if (reply->type == REDIS_REPLY_ERROR) {
        text->data = (u_char *) reply->str;
        text->len = reply->len;

        if (step == NGX_HTTP_CHATMAID_REDIS_GREETING_AUTH) {

            /* what doesn't know AUTH may repeat the password: one word does */

            p = ngx_strlchr(text->data, text->data + text->len, ' ');

            if (p) {
                text->len = p - text->data;
            }
        }

        /* whoever forbids PING by an ACL is there */

        if (step != NGX_HTTP_CHATMAID_REDIS_GREETING_PING
            || text->len < sizeof("NOPERM") - 1
            || ngx_strncmp(text->data, "NOPERM", sizeof("NOPERM") - 1) != 0)
        {
            return NGX_DECLINED;
        }
    }

    greeting->step++;

    return (greeting->step == greeting->nsteps) ? NGX_OK : NGX_AGAIN;
}
