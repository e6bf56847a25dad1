
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The reader of hiredis with limits: bytes of a server in, replies out.  With
 * any version of hiredis, only the types of RESP2 are valid, because the module
 * does not ask for RESP3, which newer versions can read.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_READER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_READER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>


/* What exceeds one of these limits is not a valid reply.  MAX_REPLY is in
 * bytes.  The depth is the limit of the oldest hiredis. */

#define NGX_HTTP_CHATMAID_REDIS_READER_MAX_REPLY     (8 * 1024 * 1024)
#define NGX_HTTP_CHATMAID_REDIS_READER_MAX_ELEMENTS  65536  /* in all arrays */
#define NGX_HTTP_CHATMAID_REDIS_READER_MAX_DEPTH     8      /* of arrays */


typedef struct {
    redisReader  *hiredis;          /* NULL: it is closed */
    ngx_pool_t   *pool;             /* of the reply; NULL: there was none */
    size_t        received;         /* bytes of an unfinished reply */
    size_t        elements;         /* and its array elements */
    unsigned      given:1;          /* the caller has a reply */
} ngx_http_chatmaid_redis_reader_t;


/* Opens a zeroed or closed reader for a new connection.  An open reader must
 * not be moved in memory.  Returns NGX_OK, or NGX_ERROR if there is no
 * memory. */
ngx_int_t ngx_http_chatmaid_redis_reader_open(
    ngx_http_chatmaid_redis_reader_t *reader);

/* Frees what open() and next() have made.  The reader may be zeroed or closed
 * already. */
void ngx_http_chatmaid_redis_reader_close(
    ngx_http_chatmaid_redis_reader_t *reader);

/* Adds a copy of n bytes.  Returns NGX_OK; NGX_DECLINED: the reply that they
 * belong to is too large; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_reader_feed(
    ngx_http_chatmaid_redis_reader_t *reader, u_char *data, size_t n);

/* Gets the next whole reply, which is valid until this is called again or the
 * reader is closed.  Returns NGX_OK; NGX_AGAIN: there is none yet; NGX_ERROR:
 * what has come is not a valid reply, or no memory. */
ngx_int_t ngx_http_chatmaid_redis_reader_next(
    ngx_http_chatmaid_redis_reader_t *reader, redisReply **reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_READER_H_INCLUDED_ */
