
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_greeting.h"
#include <openssl/crypto.h>


static ngx_int_t ngx_http_chatmaid_redis_greeting_auth(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_login_t *login, ngx_log_t *log);
static ngx_int_t ngx_http_chatmaid_redis_greeting_add(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_greeting_step_e step, ngx_uint_t argc,
    const char **argv, size_t *len, ngx_log_t *log);
static ngx_int_t ngx_http_chatmaid_redis_greeting_role(redisReply *reply);
static ngx_uint_t ngx_http_chatmaid_redis_greeting_is_refused(
    ngx_http_chatmaid_redis_greeting_step_e step, redisReply *reply,
    ngx_http_chatmaid_redis_trouble_t *trouble);


/* The commands, and what an error means that refusal_find() does not know. */

static struct {
    ngx_str_t    name;
    const char  *advice;
} ngx_http_chatmaid_redis_greeting_commands[] = {
    { ngx_string("AUTH"), "it may want no password_file" },
    { ngx_string("SELECT"), "see the database behind the \"/\" of the URL" },
    { ngx_string("PING"), NULL },
    { ngx_string("ROLE"), NULL }
};


ngx_int_t
ngx_http_chatmaid_redis_greeting_make(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_login_t *login, ngx_log_t *log)
{
    size_t       len[2];
    const char  *argv[2];

    greeting->nsteps = 0;
    greeting->step = 0;

    if (login->password.len
        && ngx_http_chatmaid_redis_greeting_auth(greeting, login, log)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (login->db.len) {
        argv[1] = (char *) login->db.data;
        len[1] = login->db.len;

        if (ngx_http_chatmaid_redis_greeting_add(greeting,
                                       NGX_HTTP_CHATMAID_REDIS_GREETING_SELECT,
                                       2, argv, len, log)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_chatmaid_redis_greeting_add(greeting,
                                         NGX_HTTP_CHATMAID_REDIS_GREETING_PING,
                                         1, argv, len, log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!login->master) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_redis_greeting_add(greeting,
                                         NGX_HTTP_CHATMAID_REDIS_GREETING_ROLE,
                                         1, argv, len, log);
}


static ngx_int_t
ngx_http_chatmaid_redis_greeting_auth(
    ngx_http_chatmaid_redis_greeting_t *greeting,
    ngx_http_chatmaid_redis_login_t *login, ngx_log_t *log)
{
    size_t       len[3];
    ngx_uint_t   n;
    const char  *argv[3];

    n = 1;

    if (login->user.len) {
        argv[n] = (char *) login->user.data;
        len[n++] = login->user.len;
    }

    argv[n] = (char *) login->password.data;
    len[n++] = login->password.len;

    return ngx_http_chatmaid_redis_greeting_add(greeting,
                                         NGX_HTTP_CHATMAID_REDIS_GREETING_AUTH,
                                         n, argv, len, log);
}


/* Sets argv[0] and len[0] to the name of the step's command. */

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

    name = &ngx_http_chatmaid_redis_greeting_commands[step].name;

    argv[0] = (char *) name->data;
    len[0] = name->len;

    n = redisFormatSdsCommandArgv(&bytes, argc, argv, len);
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
    redisFreeSdsCommand(bytes);

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
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_int_t                                rc;
    ngx_http_chatmaid_redis_greeting_step_e  step;

    step = greeting->steps[greeting->step];

    switch (reply->type) {

    case REDIS_REPLY_STATUS:

        if (step == NGX_HTTP_CHATMAID_REDIS_GREETING_ROLE) {
            return NGX_ERROR;
        }

        break;

    case REDIS_REPLY_ARRAY:

        rc = (step == NGX_HTTP_CHATMAID_REDIS_GREETING_ROLE)
             ? ngx_http_chatmaid_redis_greeting_role(reply) : NGX_ERROR;

        if (rc != NGX_OK) {
            return rc;
        }

        break;

    case REDIS_REPLY_ERROR:

        if (ngx_http_chatmaid_redis_greeting_is_refused(step, reply, trouble)) {
            return NGX_DECLINED;
        }

        break;

    default:
        return NGX_ERROR;
    }

    greeting->step++;

    return (greeting->step == greeting->nsteps) ? NGX_OK : NGX_AGAIN;
}


/* The reply is an array that begins with "master", "slave" or "sentinel". */

static ngx_int_t
ngx_http_chatmaid_redis_greeting_role(redisReply *reply)
{
    redisReply  *role;

    static ngx_str_t  master = ngx_string("master");

    if (reply->elements == 0
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        return NGX_ERROR;
    }

    role = reply->element[0];

    return (role->len == master.len
            && ngx_strncmp(role->str, master.data, master.len) == 0)
           ? NGX_OK : NGX_ABORT;
}


static ngx_uint_t
ngx_http_chatmaid_redis_greeting_is_refused(
    ngx_http_chatmaid_redis_greeting_step_e step, redisReply *reply,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    u_char                             *p;
    ngx_str_t                           text;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    static ngx_str_t  noperm = ngx_string("NOPERM");

    text.data = (u_char *) reply->str;
    text.len = reply->len;

    /* a server whose ACL forbids PING is up */

    if (step == NGX_HTTP_CHATMAID_REDIS_GREETING_PING
        && text.len >= noperm.len
        && ngx_strncmp(text.data, noperm.data, noperm.len) == 0)
    {
        return 0;
    }

    if (step == NGX_HTTP_CHATMAID_REDIS_GREETING_AUTH) {

        /* a server without AUTH may repeat the password: keep the first word */

        p = ngx_strlchr(text.data, text.data + text.len, ' ');

        if (p) {
            text.len = p - text.data;
        }
    }

    refusal = ngx_http_chatmaid_redis_refusal_find(&text);

    ngx_memzero(trouble, sizeof(ngx_http_chatmaid_redis_trouble_t));

    trouble->reason = "it answers";
    trouble->command = ngx_http_chatmaid_redis_greeting_commands[step].name;
    trouble->text = text;
    trouble->advice = refusal
                      ? refusal->advice
                      : ngx_http_chatmaid_redis_greeting_commands[step].advice;

    return 1;
}
