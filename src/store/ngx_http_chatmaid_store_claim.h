
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Claims a record in the shared store: first the zone is checked, then Redis is
 * asked; if Redis does not answer, "fallback" decides.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* claim() and clock() of the shared store; store.h describes them. */
ngx_int_t ngx_http_chatmaid_store_claim(ngx_http_chatmaid_claim_t *claim);
int64_t ngx_http_chatmaid_store_claim_clock(void);


#endif /* _NGX_HTTP_CHATMAID_STORE_CLAIM_H_INCLUDED_ */
