
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A lease on a record: the store is asked for it, it is renewed while the send
 * or the delivery is under way, and then it is settled.
 */


#ifndef _NGX_HTTP_CHATMAID_LEASE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_LEASE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* The caller provides zeroed memory and sets renewal_time and, in the claim,
 * id, fingerprint, ttl, lease_time, pool, mcf, handler and data. */

typedef struct {
    ngx_http_chatmaid_claim_t    claim;
    ngx_msec_t                   renewal_time;  /* between two renewals */
    ngx_event_t                  renewal;

    unsigned                     asked:1;    /* the store has been */
    unsigned                     held:1;     /* ours, and to be settled */
    unsigned                     lost:1;     /* ran out while it was held */
} ngx_http_chatmaid_lease_t;


/* Asks the store for the record, if need be again.  NGX_OK, or NGX_AGAIN: the
 * handler will be called; claim.result holds the answer then.  NGX_ERROR: no
 * random bytes. */
ngx_int_t ngx_http_chatmaid_lease_ask(ngx_http_chatmaid_lease_t *lease);

/* The same for a lease that has run out before anything was done under it: for
 * the same record, whatever window it is now. */
ngx_int_t ngx_http_chatmaid_lease_ask_again(ngx_http_chatmaid_lease_t *lease);

/* The store has granted it: it is held, and renewed until it ends. */
void ngx_http_chatmaid_lease_begin(ngx_http_chatmaid_lease_t *lease);

/* Whether a held lease still runs, by our own clock. */
ngx_uint_t ngx_http_chatmaid_lease_is_running(
    ngx_http_chatmaid_lease_t *lease);

/* Settle it: with an answer; as ambiguous; as if it had never been.  NGX_OK, or
 * NGX_AGAIN: the handler will be called; claim.rc is set then. */
ngx_int_t ngx_http_chatmaid_lease_finish(ngx_http_chatmaid_lease_t *lease,
    ngx_str_t *answer, ngx_uint_t status);
ngx_int_t ngx_http_chatmaid_lease_mark_ambiguous(
    ngx_http_chatmaid_lease_t *lease);
ngx_int_t ngx_http_chatmaid_lease_remove(ngx_http_chatmaid_lease_t *lease);

/* It is not held any more, and not renewed. */
void ngx_http_chatmaid_lease_end(ngx_http_chatmaid_lease_t *lease);

/* Before its memory is freed, in whatever state it is: ends it, and no handler
 * will be called.  A lease that was not settled runs out in the store. */
void ngx_http_chatmaid_lease_abandon(ngx_http_chatmaid_lease_t *lease);


#endif /* _NGX_HTTP_CHATMAID_LEASE_H_INCLUDED_ */
