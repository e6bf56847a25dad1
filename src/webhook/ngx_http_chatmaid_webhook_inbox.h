
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The durable inbox: a Redis stream to which each event is added once.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_redis.h"


/* A chatmaid_webhook_stream directive. */

struct ngx_http_chatmaid_webhook_inbox_s {
    ngx_str_t    key;
    ngx_uint_t   maxlen;         /* in entries, approximate; 0: no limit */
};


/* Adds the event to the stream and marks it as added, unless it is marked
 * already.  The mark lasts ttl milliseconds; if ttl is 0, none is set.  All
 * arguments are copied.  Returns a handle for ngx_http_chatmaid_redis_cancel();
 * NULL: the event can't be sent to Redis, and the handler won't be called. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_webhook_inbox_add(
    ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *body, ngx_msec_t ttl,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* Interprets the arguments of the handler.  NGX_OK: the event was added;
 * NGX_DECLINED: it had been added before; NGX_ERROR: it was not added, or its
 * fate is unknown.  An error that Redis reports is logged when it begins and
 * when it is over, not for each event. */
ngx_int_t ngx_http_chatmaid_webhook_inbox_added(
    ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox, ngx_uint_t error,
    redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_ */
