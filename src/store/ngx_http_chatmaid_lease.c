
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_lease.h"
#include "ngx_http_chatmaid_crypto.h"


static void ngx_http_chatmaid_lease_renew_handler(ngx_event_t *ev);


ngx_int_t
ngx_http_chatmaid_lease_ask(ngx_http_chatmaid_lease_t *lease)
{
    ngx_http_chatmaid_claim_t  *claim;

    claim = &lease->claim;

    if (!lease->asked) {

        if (ngx_http_chatmaid_crypto_random(claim->pool->log, claim->owner,
                                            NGX_HTTP_CHATMAID_OWNER_LEN)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        lease->asked = 1;
    }

    claim->may_be_accepted = 0;
    claim->taken_over = 0;
    claim->zone_only = 0;
    claim->redis_away = 0;

    if (claim->window && !claim->waited) {
        claim->use_previous = 0;
    }

    return claim->mcf->store->claim(claim);
}


void
ngx_http_chatmaid_lease_begin(ngx_http_chatmaid_lease_t *lease)
{
    lease->held = 1;

    lease->renewal.handler = ngx_http_chatmaid_lease_renew_handler;
    lease->renewal.data = lease;
    lease->renewal.log = lease->claim.pool->log;

    ngx_add_timer(&lease->renewal, lease->renewal_time);
}


ngx_int_t
ngx_http_chatmaid_lease_ask_again(ngx_http_chatmaid_lease_t *lease)
{
    ngx_http_chatmaid_lease_end(lease);

    lease->lost = 0;
    lease->claim.window = 0;

    return ngx_http_chatmaid_lease_ask(lease);
}


/* A worker that was stopped for longer than the lease lasts does not get the
 * lease back: it stays lost. */

static void
ngx_http_chatmaid_lease_renew_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_lease_t  *lease = ev->data;

    ngx_http_chatmaid_claim_t  *claim;

    claim = &lease->claim;

    if (!lease->lost && !ngx_http_chatmaid_lease_is_running(lease)) {
        lease->lost = 1;

        ngx_log_error(NGX_LOG_WARN, ev->log, 0,
                      claim->webhook_event
                      ? "chatmaid lost the lease of a delivery under way: the "
                        "event may be handed on again meanwhile"
                      : "chatmaid lost the lease of a send under way");
    }

    claim->mcf->store->renew(claim);

    ngx_add_timer(ev, lease->renewal_time);
}


ngx_uint_t
ngx_http_chatmaid_lease_is_running(ngx_http_chatmaid_lease_t *lease)
{
    ngx_time_update();          /* the worker may just have been stopped */

    return !lease->lost
           && (ngx_msec_int_t) (lease->claim.lease_end - ngx_current_msec) > 0;
}


ngx_int_t
ngx_http_chatmaid_lease_finish(ngx_http_chatmaid_lease_t *lease,
    ngx_str_t *answer, ngx_uint_t status)
{
    ngx_http_chatmaid_claim_t  *claim;

    claim = &lease->claim;

    claim->answer = *answer;
    claim->status = status;

    return claim->mcf->store->finish(claim);
}


ngx_int_t
ngx_http_chatmaid_lease_mark_ambiguous(ngx_http_chatmaid_lease_t *lease)
{
    return lease->claim.mcf->store->mark_ambiguous(&lease->claim);
}


ngx_int_t
ngx_http_chatmaid_lease_remove(ngx_http_chatmaid_lease_t *lease)
{
    return lease->claim.mcf->store->remove(&lease->claim);
}


void
ngx_http_chatmaid_lease_end(ngx_http_chatmaid_lease_t *lease)
{
    lease->held = 0;

    if (lease->renewal.timer_set) {
        ngx_del_timer(&lease->renewal);
    }
}


void
ngx_http_chatmaid_lease_abandon(ngx_http_chatmaid_lease_t *lease)
{
    ngx_http_chatmaid_lease_end(lease);

    lease->claim.mcf->store->abandon(&lease->claim);
}
