
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The state of a record, for whoever asks without wanting it: what the zone
 * says first, then what Redis answers.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_LOOK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_LOOK_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* Tells the state of the record with claim->id, whatever message it is of,
 * and changes nothing: claim->result is IN_FLIGHT, AMBIGUOUS, DONE (with its
 * answer), ABSENT, FOREIGN or NO_STORE; claim->begun is when it began, Unix time
 * in milliseconds.  NGX_OK, or NGX_AGAIN: claim->handler will be called, never
 * before this has returned, unless the claim is abandoned. */
ngx_int_t ngx_http_chatmaid_store_look(ngx_http_chatmaid_claim_t *claim);


#endif /* _NGX_HTTP_CHATMAID_STORE_LOOK_H_INCLUDED_ */
