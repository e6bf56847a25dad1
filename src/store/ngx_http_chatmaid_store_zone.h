
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The embedded store: records in shared memory, which all workers of one nginx
 * share and which are kept over a reload.  Its operations never wait: they
 * always return NGX_OK.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"
#include "ngx_http_chatmaid_zone.h"


extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_zone;


/*
 * Like claim(), but does not take the record.  If claim->result becomes
 * CLAIMED, the record may be taken.  Then claim->may_be_accepted tells whether
 * there was an earlier try, claim->former_ended whether its owner
 * (claim->former_owner) makes no more tries, and claim->former_removed whether
 * the record of that owner must first be removed from Redis.
 */
void ngx_http_chatmaid_store_zone_check(ngx_http_chatmaid_claim_t *claim);

/* Marks an event as delivered, if the claim still owns its record in flight. */
void ngx_http_chatmaid_store_zone_mark_delivered(
    ngx_http_chatmaid_claim_t *claim);

/* Deletes the record with the claim's fingerprint, whoever owns it, because
 * Redis has the answer now: an unfinished record of a send, or any record of an
 * event that did not begin without Redis. */
void ngx_http_chatmaid_store_zone_forget(ngx_http_chatmaid_claim_t *claim);

/* Deletes the claim's ambiguous record, because Redis has confirmed that it has
 * the same one. */
void ngx_http_chatmaid_store_zone_confirmed(ngx_http_chatmaid_claim_t *claim);

/* Note that Redis must be told later.  untold(): how the claim has ended.
 * removed(): that the claim has ended without leaving a record, although Redis
 * may have granted it. */
void ngx_http_chatmaid_store_zone_untold(ngx_http_chatmaid_claim_t *claim);
void ngx_http_chatmaid_store_zone_removed(ngx_http_chatmaid_claim_t *claim);


#endif /* _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_ */
