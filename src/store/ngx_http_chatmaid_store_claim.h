
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The claim of a record in Redis: what the zone says first, what Redis answers,
 * and what is done if it does not.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* claim() and clock() of the shared store: store.h says what they do. */
ngx_int_t ngx_http_chatmaid_store_claim(ngx_http_chatmaid_claim_t *claim);
int64_t ngx_http_chatmaid_store_claim_clock(void);


#endif /* _NGX_HTTP_CHATMAID_STORE_CLAIM_H_INCLUDED_ */
