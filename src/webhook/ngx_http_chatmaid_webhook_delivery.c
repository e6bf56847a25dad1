
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_delivery.h"
#include "ngx_http_chatmaid_crypto.h"


/* Longer than a send's: how long a receiver takes is not ours to say, and what
 * a crash costs is one more minute until the sender tries again. */
#define NGX_HTTP_CHATMAID_DELIVERY_LEASE    30000   /* milliseconds */
#define NGX_HTTP_CHATMAID_DELIVERY_RENEWAL  7500


static void ngx_http_chatmaid_webhook_delivery_claimed(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_webhook_delivery_renew_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_webhook_delivery_settled(
    ngx_http_chatmaid_claim_t *claim);


/* Settled ones of which the store has not heard yet.  A worker that ends at
 * once leaves them here: their leases will end. */

static ngx_queue_t  ngx_http_chatmaid_settling = {
    &ngx_http_chatmaid_settling,
    &ngx_http_chatmaid_settling
};


ngx_http_chatmaid_webhook_delivery_t *
ngx_http_chatmaid_webhook_delivery_create(ngx_http_chatmaid_main_conf_t *conf,
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
        goto failed;
    }

    delivery->conf = conf;

    claim = &delivery->claim;

    if (ngx_http_chatmaid_crypto_random(ngx_cycle->log, claim->owner,
                                        NGX_HTTP_CHATMAID_OWNER_LEN)
        != NGX_OK)
    {
        goto failed;
    }

    ngx_memcpy(claim->id, id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(claim->fingerprint, id, NGX_HTTP_CHATMAID_ID_LEN);

    claim->event = 1;
    claim->ttl = ttl;
    claim->lease_time = NGX_HTTP_CHATMAID_DELIVERY_LEASE;
    claim->pool = pool;

    return delivery;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


ngx_int_t
ngx_http_chatmaid_webhook_delivery_claim(ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_http_chatmaid_webhook_delivery_pt handler, void *data)
{
    delivery->handler = handler;
    delivery->data = data;

    delivery->claim.handler = ngx_http_chatmaid_webhook_delivery_claimed;
    delivery->claim.data = delivery;

    return delivery->conf->store->claim(delivery->conf->store_data,
                                        &delivery->claim);
}


static void
ngx_http_chatmaid_webhook_delivery_claimed(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_webhook_delivery_t  *delivery = claim->data;

    delivery->handler(delivery->data);
}


void
ngx_http_chatmaid_webhook_delivery_keep(ngx_http_chatmaid_webhook_delivery_t *delivery)
{
    delivery->renewal.handler = ngx_http_chatmaid_webhook_delivery_renew_handler;
    delivery->renewal.data = delivery;
    delivery->renewal.log = ngx_cycle->log;

    ngx_add_timer(&delivery->renewal, NGX_HTTP_CHATMAID_DELIVERY_RENEWAL);
}


static void
ngx_http_chatmaid_webhook_delivery_renew_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_webhook_delivery_t  *delivery = ev->data;

    delivery->conf->store->renew(delivery->conf->store_data, &delivery->claim);

    ngx_add_timer(ev, NGX_HTTP_CHATMAID_DELIVERY_RENEWAL);
}


void
ngx_http_chatmaid_webhook_delivery_settle(ngx_http_chatmaid_webhook_delivery_t *delivery,
    ngx_uint_t delivered)
{
    ngx_int_t                   rc;
    ngx_http_chatmaid_claim_t  *claim;
    ngx_http_chatmaid_store_t  *store;

    if (delivery->renewal.timer_set) {
        ngx_del_timer(&delivery->renewal);
    }

    claim = &delivery->claim;
    claim->handler = ngx_http_chatmaid_webhook_delivery_settled;

    ngx_queue_insert_tail(&ngx_http_chatmaid_settling, &delivery->settling);

    store = delivery->conf->store;

    if (delivered) {
        claim->status = NGX_HTTP_OK;
        ngx_str_set(&claim->answer, "");
        rc = store->finish(delivery->conf->store_data, claim);

    } else {
        rc = store->remove(delivery->conf->store_data, claim);
    }

    if (rc != NGX_AGAIN) {
        ngx_http_chatmaid_webhook_delivery_settled(claim);
    }
}


static void
ngx_http_chatmaid_webhook_delivery_settled(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_webhook_delivery_t  *delivery = claim->data;

    ngx_queue_remove(&delivery->settling);

    ngx_http_chatmaid_webhook_delivery_abandon(delivery);
}


void
ngx_http_chatmaid_webhook_delivery_abandon(ngx_http_chatmaid_webhook_delivery_t *delivery)
{
    if (delivery->renewal.timer_set) {
        ngx_del_timer(&delivery->renewal);
    }

    delivery->conf->store->abandon(delivery->conf->store_data,
                                   &delivery->claim);

    ngx_destroy_pool(delivery->claim.pool);
}
