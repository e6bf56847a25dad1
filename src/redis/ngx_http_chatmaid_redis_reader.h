
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * hiredis' reader, within bounds of ours: bytes of a server in, replies out.
 * What a reply may be does not depend on the version of hiredis: types of RESP2
 * alone, for we do not ask for RESP3, which newer versions read.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_READER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_READER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <hiredis/hiredis.h>


/* What exceeds one of these is no reply.  The depth is what the oldest hiredis
 * takes. */

#define NGX_HTTP_CHATMAID_REDIS_READER_MAX_REPLY     (8 * 1024 * 1024)
#define NGX_HTTP_CHATMAID_REDIS_READER_MAX_ELEMENTS  65536  /* in all arrays */
#define NGX_HTTP_CHATMAID_REDIS_READER_MAX_DEPTH     8      /* of arrays */


typedef struct {
    redisReader  *hiredis;          /* NULL: it is closed */
    ngx_pool_t   *pool;             /* of the reply; NULL: there was none */
    size_t        received;         /* bytes of an unfinished reply */
    size_t        elements;         /* and elements */
    unsigned      given:1;          /* there is a reply, for the caller */
} ngx_http_chatmaid_redis_reader_t;


/* For a new connection, on zeroed or closed memory, which must stay where it
 * is.  NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_reader_open(
    ngx_http_chatmaid_redis_reader_t *reader);

/* Frees what open() has made, if it has. */
void ngx_http_chatmaid_redis_reader_close(
    ngx_http_chatmaid_redis_reader_t *reader);

/* Adds n bytes.  NGX_DECLINED: the reply they belong to is too large;
 * NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_redis_reader_feed(
    ngx_http_chatmaid_redis_reader_t *reader, u_char *data, size_t n);

/* The next whole reply, which lives until this is called again or the reader is
 * closed.  NGX_AGAIN: there is none yet; NGX_ERROR: what has come is no
 * reply. */
ngx_int_t ngx_http_chatmaid_redis_reader_next(
    ngx_http_chatmaid_redis_reader_t *reader, redisReply **reply);


#endif /* _NGX_HTTP_CHATMAID_REDIS_READER_H_INCLUDED_ */
