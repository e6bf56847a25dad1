
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A buffer of bytes to be written, from pos to last, which grows as needed.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_BUFFER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_BUFFER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Adds len bytes to a buffer that has been zeroed before its first use.
 * NGX_ERROR: no memory, and the buffer is as it was. */
ngx_int_t ngx_http_chatmaid_redis_buffer_append(ngx_buf_t *b,
    const void *data, size_t len, ngx_log_t *log);

/* Everything has been written: a large buffer need not stay. */
void ngx_http_chatmaid_redis_buffer_trim(ngx_buf_t *b);

/* Leaves it zeroed. */
void ngx_http_chatmaid_redis_buffer_free(ngx_buf_t *b);


#endif /* _NGX_HTTP_CHATMAID_REDIS_BUFFER_H_INCLUDED_ */
