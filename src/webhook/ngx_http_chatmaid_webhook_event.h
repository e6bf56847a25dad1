
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The event in a webhook's body, and the id by which a repeat of the event is
 * recognised.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_EVENT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_EVENT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


typedef struct {
    ngx_str_t   name;            /* the member "event" */
    ngx_str_t   timestamp;       /* the member "timestamp", or empty */
    ngx_str_t   message_id;      /* data.messageId, else data.id; or empty */

    /* Equal for all copies of an event within one scope; how it is made is
     * described in docs/webhooks.md */
    u_char      id[NGX_HTTP_CHATMAID_ID_LEN];

    unsigned    has_message_id:1;    /* message_id is data.messageId */
    unsigned    identified:1;        /* it has its id */
} ngx_http_chatmaid_webhook_event_t;


/* Copies of an event are repeats of it only within one scope. */

typedef struct {
    ngx_str_t   account_name;
    ngx_str_t   location;
} ngx_http_chatmaid_webhook_scope_t;


/* Reads an event from a verified body.  Its id is computed only if "scope" is
 * not NULL, because that is most of the work.  NGX_OK; NGX_DECLINED: the body
 * is not JSON; NGX_ABORT: it is not an event (in both cases "reason" says why,
 * without a byte of the body); NGX_HTTP_REQUEST_ENTITY_TOO_LARGE: the id would
 * take too much memory; NGX_ERROR: no memory.  The event's strings are copies
 * in the pool. */
ngx_int_t ngx_http_chatmaid_webhook_event_read(ngx_pool_t *pool,
    ngx_str_t *body, ngx_http_chatmaid_webhook_scope_t *scope,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *reason);

/* Whether the event is about a message: its name begins with "message.". */
ngx_uint_t ngx_http_chatmaid_webhook_event_of_message(
    ngx_http_chatmaid_webhook_event_t *event);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_EVENT_H_INCLUDED_ */
