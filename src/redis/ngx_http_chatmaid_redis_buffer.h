
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A buffer of bytes to be written, from pos to last, which grows as needed.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_BUFFER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_BUFFER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Appends a copy of len bytes to a buffer that was zeroed before its first use.
 * Returns NGX_OK, or NGX_ERROR if there is no memory; then the buffer is
 * unchanged. */
ngx_int_t ngx_http_chatmaid_redis_buffer_append(ngx_buf_t *b,
    const void *data, size_t len, ngx_log_t *log);

/* To be called when everything has been written: frees a large buffer. */
void ngx_http_chatmaid_redis_buffer_trim(ngx_buf_t *b);

/* Frees the memory, and leaves the buffer zeroed. */
void ngx_http_chatmaid_redis_buffer_free(ngx_buf_t *b);


#endif /* _NGX_HTTP_CHATMAID_REDIS_BUFFER_H_INCLUDED_ */
