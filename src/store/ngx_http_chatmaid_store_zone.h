
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

/* Redis has to be told later: how the claim has ended; that it has ended
 * without a trace, though Redis may have granted it. */
void ngx_http_chatmaid_store_zone_untold(ngx_http_chatmaid_claim_t *claim);
void ngx_http_chatmaid_store_zone_removed(ngx_http_chatmaid_claim_t *claim);


#endif /* _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_ */
