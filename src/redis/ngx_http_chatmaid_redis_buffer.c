
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_buffer.h"


#define NGX_HTTP_CHATMAID_REDIS_BUFFER_SIZE  4096   /* at first */
#define NGX_HTTP_CHATMAID_REDIS_BUFFER_KEPT  65536  /* larger ones are freed */


ngx_int_t
ngx_http_chatmaid_redis_buffer_append(ngx_buf_t *b, const void *data,
    size_t len, ngx_log_t *log)
{
    size_t   size, used;
    u_char  *p;

    used = b->last - b->pos;

    if (used == 0) {
        b->pos = b->start;
        b->last = b->start;
    }

    if ((size_t) (b->end - b->last) < len) {

        size = ngx_max(b->end - b->start, NGX_HTTP_CHATMAID_REDIS_BUFFER_SIZE);

        while (size < used + len) {
            size *= 2;
        }

        p = ngx_alloc(size, log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (b->start) {
            ngx_memcpy(p, b->pos, used);
            ngx_free(b->start);
        }

        b->start = p;
        b->pos = p;
        b->last = p + used;
        b->end = p + size;
    }

    b->last = ngx_cpymem(b->last, data, len);

    return NGX_OK;
}


void
ngx_http_chatmaid_redis_buffer_trim(ngx_buf_t *b)
{
    if (b->end - b->start > NGX_HTTP_CHATMAID_REDIS_BUFFER_KEPT) {
        ngx_http_chatmaid_redis_buffer_free(b);
    }
}


void
ngx_http_chatmaid_redis_buffer_free(ngx_buf_t *b)
{
    if (b->start) {
        ngx_free(b->start);
    }

    ngx_memzero(b, sizeof(ngx_buf_t));
}
