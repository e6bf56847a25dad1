
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_reader.h"


/* The type of an argument of createArray() depends on the version. */
#if (HIREDIS_MAJOR < 1)
typedef int     ngx_http_chatmaid_redis_reader_elements_t;
#else
typedef size_t  ngx_http_chatmaid_redis_reader_elements_t;
#endif


static void ngx_http_chatmaid_redis_reader_free_reply(
    ngx_http_chatmaid_redis_reader_t *reader);
static void *ngx_http_chatmaid_redis_reader_create_string(
    const redisReadTask *task, char *str, size_t len);
static void *ngx_http_chatmaid_redis_reader_create_array(
    const redisReadTask *task,
    ngx_http_chatmaid_redis_reader_elements_t elements);
static ngx_uint_t ngx_http_chatmaid_redis_reader_depth(
    const redisReadTask *task);
static void *ngx_http_chatmaid_redis_reader_create_integer(
    const redisReadTask *task, long long value);
static void *ngx_http_chatmaid_redis_reader_create_nil(
    const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_http_chatmaid_redis_reader_create_double(
    const redisReadTask *task, double value, char *str, size_t len);
static void *ngx_http_chatmaid_redis_reader_create_bool(
    const redisReadTask *task, int value);
#endif
static redisReply *ngx_http_chatmaid_redis_reader_create(
    const redisReadTask *task);
static void ngx_http_chatmaid_redis_reader_free_object(void *object);


static redisReplyObjectFunctions  ngx_http_chatmaid_redis_reader_functions = {
    ngx_http_chatmaid_redis_reader_create_string,
    ngx_http_chatmaid_redis_reader_create_array,
    ngx_http_chatmaid_redis_reader_create_integer,
#if (HIREDIS_MAJOR >= 1)
    ngx_http_chatmaid_redis_reader_create_double,
#endif
    ngx_http_chatmaid_redis_reader_create_nil,
#if (HIREDIS_MAJOR >= 1)
    ngx_http_chatmaid_redis_reader_create_bool,
#endif
    ngx_http_chatmaid_redis_reader_free_object
};


ngx_int_t
ngx_http_chatmaid_redis_reader_open(ngx_http_chatmaid_redis_reader_t *reader)
{
    ngx_memzero(reader, sizeof(ngx_http_chatmaid_redis_reader_t));

    reader->hiredis = redisReaderCreateWithFunctions(
                                    &ngx_http_chatmaid_redis_reader_functions);

    if (reader->hiredis == NULL) {
        return NGX_ERROR;
    }

    reader->hiredis->privdata = reader;

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_reader_close(ngx_http_chatmaid_redis_reader_t *reader)
{
    if (reader->hiredis) {
        redisReaderFree(reader->hiredis);
        reader->hiredis = NULL;
    }

    if (reader->pool) {
        ngx_destroy_pool(reader->pool);
        reader->pool = NULL;
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

    if (reader->given) {
        ngx_http_chatmaid_redis_reader_free_reply(reader);
    }

    next = NULL;

    if (redisReaderGetReply(reader->hiredis, &next) != REDIS_OK) {
        return NGX_ERROR;
    }

    if (next == NULL) {
        return NGX_AGAIN;
    }

    reader->given = 1;
    reader->received = 0;
    reader->elements = 0;
    *reply = next;

    return NGX_OK;
}


/* The blocks that a large reply has added to the pool are not kept. */

static void
ngx_http_chatmaid_redis_reader_free_reply(
    ngx_http_chatmaid_redis_reader_t *reader)
{
    reader->given = 0;

    if (reader->pool->d.next == NULL) {
        ngx_reset_pool(reader->pool);
        return;
    }

    ngx_destroy_pool(reader->pool);
    reader->pool = NULL;
}


/*
 * hiredis builds a reply with these functions; if one of them returns NULL, the
 * reply is invalid.  hiredis' own functions allocate each part of a reply
 * separately, which made a claim two thousand instructions more expensive.
 * Verbatim strings and large numbers, which are RESP3, are not accepted.
 */

static void *
ngx_http_chatmaid_redis_reader_create_string(const redisReadTask *task,
    char *str, size_t len)
{
    redisReply                        *reply;
    ngx_http_chatmaid_redis_reader_t  *reader;

    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS
        && task->type != REDIS_REPLY_ERROR)
    {
        return NULL;
    }

    reply = ngx_http_chatmaid_redis_reader_create(task);
    if (reply == NULL) {
        return NULL;
    }

    reader = task->privdata;

    reply->str = ngx_pnalloc(reader->pool, len + 1);
    if (reply->str == NULL) {
        return NULL;
    }

    ngx_memcpy(reply->str, str, len);
    reply->str[len] = '\0';
    reply->len = len;

    return reply;
}


/* An array is allocated when its length is announced, so the length must be
 * limited: a server may announce two thousand million elements. */

static void *
ngx_http_chatmaid_redis_reader_create_array(const redisReadTask *task,
    ngx_http_chatmaid_redis_reader_elements_t elements)
{
    redisReply                        *reply;
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

    reply = ngx_http_chatmaid_redis_reader_create(task);
    if (reply == NULL) {
        return NULL;
    }

    reply->element = ngx_pcalloc(reader->pool, elements * sizeof(redisReply *));
    if (reply->element == NULL) {
        return NULL;
    }

    reply->elements = elements;

    return reply;
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


static void *
ngx_http_chatmaid_redis_reader_create_integer(const redisReadTask *task,
    long long value)
{
    redisReply  *reply;

    reply = ngx_http_chatmaid_redis_reader_create(task);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_http_chatmaid_redis_reader_create_nil(const redisReadTask *task)
{
    redisReply  *reply;

    reply = ngx_http_chatmaid_redis_reader_create(task);

    if (reply) {
        reply->type = REDIS_REPLY_NIL;      /* task->type may be another */
    }

    return reply;
}


#if (HIREDIS_MAJOR >= 1)

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


/* Creates a part of a reply, and adds it to its array, if it is in one. */

static redisReply *
ngx_http_chatmaid_redis_reader_create(const redisReadTask *task)
{
    redisReply                        *reply, *array;
    ngx_http_chatmaid_redis_reader_t  *reader;

    reader = task->privdata;

    if (reader->pool == NULL) {
        reader->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);

        if (reader->pool == NULL) {
            return NULL;
        }
    }

    reply = ngx_pcalloc(reader->pool, sizeof(redisReply));
    if (reply == NULL) {
        return NULL;
    }

    reply->type = task->type;

    if (task->parent) {
        array = task->parent->obj;
        array->element[task->idx] = reply;
    }

    return reply;
}


/* Does nothing: replies are freed with the pool. */

static void
ngx_http_chatmaid_redis_reader_free_object(void *object)
{
}
