
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


typedef struct {
    ngx_chain_t  *in;
    off_t         offset;      /* within in->buf */
    ngx_log_t    *log;
    ngx_uint_t    failed;
} ngx_http_chatmaid_body_t;


/* Begins at the first byte of a body that has arrived whole. */
void ngx_http_chatmaid_body_init(ngx_http_chatmaid_body_t *reader,
    ngx_http_request_t *r);

/* Copies at most len bytes, the next ones: how many; 0 at the end; NGX_ERROR,
 * and "failed" is set, where the file can't be read (logged). */
ssize_t ngx_http_chatmaid_body_read(ngx_http_chatmaid_body_t *reader,
    void *buffer, size_t len);

/* The whole body as one piece: where it lies, or in r->pool.  NGX_OK,
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_body_all(ngx_http_request_t *r, ngx_str_t *body);


#endif /* _NGX_HTTP_CHATMAID_BODY_H_INCLUDED_ */
