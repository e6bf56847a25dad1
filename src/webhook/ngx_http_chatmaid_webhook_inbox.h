
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The durable inbox: a Redis stream that takes each event once.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_redis.h"


/* A chatmaid_webhook_stream directive. */

struct ngx_http_chatmaid_webhook_inbox_s {
    ngx_str_t    key;
    ngx_uint_t   maxlen;         /* about; 0: any */
};


/* Adds the event to the stream, and its mark, unless the mark is there; ttl is
 * the mark's, in milliseconds, 0: none.  All is copied.  Gives a handle to
 * cancel it by, or NULL, and the handler won't be called. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_webhook_inbox_add(
    ngx_http_chatmaid_main_conf_t *conf, ngx_http_chatmaid_webhook_inbox_t *stream,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *body, ngx_msec_t ttl,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* What the handler was given: NGX_OK: added; NGX_DECLINED: it was there before;
 * NGX_ERROR: not known, or not added (logged where an operator can help). */
ngx_int_t ngx_http_chatmaid_webhook_inbox_added(ngx_uint_t error, redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_ */
