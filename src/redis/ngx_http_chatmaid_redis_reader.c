
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_reader.h"


/* The type of redisReplyObjectFunctions' argument has changed. */
#if (HIREDIS_MAJOR < 1)
typedef int     ngx_http_chatmaid_redis_reader_elements_t;
#else
typedef size_t  ngx_http_chatmaid_redis_reader_elements_t;
#endif


static void *ngx_http_chatmaid_redis_reader_create_array(
    const redisReadTask *task,
    ngx_http_chatmaid_redis_reader_elements_t elements);
static ngx_uint_t ngx_http_chatmaid_redis_reader_depth(
    const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_http_chatmaid_redis_reader_create_string(
    const redisReadTask *task, char *str, size_t len);
static void *ngx_http_chatmaid_redis_reader_create_double(
    const redisReadTask *task, double value, char *str, size_t len);
static void *ngx_http_chatmaid_redis_reader_create_bool(
    const redisReadTask *task, int value);
#endif


static redisReplyObjectFunctions  ngx_http_chatmaid_redis_reader_functions;
static redisReplyObjectFunctions  ngx_http_chatmaid_redis_reader_hiredis;


ngx_int_t
ngx_http_chatmaid_redis_reader_open(ngx_http_chatmaid_redis_reader_t *reader)
{
    redisReader                *hiredis;
    redisReplyObjectFunctions  *functions;

    hiredis = redisReaderCreate();
    if (hiredis == NULL) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_redis_reader_hiredis = *hiredis->fn;

    functions = &ngx_http_chatmaid_redis_reader_functions;
    *functions = *hiredis->fn;

    functions->createArray = ngx_http_chatmaid_redis_reader_create_array;

#if (HIREDIS_MAJOR >= 1)
    functions->createString = ngx_http_chatmaid_redis_reader_create_string;
    functions->createDouble = ngx_http_chatmaid_redis_reader_create_double;
    functions->createBool = ngx_http_chatmaid_redis_reader_create_bool;
#endif

    hiredis->fn = functions;
    hiredis->privdata = reader;

    reader->hiredis = hiredis;
    reader->received = 0;
    reader->elements = 0;

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_reader_close(ngx_http_chatmaid_redis_reader_t *reader)
{
    if (reader->hiredis) {
        redisReaderFree(reader->hiredis);
        reader->hiredis = NULL;
    }
}


ngx_int_t
ngx_http_chatmaid_redis_reader_feed(ngx_http_chatmaid_redis_reader_t *reader,
    u_char *data, size_t n)
{
    reader->received += n;

    if (reader->received > NGX_HTTP_CHATMAID_REDIS_READER_MAX_REPLY) {
        return NGX_DECLINED;
    }

    return redisReaderFeed(reader->hiredis, (char *) data, n) == REDIS_OK
           ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_chatmaid_redis_reader_next(ngx_http_chatmaid_redis_reader_t *reader,
    redisReply **reply)
{
    void  *next;

    next = NULL;

    if (redisReaderGetReply(reader->hiredis, &next) != REDIS_OK) {
        return NGX_ERROR;
    }

    if (next == NULL) {
        return NGX_AGAIN;
    }

    reader->received = 0;
    reader->elements = 0;
    *reply = next;

    return NGX_OK;
}


/* NULL makes it no reply.  hiredis allocates an array when it is announced: so
 * it must not be one of two thousand million elements. */

static void *
ngx_http_chatmaid_redis_reader_create_array(const redisReadTask *task,
    ngx_http_chatmaid_redis_reader_elements_t elements)
{
    ngx_http_chatmaid_redis_reader_t  *reader;

    reader = task->privdata;

    if (task->type != REDIS_REPLY_ARRAY
        || ngx_http_chatmaid_redis_reader_depth(task)
           > NGX_HTTP_CHATMAID_REDIS_READER_MAX_DEPTH)
    {
        return NULL;
    }

    if ((size_t) elements > NGX_HTTP_CHATMAID_REDIS_READER_MAX_ELEMENTS
                            - reader->elements)
    {
        return NULL;
    }

    reader->elements += elements;

    return ngx_http_chatmaid_redis_reader_hiredis.createArray(task, elements);
}


static ngx_uint_t
ngx_http_chatmaid_redis_reader_depth(const redisReadTask *task)
{
    ngx_uint_t  depth;

    for (depth = 0; task; task = task->parent) {
        depth++;
    }

    return depth;
}


#if (HIREDIS_MAJOR >= 1)

/* Verbatim strings and large numbers are RESP3. */

static void *
ngx_http_chatmaid_redis_reader_create_string(const redisReadTask *task,
    char *str, size_t len)
{
    switch (task->type) {

    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        return ngx_http_chatmaid_redis_reader_hiredis.createString(task, str,
                                                                   len);
    default:
        return NULL;
    }
}


static void *
ngx_http_chatmaid_redis_reader_create_double(const redisReadTask *task,
    double value, char *str, size_t len)
{
    return NULL;
}


static void *
ngx_http_chatmaid_redis_reader_create_bool(const redisReadTask *task,
    int value)
{
    return NULL;
}

#endif
