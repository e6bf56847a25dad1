
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The embedded store: records in shared memory, the same for all workers of one
 * nginx, kept over a reload.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* The same as claim(), but the record is not taken: a result of CLAIMED says
 * that it might be, claim->may_be_accepted whether a try went before, and claim->former_ended
 * that its owner, who is in claim->former_owner, makes no more of them. */
void ngx_http_chatmaid_store_zone_check(ngx_http_chatmaid_claim_t *claim);

/* An event that is under way in the zone has been delivered. */
void ngx_http_chatmaid_store_zone_mark_delivered(ngx_http_chatmaid_claim_t *claim);

/* Forgets what is unfinished of the claim's message (of an event, all of it),
 * whoever has it: another store knows the answer. */
void ngx_http_chatmaid_store_zone_forget(ngx_http_chatmaid_claim_t *claim);


/* Its "void *store" is the ngx_shm_zone_t.  Nothing in it waits. */
extern ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_zone;


#endif /* _NGX_HTTP_CHATMAID_STORE_ZONE_H_INCLUDED_ */
