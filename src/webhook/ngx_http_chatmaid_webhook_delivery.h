
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One delivery of an event to a location's handler: a lease on the event's
 * record, held while the handler runs and settled by what the handler answered.
 * It has memory of its own, because Redis' reply may come after the request has
 * ended.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_


#include "ngx_http_chatmaid_lease.h"


typedef struct {
    ngx_http_chatmaid_lease_t    lease;
    ngx_queue_t                  settling;
} ngx_http_chatmaid_webhook_delivery_t;


/* A delivery of the event with this id, which is remembered for ttl
 * milliseconds once it is delivered.  NULL: no memory. */
ngx_http_chatmaid_webhook_delivery_t *ngx_http_chatmaid_webhook_delivery_create(
    ngx_http_chatmaid_main_conf_t *mcf, u_char *id, ngx_msec_t ttl);

/* Asks the store for it.  NGX_OK, or NGX_AGAIN: the handler will be called with
 * data; lease.claim.result holds the answer then.  NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_webhook_delivery_ask(
    ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_http_chatmaid_claim_pt handler, void *data);

/* Settles it and frees it: the event has been delivered, or it has not, and its
 * next delivery may begin. */
void ngx_http_chatmaid_webhook_delivery_settle(
    ngx_http_chatmaid_webhook_delivery_t *delivery, ngx_uint_t delivered);

/* Frees it as it is; its lease runs out in the store. */
void ngx_http_chatmaid_webhook_delivery_abandon(
    ngx_http_chatmaid_webhook_delivery_t *delivery);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_ */
