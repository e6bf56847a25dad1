
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_delivery.h"
#include "ngx_http_chatmaid.h"


/* In milliseconds.  The lease is longer than a send's, because a handler may be
 * slow and a lease left behind by a crash does little harm: the sender tries
 * again only after a minute. */
#define NGX_HTTP_CHATMAID_DELIVERY_LEASE_TIME    30000
#define NGX_HTTP_CHATMAID_DELIVERY_RENEWAL_TIME  7500


static void ngx_http_chatmaid_webhook_delivery_settled(void *data);


/* Deliveries whose result is known but not yet in the store.  If the worker is
 * terminated before, their leases run out. */

static ngx_queue_t  ngx_http_chatmaid_webhook_delivery_settling = {
    &ngx_http_chatmaid_webhook_delivery_settling,
    &ngx_http_chatmaid_webhook_delivery_settling
};


ngx_http_chatmaid_webhook_delivery_t *
ngx_http_chatmaid_webhook_delivery_create(ngx_http_chatmaid_main_conf_t *mcf,
    u_char *id, ngx_msec_t ttl)
{
    ngx_pool_t                            *pool;
    ngx_http_chatmaid_claim_t             *claim;
    ngx_http_chatmaid_webhook_delivery_t  *delivery;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    delivery = ngx_pcalloc(pool, sizeof(ngx_http_chatmaid_webhook_delivery_t));
    if (delivery == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    delivery->lease.renewal_time = NGX_HTTP_CHATMAID_DELIVERY_RENEWAL_TIME;

    claim = &delivery->lease.claim;

    ngx_memcpy(claim->id, id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(claim->fingerprint, id, NGX_HTTP_CHATMAID_ID_LEN);

    claim->webhook_event = 1;
    claim->ttl = ttl;
    claim->lease_time = NGX_HTTP_CHATMAID_DELIVERY_LEASE_TIME;
    claim->pool = pool;
    claim->mcf = mcf;

    return delivery;
}


ngx_int_t
ngx_http_chatmaid_webhook_delivery_ask(
    ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_http_chatmaid_claim_pt handler, void *data)
{
    delivery->lease.claim.handler = handler;
    delivery->lease.claim.data = data;

    return ngx_http_chatmaid_lease_ask(&delivery->lease);
}


void
ngx_http_chatmaid_webhook_delivery_settle(
    ngx_http_chatmaid_webhook_delivery_t *delivery, ngx_uint_t delivered)
{
    ngx_int_t                   rc;
    ngx_http_chatmaid_lease_t  *lease;

    static ngx_str_t  empty = ngx_string("");

    lease = &delivery->lease;

    ngx_http_chatmaid_lease_end(lease);

    lease->claim.handler = ngx_http_chatmaid_webhook_delivery_settled;
    lease->claim.data = delivery;

    ngx_queue_insert_tail(&ngx_http_chatmaid_webhook_delivery_settling,
                          &delivery->settling);

    rc = delivered ? ngx_http_chatmaid_lease_finish(lease, &empty, NGX_HTTP_OK)
                   : ngx_http_chatmaid_lease_remove(lease);

    if (rc != NGX_AGAIN) {
        ngx_http_chatmaid_webhook_delivery_settled(delivery);
    }
}


static void
ngx_http_chatmaid_webhook_delivery_settled(void *data)
{
    ngx_http_chatmaid_webhook_delivery_t  *delivery = data;

    ngx_queue_remove(&delivery->settling);

    ngx_http_chatmaid_webhook_delivery_abandon(delivery);
}


void
ngx_http_chatmaid_webhook_delivery_abandon(
    ngx_http_chatmaid_webhook_delivery_t *delivery)
{
    ngx_http_chatmaid_lease_abandon(&delivery->lease);

    ngx_destroy_pool(delivery->lease.claim.pool);
}
