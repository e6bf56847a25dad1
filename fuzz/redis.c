
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Replies through the Redis client: the first byte says how many commands wait
 * for one, the second where the bytes are cut in two and which allocation fails,
 * the rest is what the server says before it closes the connection, or is
 * silent.
 */


#include "redis_server.h"
#include "ngx_http_chatmaid_redis_conf.h"


#define REDIS_MAX_COMMANDS  4


static void redis_handler(void *data, ngx_uint_t error, redisReply *reply);


static ngx_uint_t  redis_ended[REDIS_MAX_COMMANDS];
static ngx_uint_t  redis_count;

static ngx_http_chatmaid_redis_script_t  redis_script;


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const char  text[] = "return 1";

    redis_server_start();

    redis_script.text.data = (u_char *) text;
    redis_script.text.len = sizeof(text) - 1;
    harness_check(ngx_http_chatmaid_redis_script_init(&redis_script,
                                                      ngx_cycle->log)
                  == NGX_OK);

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                              how, cut;
    ngx_str_t                           bytes;
    ngx_uint_t                          i, turn;
    ngx_pool_t                         *pool;
    harness_input_t                     in;
    ngx_http_chatmaid_redis_t          *redis;
    ngx_http_chatmaid_redis_command_t  *command;

    static const char   *words[] = { "GET", "key" };
    static const size_t  lens[] = { 3, 3 };

    pool = ngx_create_pool(1024, ngx_cycle->log);
    harness_check(pool != NULL);

    harness_input(&in, pool, data, size);
    how = harness_byte(&in);
    cut = harness_byte(&in);
    bytes = harness_rest(&in);

    redis = redis_server_connected()->client;
    redis_count = 1 + how % REDIS_MAX_COMMANDS;
    ngx_memzero(redis_ended, sizeof(redis_ended));

    for (i = 0; i < redis_count; i++) {

        command = ((how & 32) && i == 0)
                  ? ngx_http_chatmaid_redis_script(redis, &redis_script, 1, 1,
                                                   &words[1], &lens[1],
                                                   redis_handler,
                                                   &redis_ended[i])
                  : ngx_http_chatmaid_redis_command(redis, 2, words, lens,
                                                    redis_handler,
                                                    &redis_ended[i]);
        harness_check(command != NULL);

        if ((how & 16) && i == 1) {
            ngx_http_chatmaid_redis_cancel(redis, command);
            redis_ended[i] = 1;
        }
    }

    if (how & 128) {
        harness_fail_memory(1 + cut % 16);
    }

    redis_server_send(&bytes, cut, how & 64);
    harness_fail_memory(0);

    /* each command has one end, at the latest when its time is over */

    for (turn = 0; turn < 4; turn++) {
        harness_skip(61000);
        harness_run();
    }

    for (i = 0; i < redis_count; i++) {
        harness_check(redis_ended[i] == 1);
    }

    ngx_destroy_pool(pool);

    return 0;
}


static void
redis_handler(void *data, ngx_uint_t error, redisReply *reply)
{
    ngx_uint_t *ended = data;

    (*ended)++;

    harness_check((reply != NULL)
                  == (error == NGX_HTTP_CHATMAID_REDIS_OK
                      || error == NGX_HTTP_CHATMAID_REDIS_REFUSED
                      || error == NGX_HTTP_CHATMAID_REDIS_ERROR));

    if (reply) {
        harness_check((error != NGX_HTTP_CHATMAID_REDIS_OK)
                      == (reply->type == REDIS_REPLY_ERROR));
    }
}
