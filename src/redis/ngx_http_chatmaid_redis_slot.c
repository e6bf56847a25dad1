
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


/* CRC-16/XMODEM, as the Redis cluster specification requires. */

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


ngx_int_t
ngx_http_chatmaid_redis_slot_read_redirect(redisReply *reply,
    ngx_http_chatmaid_redis_slot_range_t *range, ngx_uint_t *asking)
{
    u_char     *p, *last, *host, *colon;
    ngx_int_t   slot;

    p = (u_char *) reply->str;
    last = p + reply->len;

    if (reply->len > 6 && ngx_strncmp(p, "MOVED ", 6) == 0) {
        *asking = 0;
        p += 6;

    } else if (reply->len > 4 && ngx_strncmp(p, "ASK ", 4) == 0) {
        *asking = 1;
        p += 4;

    } else {
        return NGX_DECLINED;
    }

    host = ngx_strlchr(p, last, ' ');

    if (host == NULL) {
        return NGX_DECLINED;
    }

    slot = ngx_atoi(p, host - p);
    host++;

    /* an IPv6 address has colons, and no brackets */

    for (colon = last; colon > host && *colon != ':'; colon--) { /* void */ }

    if (slot < 0 || slot >= NGX_HTTP_CHATMAID_REDIS_SLOTS || *colon != ':') {
        return NGX_DECLINED;
    }

    range->first = slot;
    range->last = slot;
    range->name.data = host;
    range->name.len = colon - host;
    range->port = ngx_atoi(colon + 1, last - colon - 1);

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_redis_slot_read_range(redisReply *reply,
    ngx_http_chatmaid_redis_slot_range_t *range)
{
    redisReply  **element, **master;

    element = reply->element;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3
        || element[0]->type != REDIS_REPLY_INTEGER
        || element[1]->type != REDIS_REPLY_INTEGER
        || element[2]->type != REDIS_REPLY_ARRAY
        || element[2]->elements < 2
        || element[0]->integer < 0
        || element[1]->integer < element[0]->integer
        || element[1]->integer >= NGX_HTTP_CHATMAID_REDIS_SLOTS)
    {
        return NGX_DECLINED;
    }

    master = element[2]->element;

    if (master[1]->type != REDIS_REPLY_INTEGER
        || (master[0]->type != REDIS_REPLY_STRING
            && master[0]->type != REDIS_REPLY_NIL))
    {
        return NGX_DECLINED;
    }

    range->first = (ngx_uint_t) element[0]->integer;
    range->last = (ngx_uint_t) element[1]->integer;
    range->port = (ngx_int_t) master[1]->integer;

    ngx_str_null(&range->name);

    /* the name is null if the server does not know its own */

    if (master[0]->type == REDIS_REPLY_STRING) {
        range->name.data = (u_char *) master[0]->str;
        range->name.len = master[0]->len;
    }

    return NGX_OK;
}
