
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The durable inbox: a stream in Redis, to which each event is added once.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_redis.h"


/* A chatmaid_webhook_stream directive. */

struct ngx_http_chatmaid_webhook_inbox_s {
    ngx_str_t    key;
    ngx_uint_t   maxlen;         /* approximate; 0: no limit */
};


/* Adds the event and its mark, unless the mark is there already.  The mark
 * lasts ttl milliseconds; with 0 there is none.  Everything is copied.  Returns
 * a handle by which the command is cancelled; NULL: no memory, and the handler
 * won't be called. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_webhook_inbox_add(
    ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *body, ngx_msec_t ttl,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* What the handler's arguments say.  NGX_OK: the event was added; NGX_DECLINED:
 * it was there before; NGX_ERROR: it was not added, or that is not known
 * (logged once, and once when events are taken again). */
ngx_int_t ngx_http_chatmaid_webhook_inbox_added(
    ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox, ngx_uint_t error,
    redisReply *reply);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_INBOX_H_INCLUDED_ */
