
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A send's claim of its operation: asked of the store, kept by a renewed lease,
 * waited for where another send has it, and settled.
 */


#ifndef _NGX_HTTP_CHATMAID_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid_module.h"


/* Asks for ctx->claim, whose id, fingerprint and ttl are set.  NGX_OK:
 * claim->result; a CLAIMED one is renewed until it is settled.  NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_claim_ask(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);

/* Parks the flow until the claim is worth asking for again: NGX_AGAIN; or
 * NGX_DECLINED where it has waited for as long as it may. */
ngx_int_t ngx_http_chatmaid_claim_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);

/* Whether a try may begin: the lease still runs, by our own clock. */
ngx_uint_t ngx_http_chatmaid_claim_is_ours(ngx_http_chatmaid_ctx_t *ctx);

/* Ends the claim and wakes those who wait for it: with Chatmaid's answer, as
 * ambiguous, or as if it had never been.  The last is NGX_DECLINED where the
 * record had to stay: the outcome is unknown then.  The others always NGX_OK. */
ngx_int_t ngx_http_chatmaid_claim_finish(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_str_t *answer);
ngx_int_t ngx_http_chatmaid_claim_ambiguous(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
ngx_int_t ngx_http_chatmaid_claim_remove(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);


#endif /* _NGX_HTTP_CHATMAID_CLAIM_H_INCLUDED_ */
