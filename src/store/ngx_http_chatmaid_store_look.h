
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Reads the state of a record without claiming it: first in the zone, then in
 * Redis.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_LOOK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_LOOK_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/*
 * Reads the state of the record with claim->id, whatever its message, and
 * changes nothing.  claim->result becomes IN_FLIGHT, AMBIGUOUS, DONE (with
 * claim->answer), ABSENT, FOREIGN or NO_STORE; claim->begun becomes the time
 * when the record began, as Unix time in milliseconds.  The caller provides a
 * zeroed claim with id, pool, mcf, handler and data.
 *
 * NGX_OK: done.  NGX_AGAIN: claim->handler will be called, never before this
 * has returned, unless the claim is abandoned.
 */
ngx_int_t ngx_http_chatmaid_store_look(ngx_http_chatmaid_claim_t *claim);


#endif /* _NGX_HTTP_CHATMAID_STORE_LOOK_H_INCLUDED_ */
