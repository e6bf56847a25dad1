
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_body.h"


void
ngx_http_chatmaid_body_init(ngx_http_chatmaid_body_t *reader,
    ngx_http_request_t *r)
{
    reader->in = r->request_body ? r->request_body->bufs : NULL;
    reader->offset = 0;
    reader->log = r->connection->log;
    reader->failed = 0;
}


ssize_t
ngx_http_chatmaid_body_read(ngx_http_chatmaid_body_t *reader,
    void *buffer, size_t len)
{
    off_t       rest;
    ssize_t     n;
    ngx_buf_t  *b;

    for ( /* void */ ; reader->in; reader->in = reader->in->next) {

        b = reader->in->buf;
        rest = ngx_buf_size(b) - reader->offset;

        if (rest <= 0) {
            reader->offset = 0;
            continue;
        }

        if ((off_t) len > rest) {
            len = (size_t) rest;
        }

        if (ngx_buf_in_memory(b)) {
            ngx_memcpy(buffer, b->pos + reader->offset, len);
            n = len;

        } else {
            n = ngx_read_file(b->file, buffer, len,
                              b->file_pos + reader->offset);

            if (n <= 0) {
                ngx_log_error(NGX_LOG_CRIT, reader->log, 0,
                              "chatmaid could not read a request body back "
                              "from \"%V\"", &b->file->name);
                reader->failed = 1;
                return NGX_ERROR;
            }
        }

        reader->offset += n;

        return n;
    }

    return 0;
}


ngx_int_t
ngx_http_chatmaid_body_all(ngx_http_request_t *r, ngx_str_t *body)
{
    off_t                      size;
    ssize_t                    n;
    ngx_buf_t                 *b;
    ngx_chain_t               *cl;
    ngx_http_chatmaid_body_t   reader;

    ngx_http_chatmaid_body_init(&reader, r);

    if (reader.in && reader.in->next == NULL
        && ngx_buf_in_memory(reader.in->buf))
    {
        b = reader.in->buf;
        body->data = b->pos;
        body->len = b->last - b->pos;

        return NGX_OK;
    }

    size = 0;

    for (cl = reader.in; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    body->len = 0;
    body->data = ngx_pnalloc(r->pool, (size_t) size);
    if (body->data == NULL) {
        return NGX_ERROR;
    }

    while (body->len < (size_t) size) {

        n = ngx_http_chatmaid_body_read(&reader, body->data + body->len,
                                        (size_t) size - body->len);
        if (n <= 0) {
            return NGX_ERROR;
        }

        body->len += n;
    }

    return NGX_OK;
}
