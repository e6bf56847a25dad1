
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A lease on a record.  The store grants it, it is renewed while the send or
 * the delivery is under way, and then it is settled.
 */


#ifndef _NGX_HTTP_CHATMAID_LEASE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_LEASE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* The caller provides zeroed memory and sets renewal_time and, in the claim,
 * id, fingerprint, ttl, lease_time, pool, mcf, handler and data. */

typedef struct {
    ngx_http_chatmaid_claim_t    claim;
    ngx_msec_t                   renewal_time;  /* milliseconds between two
                                                 * renewals */
    ngx_event_t                  renewal;

    unsigned                     asked:1;    /* the store has been asked */
    unsigned                     held:1;     /* granted, and to be settled */
    unsigned                     lost:1;     /* ran out while it was held */
} ngx_http_chatmaid_lease_t;


/* Asks the store for the record; may be repeated.  NGX_OK: claim.result holds
 * the answer.  NGX_AGAIN: claim.handler will be called, and claim.result is set
 * then.  NGX_ERROR: no random bytes (logged). */
ngx_int_t ngx_http_chatmaid_lease_ask(ngx_http_chatmaid_lease_t *lease);

/* The same for a lease that has run out before anything was done under it.
 * Asks for the same record, even if another window has begun since. */
ngx_int_t ngx_http_chatmaid_lease_ask_again(ngx_http_chatmaid_lease_t *lease);

/* Says that the store has granted the lease.  It is held, and renewed until
 * lease_end(). */
void ngx_http_chatmaid_lease_begin(ngx_http_chatmaid_lease_t *lease);

/* Whether a held lease still runs, by ngx_current_msec, which is updated. */
ngx_uint_t ngx_http_chatmaid_lease_is_running(
    ngx_http_chatmaid_lease_t *lease);

/* Settle the record: as done, with Chatmaid's answer; as ambiguous; or by
 * removing it.  See store.h.  NGX_OK, or NGX_AGAIN: claim.handler will be
 * called, and the bytes of the answer must last until then. */
ngx_int_t ngx_http_chatmaid_lease_finish(ngx_http_chatmaid_lease_t *lease,
    ngx_str_t *answer, ngx_uint_t status);
ngx_int_t ngx_http_chatmaid_lease_mark_ambiguous(
    ngx_http_chatmaid_lease_t *lease);
ngx_int_t ngx_http_chatmaid_lease_remove(ngx_http_chatmaid_lease_t *lease);

/* Stops holding and renewing the lease.  Does not settle it. */
void ngx_http_chatmaid_lease_end(ngx_http_chatmaid_lease_t *lease);

/* Must be called before the memory of the lease is freed, whatever its state:
 * ends it, and no handler is called after this.  A lease that was not settled
 * runs out in the store. */
void ngx_http_chatmaid_lease_abandon(ngx_http_chatmaid_lease_t *lease);


#endif /* _NGX_HTTP_CHATMAID_LEASE_H_INCLUDED_ */
