
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
    ngx_queue_t                  settling;   /* linked while being settled */
} ngx_http_chatmaid_webhook_delivery_t;


/* Creates a delivery of the event with this id, NGX_HTTP_CHATMAID_ID_LEN bytes,
 * which are copied.  Once delivered, the event is remembered for ttl
 * milliseconds.  The caller ends the delivery by settle() or abandon().  NULL:
 * no memory. */
ngx_http_chatmaid_webhook_delivery_t *ngx_http_chatmaid_webhook_delivery_create(
    ngx_http_chatmaid_main_conf_t *mcf, u_char *id, ngx_msec_t ttl);

/* Asks the store for the event's record.  NGX_OK: lease.claim.result holds the
 * answer; NGX_AGAIN: it will hold the answer when the handler is called with
 * data; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_webhook_delivery_ask(
    ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_http_chatmaid_claim_pt handler, void *data);

/* Settles the delivery and frees it; the caller must not use it any more.  If
 * "delivered" is 0, the next delivery of the event may begin at once. */
void ngx_http_chatmaid_webhook_delivery_settle(
    ngx_http_chatmaid_webhook_delivery_t *delivery, ngx_uint_t delivered);

/* Frees the delivery without settling it.  A lease that it holds runs out in
 * the store. */
void ngx_http_chatmaid_webhook_delivery_abandon(
    ngx_http_chatmaid_webhook_delivery_t *delivery);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_ */
