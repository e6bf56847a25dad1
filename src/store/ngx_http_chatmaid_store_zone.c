
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_zone.h"


/* One answer may take at most this fraction of a zone (1/16). */
#define NGX_HTTP_CHATMAID_ZONE_SHARE   16


static ngx_int_t ngx_http_chatmaid_store_zone_claim(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_zone_ask(ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t take);
static void ngx_http_chatmaid_store_zone_read_record(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t take, size_t room);
static void ngx_http_chatmaid_store_zone_copy_answer(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_t *rec,
    size_t room);
static ngx_uint_t ngx_http_chatmaid_store_zone_is_free(
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_zone_take(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_t *rec);
static void ngx_http_chatmaid_store_zone_renew(
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_store_zone_finish(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_zone_set_removed(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_record_t *rec,
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_state_e state);
static ngx_int_t ngx_http_chatmaid_store_zone_mark_ambiguous(
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_store_zone_remove(
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_zone_abandon(
    ngx_http_chatmaid_claim_t *claim);
static int64_t ngx_http_chatmaid_store_zone_clock(void);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_store_zone_own(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_claim_t *claim);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_store_zone_own_in_flight(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_claim_t *claim);
static ngx_uint_t ngx_http_chatmaid_store_zone_is_owner(
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_claim_t *claim);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_store_zone_create(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_store_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_claim_t *claim);
static ngx_msec_t ngx_http_chatmaid_store_zone_ttl(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_state_e state);


ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_zone = {
    ngx_http_chatmaid_store_zone_claim,
    ngx_http_chatmaid_store_zone_renew,
    ngx_http_chatmaid_store_zone_finish,
    ngx_http_chatmaid_store_zone_mark_ambiguous,
    ngx_http_chatmaid_store_zone_remove,
    ngx_http_chatmaid_store_zone_abandon,
    ngx_http_chatmaid_store_zone_clock
};


static ngx_int_t
ngx_http_chatmaid_store_zone_claim(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_store_zone_ask(claim, 1);

    return NGX_OK;
}


void
ngx_http_chatmaid_store_zone_check(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_store_zone_ask(claim, 0);
}


/* No pool memory is allocated under the lock: if an answer does not fit, memory
 * for it is allocated without the lock, and the record is read again. */

static void
ngx_http_chatmaid_store_zone_ask(ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t take)
{
    size_t                     room;
    ngx_http_chatmaid_zone_t  *zone = claim->mcf->zone->data;

    claim->store = NGX_HTTP_CHATMAID_STORE_ZONE;
    claim->answer.data = NULL;

    for (room = 0; /* void */; room = claim->answer.len) {

        ngx_http_chatmaid_zone_lock(zone);

        ngx_http_chatmaid_store_zone_read_record(zone, claim, take, room);

        ngx_http_chatmaid_zone_unlock(zone);

        if (claim->result != NGX_HTTP_CHATMAID_DONE
            || claim->answer.len <= room)
        {
            return;
        }

        claim->answer.data = ngx_pnalloc(claim->pool, claim->answer.len);

        if (claim->answer.data == NULL) {
            claim->result = NGX_HTTP_CHATMAID_NO_STORE;
            claim->reason = "there is no memory";
            return;
        }
    }
}


/* Takes the record if it is free; if "take" is 0, the claim only learns whether
 * there was an earlier try.  "room" is the size of claim->answer.data. */

static void
ngx_http_chatmaid_store_zone_read_record(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t take, size_t room)
{
    ngx_http_chatmaid_record_t  *rec;

    /* for a send that has waited, this was decided before its wait */

    if (claim->window && !claim->use_previous && !claim->waited) {
        rec = ngx_http_chatmaid_zone_find(zone, claim->previous_id);

        claim->use_previous =
                        (rec && rec->state != NGX_HTTP_CHATMAID_RECORD_REMOVED
                         && (ngx_msec_int_t) (ngx_current_msec - rec->begun)
                            < (ngx_msec_int_t) claim->window);
    }

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    claim->former_removed = (rec && rec->state
                                    == NGX_HTTP_CHATMAID_RECORD_REMOVED);

    if (claim->former_removed) {
        ngx_memcpy(claim->former_owner, rec->owner,
                   NGX_HTTP_CHATMAID_OWNER_LEN);

        if (take) {
            ngx_http_chatmaid_zone_delete(zone, rec);
        }

        rec = NULL;
    }

    if (rec && !ngx_http_chatmaid_store_zone_is_free(rec, claim)) {

        if (claim->result == NGX_HTTP_CHATMAID_DONE) {
            ngx_http_chatmaid_store_zone_copy_answer(claim, rec, room);
        }

        return;
    }

    claim->result = NGX_HTTP_CHATMAID_CLAIMED;

    if (take) {
        ngx_http_chatmaid_store_zone_take(zone, claim, rec);
        return;
    }

    claim->may_be_accepted |= (rec != NULL);
    claim->taken_over |= (rec != NULL);
    claim->former_ended = (rec && rec->state
                                  == NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS);

    if (claim->former_ended) {
        ngx_memcpy(claim->former_owner, rec->owner,
                   NGX_HTTP_CHATMAID_OWNER_LEN);
    }
}


/* Copies the answer only if it fits; its length and status in any case. */

static void
ngx_http_chatmaid_store_zone_copy_answer(ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_record_t *rec, size_t room)
{
    claim->status = rec->status;
    claim->answer.len = rec->answer_len;

    if (rec->answer_len && rec->answer_len <= room) {
        ngx_memcpy(claim->answer.data, rec->answer, rec->answer_len);
    }
}


/* Whether a record may be taken; if not, claim->result tells why. */

static ngx_uint_t
ngx_http_chatmaid_store_zone_is_free(ngx_http_chatmaid_record_t *rec,
    ngx_http_chatmaid_claim_t *claim)
{
    if (ngx_memcmp(rec->fingerprint, claim->fingerprint,
                   NGX_HTTP_CHATMAID_ID_LEN)
        != 0)
    {
        claim->result = NGX_HTTP_CHATMAID_REUSED;
        return 0;
    }

    if (rec->state == NGX_HTTP_CHATMAID_RECORD_DONE) {
        claim->result = NGX_HTTP_CHATMAID_DONE;
        return 0;
    }

    if (rec->state == NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT
        && (ngx_msec_int_t) (rec->lease_end - ngx_current_msec) > 0
        && !ngx_http_chatmaid_store_zone_is_owner(rec, claim))
    {
        claim->result = NGX_HTTP_CHATMAID_IN_FLIGHT;
        return 0;
    }

    return 1;
}


static void
ngx_http_chatmaid_store_zone_take(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_t *rec)
{
    if (rec == NULL) {
        rec = ngx_http_chatmaid_store_zone_create(zone, claim);

        if (rec == NULL) {
            claim->result = NGX_HTTP_CHATMAID_NO_STORE;
            claim->reason = "the zone is full of unfinished records";
            return;
        }

    } else {

        if (!ngx_http_chatmaid_store_zone_is_owner(rec, claim)) {
            rec->may_be_accepted = 1;
            claim->taken_over = 1;
        }

        ngx_http_chatmaid_zone_set_state(zone, rec,
                                         NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT);

        ngx_memcpy(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN);
        ngx_http_chatmaid_store_zone_set_ttl(zone, rec, claim);
    }

    rec->may_be_accepted |= claim->may_be_accepted;
    rec->lease_end = ngx_current_msec + claim->lease_time;

    claim->may_be_accepted = rec->may_be_accepted;
    claim->lease_end = rec->lease_end;
}


static void
ngx_http_chatmaid_store_zone_renew(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_store_zone_own_in_flight(zone, claim);

    claim->lease_end = ngx_current_msec;    /* unless we still own it */

    if (rec) {
        rec->lease_end = ngx_current_msec + claim->lease_time;
        claim->lease_end = rec->lease_end;

        ngx_http_chatmaid_zone_touch(zone, rec);
        ngx_http_chatmaid_store_zone_set_ttl(zone, rec, claim);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static ngx_int_t
ngx_http_chatmaid_store_zone_finish(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    u_char                      *answer;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    claim->rc = NGX_OK;
    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec && rec->state == NGX_HTTP_CHATMAID_RECORD_REMOVED) {
        ngx_http_chatmaid_zone_delete(zone, rec);
        rec = NULL;
    }

    if (rec == NULL) {
        rec = ngx_http_chatmaid_store_zone_create(zone, claim);

        if (rec == NULL) {
            claim->rc = NGX_ERROR;
            goto done;
        }

    } else if (rec->state == NGX_HTTP_CHATMAID_RECORD_DONE
               || ngx_memcmp(rec->fingerprint, claim->fingerprint,
                             NGX_HTTP_CHATMAID_ID_LEN)
                  != 0)
    {
        goto done;
    }

    answer = (u_char *) (rec + 1);

    if (claim->answer.len > NGX_HTTP_CHATMAID_ZONE_RECORD
                            - sizeof(ngx_http_chatmaid_record_t))
    {
        /* one long answer is not worth dropping many other records for it; its
         * own record, which may be an old one, must not be dropped at all */

        ngx_http_chatmaid_zone_touch(zone, rec);

        answer = (claim->answer.len > zone->size
                                      / NGX_HTTP_CHATMAID_ZONE_SHARE)
                 ? NULL
                 : ngx_http_chatmaid_zone_alloc(zone, rec->kind,
                                                claim->answer.len);
    }

    if (answer == NULL) {
        rec->may_be_accepted = 1;

        if (ngx_http_chatmaid_store_zone_is_owner(rec, claim)) {
            ngx_http_chatmaid_zone_set_state(zone, rec,
                                           NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS);
        }

        claim->rc = NGX_ERROR;
        goto done;
    }

    if (claim->answer.len) {
        ngx_memcpy(answer, claim->answer.data, claim->answer.len);
    }

    ngx_memcpy(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN);

    rec->answer = answer;
    rec->answer_len = claim->answer.len;
    rec->status = claim->status;

    ngx_http_chatmaid_zone_set_state(zone, rec, NGX_HTTP_CHATMAID_RECORD_DONE);
    ngx_http_chatmaid_store_zone_set_ttl(zone, rec, claim);

done:

    ngx_http_chatmaid_zone_unlock(zone);

    if (claim->rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      claim->webhook_event
                      ? "chatmaid zone has no room for a mark: a repeat of "
                        "that event will be handed on again"
                      : "chatmaid zone has no room for an answer: a retry of "
                        "that send will ask Chatmaid for it");
    }

    return NGX_OK;
}


void
ngx_http_chatmaid_store_zone_mark_delivered(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_store_zone_own_in_flight(zone, claim);

    if (rec) {
        rec->status = claim->status;

        ngx_http_chatmaid_zone_set_state(zone, rec,
                                         NGX_HTTP_CHATMAID_RECORD_DONE);
        ngx_http_chatmaid_store_zone_set_ttl(zone, rec, claim);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_store_zone_forget(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec && (rec->state != NGX_HTTP_CHATMAID_RECORD_DONE
                || (claim->webhook_event && !claim->zone_only))
        && ngx_memcmp(rec->fingerprint, claim->fingerprint,
                      NGX_HTTP_CHATMAID_ID_LEN)
           == 0)
    {
        ngx_http_chatmaid_zone_delete(zone, rec);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_store_zone_confirmed(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_store_zone_own(zone, claim);

    if (rec && rec->state == NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS) {
        ngx_http_chatmaid_zone_delete(zone, rec);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_store_zone_untold(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_store_zone_own(zone, claim);

    if (rec && rec->state != NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT) {
        ngx_http_chatmaid_zone_set_untold(zone, rec);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


void
ngx_http_chatmaid_store_zone_removed(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec == NULL) {
        rec = ngx_http_chatmaid_store_zone_create(zone, claim);

        if (rec) {
            ngx_http_chatmaid_store_zone_set_removed(zone, rec, claim,
                                           NGX_HTTP_CHATMAID_RECORD_REMOVED);
        }

    } else if (rec->state == NGX_HTTP_CHATMAID_RECORD_REMOVED
               || (rec->state == NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS
                   && ngx_memcmp(rec->fingerprint, claim->fingerprint,
                                 NGX_HTTP_CHATMAID_ID_LEN)
                      == 0))
    {
        ngx_http_chatmaid_store_zone_set_removed(zone, rec, claim, rec->state);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


/* Only the latest owner has to be recorded: former owners have ended as
 * well. */

static void
ngx_http_chatmaid_store_zone_set_removed(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_record_state_e state)
{
    ngx_memcpy(rec->fingerprint, claim->fingerprint, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN);

    ngx_http_chatmaid_zone_set_state(zone, rec, state);
    ngx_http_chatmaid_zone_set_untold(zone, rec);
    ngx_http_chatmaid_store_zone_set_ttl(zone, rec, claim);
}


static ngx_int_t
ngx_http_chatmaid_store_zone_mark_ambiguous(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_store_zone_own_in_flight(zone, claim);

    if (rec) {
        ngx_http_chatmaid_zone_set_state(zone, rec,
                                         NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS);
        rec->may_be_accepted = 1;
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_store_zone_remove(ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = claim->mcf->zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    claim->rc = NGX_DECLINED;
    rec = ngx_http_chatmaid_store_zone_own_in_flight(zone, claim);

    /* for an event, earlier deliveries that failed do not matter */

    if (rec && (!rec->may_be_accepted || claim->webhook_event)) {
        ngx_http_chatmaid_zone_delete(zone, rec);
        claim->rc = NGX_OK;

    } else if (rec) {
        ngx_http_chatmaid_zone_set_state(zone, rec,
                                         NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS);
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return NGX_OK;
}


static void
ngx_http_chatmaid_store_zone_abandon(ngx_http_chatmaid_claim_t *claim)
{
    /* no operation is ever pending */
}


static int64_t
ngx_http_chatmaid_store_zone_clock(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


/* The record that the claim owns, or NULL. */

static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_store_zone_own(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_record_t  *rec;

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    return (rec && ngx_http_chatmaid_store_zone_is_owner(rec, claim)) ? rec
                                                                      : NULL;
}


static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_store_zone_own_in_flight(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_record_t  *rec;

    rec = ngx_http_chatmaid_store_zone_own(zone, claim);

    return (rec && rec->state == NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT) ? rec
                                                                     : NULL;
}


static ngx_uint_t
ngx_http_chatmaid_store_zone_is_owner(ngx_http_chatmaid_record_t *rec,
    ngx_http_chatmaid_claim_t *claim)
{
    return ngx_memcmp(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN)
           == 0;
}


/* Creates a record in flight.  NULL: there is no room. */

static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_store_zone_create(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_msec_t                   ttl;
    ngx_http_chatmaid_record_t  *rec;

    ttl = ngx_http_chatmaid_store_zone_ttl(claim,
                                           NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT);

    rec = ngx_http_chatmaid_zone_create(zone,
                                        ngx_http_chatmaid_claim_id(claim),
                                        claim->webhook_event
                                        ? NGX_HTTP_CHATMAID_ZONE_EVENT
                                        : NGX_HTTP_CHATMAID_ZONE_SEND,
                                        ttl);
    if (rec) {
        ngx_memcpy(rec->fingerprint, claim->fingerprint,
                   NGX_HTTP_CHATMAID_ID_LEN);
        ngx_memcpy(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN);
        rec->auto_named = claim->auto_named;
    }

    return rec;
}


/* Each try starts the record's ttl anew. */

static void
ngx_http_chatmaid_store_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_set_ttl(zone, rec,
                          ngx_http_chatmaid_store_zone_ttl(claim, rec->state));
}


/* A record lives at least as long as its lease.  Before delivery, the record of
 * an event expires with its lease. */

static ngx_msec_t
ngx_http_chatmaid_store_zone_ttl(ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_record_state_e state)
{
    /* Redis may still execute a command that it has not answered: so a removed
     * record is remembered here for as long as Redis may have that record */

    if (state == NGX_HTTP_CHATMAID_RECORD_DONE
        || state == NGX_HTTP_CHATMAID_RECORD_REMOVED)
    {
        return claim->ttl;
    }

    return claim->webhook_event ? claim->lease_time
                                : ngx_max(claim->ttl, claim->lease_time);
}
