
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The event in a webhook's body, and the identity by which a repeat is known.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_EVENT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_EVENT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


typedef struct {
    ngx_str_t   name;            /* its "event" */
    ngx_str_t   timestamp;       /* or empty */
    ngx_str_t   message_id;      /* data.messageId, else data.id; or empty */

    /* Equal for all copies of an event that come to one scope: see
     * docs/webhooks.md */
    u_char      id[NGX_HTTP_CHATMAID_ID_LEN];

    unsigned    has_message_id:1;    /* message_id is data.messageId */
    unsigned    identified:1;        /* it has its id */
} ngx_http_chatmaid_webhook_event_t;


/* Where repeats of an event are known. */

typedef struct {
    ngx_str_t   account_name;
    ngx_str_t   location;
} ngx_http_chatmaid_webhook_scope_t;


/* Reads an event from a verified body, and makes its id if "scope" is not NULL:
 * most of the cost of an event is its id.  NGX_OK; NGX_DECLINED: it is no JSON,
 * or NGX_ABORT: it is no event, and "reason" says why, without a byte of the
 * body; NGX_HTTP_REQUEST_ENTITY_TOO_LARGE: it would take too much memory;
 * NGX_ERROR: there is none.  All strings are in the pool. */
ngx_int_t ngx_http_chatmaid_webhook_event_read(ngx_pool_t *pool,
    ngx_str_t *body, ngx_http_chatmaid_webhook_scope_t *scope,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *reason);

/* Is it about a message?  Then its name begins with "message.". */
ngx_uint_t ngx_http_chatmaid_webhook_event_of_message(
    ngx_http_chatmaid_webhook_event_t *event);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_EVENT_H_INCLUDED_ */
