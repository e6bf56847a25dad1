
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One delivery of an event to a location's handler: the store's claim of it,
 * kept while the handler runs, and settled by what the handler answered.  It
 * has memory of its own, for it is settled when the request's is about to go.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_


#include "ngx_http_chatmaid.h"


typedef struct ngx_http_chatmaid_webhook_delivery_s  ngx_http_chatmaid_webhook_delivery_t;

typedef void (*ngx_http_chatmaid_webhook_delivery_pt)(void *data);


struct ngx_http_chatmaid_webhook_delivery_s {
    ngx_http_chatmaid_claim_t              claim;
    ngx_http_chatmaid_main_conf_t         *conf;
    ngx_event_t                            renewal;
    ngx_queue_t                            settling;

    ngx_http_chatmaid_webhook_delivery_pt  handler;
    void                                  *data;
};


/* A delivery of the event of this id, which is remembered for ttl milliseconds
 * once it is settled.  NULL: no memory, or no random bytes. */
ngx_http_chatmaid_webhook_delivery_t *ngx_http_chatmaid_webhook_delivery_create(
    ngx_http_chatmaid_main_conf_t *conf, u_char *id, ngx_msec_t ttl);

/* Asks the store for it.  NGX_OK: claim.result says; NGX_AGAIN: the handler
 * will be called with data, and finds it then. */
ngx_int_t ngx_http_chatmaid_webhook_delivery_claim(
    ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_http_chatmaid_webhook_delivery_pt handler, void *data);

/* A claim that is ours is renewed from now on. */
void ngx_http_chatmaid_webhook_delivery_keep(ngx_http_chatmaid_webhook_delivery_t *delivery);

/* Ends it, the memory included: the event has been delivered, or it has not and
 * the next one is to be. */
void ngx_http_chatmaid_webhook_delivery_settle(ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_uint_t delivered);

/* Ends it as it is, the memory included: the lease may go on to its end. */
void ngx_http_chatmaid_webhook_delivery_abandon(
    ngx_http_chatmaid_webhook_delivery_t *delivery);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_DELIVERY_H_INCLUDED_ */
