
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_slot.h"


ngx_str_t
ngx_http_chatmaid_redis_slot_tag(ngx_str_t *key)
{
    u_char     *open, *close, *last;
    ngx_str_t   tag;

    tag = *key;
    last = key->data + key->len;

    open = ngx_strlchr(key->data, last, '{');

    if (open == NULL) {
        return tag;
    }

    open++;
    close = ngx_strlchr(open, last, '}');

    if (close && close > open) {
        tag.data = open;
        tag.len = close - open;
    }

    return tag;
}


/* CRC-16/XMODEM, as the specification of Redis Cluster has it. */

ngx_uint_t
ngx_http_chatmaid_redis_slot(ngx_str_t *key)
{
    size_t      i;
    ngx_str_t   tag;
    ngx_uint_t  bit, crc;

    tag = ngx_http_chatmaid_redis_slot_tag(key);
    crc = 0;

    for (i = 0; i < tag.len; i++) {
        crc ^= (ngx_uint_t) tag.data[i] << 8;

        for (bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1;
        }

        crc &= 0xffff;
    }

    return crc % NGX_HTTP_CHATMAID_REDIS_SLOTS;
}
