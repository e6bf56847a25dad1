
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The embedded store: records in shared memory, the same for all workers of one
 * nginx, kept over a reload.  Its operations never wait.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"
#include "ngx_http_chatmaid_zone.h"


extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_zone;


/* Like claim(), but does not take the record.  If the result is CLAIMED, the
 * record may be taken: claim->may_be_accepted tells whether there was a try
 * before, claim->former_ended whether the owner of that try, who is in
 * claim->former_owner, makes no more of them, and claim->former_removed whether
 * that owner's record is to be removed from Redis first. */
void ngx_http_chatmaid_store_zone_check(ngx_http_chatmaid_claim_t *claim);

/* Marks an event in flight as delivered. */
void ngx_http_chatmaid_store_zone_mark_delivered(
    ngx_http_chatmaid_claim_t *claim);

/* Forgets the unfinished record of the claim's message, or the whole record of
 * an event, whoever owns it: another store knows the answer. */
void ngx_http_chatmaid_store_zone_forget(ngx_http_chatmaid_claim_t *claim);

/* Redis has confirmed that the claim's record is ambiguous: it needs no place
 * here. */
void ngx_http_chatmaid_store_zone_confirmed(ngx_http_chatmaid_claim_t *claim);

/* Redis has to be told later: how the claim has ended; that it has ended without
 * a trace, though Redis may have granted it. */
void ngx_http_chatmaid_store_zone_untold(ngx_http_chatmaid_claim_t *claim);
void ngx_http_chatmaid_store_zone_removed(ngx_http_chatmaid_claim_t *claim);

/* Whether there is something untold, and this worker may tell it for the next
 * lease_time milliseconds. */
ngx_uint_t ngx_http_chatmaid_store_zone_may_tell(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_msec_t lease_time);

/* Makes a claim of the oldest untold record behind *serial, with the ttl that is
 * left, and moves *serial to it; claim->mcf and claim->pool are given.  NGX_OK;
 * NGX_DECLINED: there is none; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_store_zone_next_untold(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_state_e *state,
    uint64_t *serial);

/* Redis has been told of this record, unless it has changed since then. */
void ngx_http_chatmaid_store_zone_told(ngx_http_chatmaid_main_conf_t *mcf,
    u_char *id, uint64_t serial);


#endif /* _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_ */
