
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_untold_queue.h"


static ngx_http_chatmaid_record_t *ngx_http_chatmaid_untold_queue_after(
    ngx_http_chatmaid_zone_t *zone, uint64_t serial);
static void ngx_http_chatmaid_untold_queue_copy(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_t *rec,
    size_t room);


ngx_uint_t
ngx_http_chatmaid_untold_queue_may_tell(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_msec_t lease_time)
{
    ngx_uint_t                    may;
    ngx_http_chatmaid_zone_t     *zone = mcf->zone->data;
    ngx_http_chatmaid_zone_sh_t  *sh;

    ngx_http_chatmaid_zone_lock(zone);

    sh = zone->sh;

    may = !ngx_queue_empty(&sh->untold)
          && (sh->teller == ngx_pid
              || (ngx_msec_int_t) (sh->teller_lease_end - ngx_current_msec)
                 <= 0);

    if (may) {
        sh->teller = ngx_pid;
        sh->teller_lease_end = ngx_current_msec + lease_time;
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return may;
}


/* No pool memory is allocated under the lock: if an answer does not fit, memory
 * for it is allocated without the lock, and the record is read again. */

ngx_int_t
ngx_http_chatmaid_untold_queue_next(ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_record_state_e *state, uint64_t *serial)
{
    size_t                       room;
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    for (room = 0; /* void */; room = claim->answer.len) {

        ngx_http_chatmaid_zone_lock(zone);

        rec = ngx_http_chatmaid_untold_queue_after(zone, *serial);

        if (rec) {
            *state = rec->state;
            ngx_http_chatmaid_untold_queue_copy(claim, rec, room);
        }

        if (rec && claim->answer.len <= room) {
            *serial = rec->untold_serial;
            ngx_http_chatmaid_zone_unlock(zone);
            return NGX_OK;
        }

        ngx_http_chatmaid_zone_unlock(zone);

        if (rec == NULL) {
            return NGX_DECLINED;
        }

        claim->answer.data = ngx_pnalloc(claim->pool, claim->answer.len);

        if (claim->answer.data == NULL) {
            return NGX_ERROR;
        }
    }
}


/* The oldest untold record behind the one with this serial number, or NULL. */

static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_untold_queue_after(ngx_http_chatmaid_zone_t *zone,
    uint64_t serial)
{
    ngx_queue_t                 *q, *next, *untold;
    ngx_http_chatmaid_record_t  *rec;

    untold = &zone->sh->untold;

    for (q = ngx_queue_head(untold); q != ngx_queue_sentinel(untold); q = next)
    {
        next = ngx_queue_next(q);
        rec = ngx_queue_data(q, ngx_http_chatmaid_record_t, untold_queue);

        if ((ngx_msec_int_t) (rec->expires - ngx_current_msec) <= 0) {
            ngx_http_chatmaid_zone_delete(zone, rec);
            continue;
        }

        if (rec->untold_serial > serial) {
            return rec;
        }
    }

    return NULL;
}


static void
ngx_http_chatmaid_untold_queue_copy(ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_record_t *rec, size_t room)
{
    ngx_memcpy(claim->id, rec->id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(claim->fingerprint, rec->fingerprint, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(claim->owner, rec->owner, NGX_HTTP_CHATMAID_OWNER_LEN);

    claim->auto_named = rec->auto_named;
    claim->webhook_event = (rec->kind == NGX_HTTP_CHATMAID_ZONE_EVENT);
    claim->ttl = rec->expires - ngx_current_msec;

    claim->status = rec->status;
    claim->answer.len = rec->answer_len;

    if (rec->answer_len && rec->answer_len <= room) {
        ngx_memcpy(claim->answer.data, rec->answer, rec->answer_len);
    }
}


void
ngx_http_chatmaid_untold_queue_told(ngx_http_chatmaid_main_conf_t *mcf,
    u_char *id, uint64_t serial)
{
    ngx_http_chatmaid_zone_t    *zone = mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_find(zone, id);

    if (rec && rec->untold && rec->untold_serial == serial) {

        if (rec->state == NGX_HTTP_CHATMAID_RECORD_DONE) {
            ngx_http_chatmaid_zone_set_told(zone, rec);

        } else {
            ngx_http_chatmaid_zone_delete(zone, rec);
        }
    }

    ngx_http_chatmaid_zone_unlock(zone);
}
