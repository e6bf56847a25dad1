
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "redis_server.h"
#include "ngx_http_chatmaid_redis_conf.h"
#include <poll.h>


#define REDIS_SERVER_TURNS  1000


static ngx_uint_t redis_server_accept(void);
static void redis_server_drain(void);
static void redis_server_write(const void *data, size_t len);
static void redis_server_close(void);


static int  redis_server_listening = -1;
static int  redis_server_client = -1;

static ngx_http_chatmaid_main_conf_t  *redis_server_conf;

/* the replies to PING and ROLE */
static const char  redis_server_greeting[] =
    "+PONG" CRLF
    "*3" CRLF "$6" CRLF "master" CRLF ":0" CRLF "*0" CRLF;


void
redis_server_start(void)
{
    char                  http[256];
    struct sockaddr_un    addr;
    ngx_http_conf_ctx_t  *main;

    ngx_memzero(&addr, sizeof(addr));
    addr.sun_family = AF_UNIX;
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/redis",
             harness_directory());

    redis_server_listening = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK, 0);
    harness_check(redis_server_listening != -1);
    harness_check(bind(redis_server_listening, (struct sockaddr *) &addr,
                       sizeof(addr))
                  == 0);
    harness_check(listen(redis_server_listening, 8) == 0);

    snprintf(http, sizeof(http), "chatmaid_redis unix:%s timeout=60s;",
             addr.sun_path);

    harness_start(http, NULL);
    harness_start_worker();

    main = (ngx_http_conf_ctx_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                                ngx_http_module);
    redis_server_conf = main->main_conf[ngx_http_chatmaid_module.ctx_index];
}


ngx_http_chatmaid_redis_conf_t *
redis_server_connected(void)
{
    ngx_uint_t  turn;

    harness_run();

    if (redis_server_client != -1
        && ngx_http_chatmaid_redis_up(redis_server_conf->redis->client))
    {
        redis_server_drain();
        return redis_server_conf->redis;
    }

    /* a connection on which the client waits in vain */

    redis_server_close();

    for (turn = 0; turn < REDIS_SERVER_TURNS; turn++) {

        harness_run();

        if (redis_server_accept()) {

            harness_run();
            redis_server_drain();
            redis_server_write(redis_server_greeting,
                               sizeof(redis_server_greeting) - 1);
            harness_run();
            harness_run();

            return redis_server_conf->redis;
        }

        /* the pause before the next attempt */

        harness_skip(3000);
    }

    harness_check(!"the client does not connect");
    return NULL;
}


static ngx_uint_t
redis_server_accept(void)
{
    int  fd;

    fd = accept4(redis_server_listening, NULL, NULL, SOCK_NONBLOCK);

    if (fd == -1) {
        return 0;
    }

    redis_server_close();
    redis_server_client = fd;

    return 1;
}


void
redis_server_send(ngx_str_t *bytes, size_t first, ngx_uint_t close)
{
    ngx_uint_t  turn;

    first = ngx_min(first, bytes->len);

    harness_run();
    redis_server_drain();

    redis_server_write(bytes->data, first);
    harness_run();
    redis_server_write(bytes->data + first, bytes->len - first);

    for (turn = 0; turn < 3; turn++) {
        harness_run();
    }

    redis_server_drain();

    if (close) {
        redis_server_close();

        for (turn = 0; turn < 3; turn++) {
            harness_run();
        }
    }
}


static void
redis_server_drain(void)
{
    char  buf[4096];

    while (redis_server_client != -1
           && read(redis_server_client, buf, sizeof(buf)) > 0)
    {
        /* void */
    }
}


/* The client may have gone. */

static void
redis_server_write(const void *data, size_t len)
{
    if (redis_server_client != -1 && len) {
        (void) send(redis_server_client, data, len, MSG_NOSIGNAL);
    }
}


static void
redis_server_close(void)
{
    if (redis_server_client != -1) {
        close(redis_server_client);
        redis_server_client = -1;
    }
}
