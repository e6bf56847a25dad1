
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The body of a request, read in pieces from memory or from its temporary file.
 */


#ifndef _NGX_HTTP_CHATMAID_BODY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_BODY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A reader; the body must last as long. */

typedef struct {
    ngx_chain_t  *in;
    off_t         offset;      /* within in->buf */
    ngx_log_t    *log;
    ngx_uint_t    failed;
} ngx_http_chatmaid_body_t;


/* Starts to read, from its first byte, a body that has arrived whole. */
void ngx_http_chatmaid_body_init(ngx_http_chatmaid_body_t *reader,
    ngx_http_request_t *r);

/* Copies the next bytes to "buffer", at most len.  Returns their number; 0 at
 * the end; NGX_ERROR if the file can't be read (logged; sets
 * reader->failed). */
ssize_t ngx_http_chatmaid_body_read(ngx_http_chatmaid_body_t *reader,
    void *buffer, size_t len);

/* Gives the whole body as one piece: not copied if it is one buffer in memory,
 * else copied to r->pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_body_all(ngx_http_request_t *r, ngx_str_t *body);


#endif /* _NGX_HTTP_CHATMAID_BODY_H_INCLUDED_ */
