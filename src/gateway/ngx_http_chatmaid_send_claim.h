
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A send's claim of its operation: asked of the store, kept by a renewed lease,
 * waited for where another send has it, and settled.
 */


#ifndef _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Asks for flow->claim, which has been named.  NGX_OK, or NGX_AGAIN with the
 * flow to be parked; the next step finds claim->result.  NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_send_claim_ask(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* A claim that is ours is renewed from now on until it is settled. */
void ngx_http_chatmaid_send_claim_keep(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* Parks the flow until the claim is worth asking for again: NGX_AGAIN; or
 * NGX_DECLINED where it has waited for as long as it may. */
ngx_int_t ngx_http_chatmaid_send_claim_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* Whether a try may begin: the lease still runs, by our own clock. */
ngx_uint_t ngx_http_chatmaid_send_claim_is_ours(ngx_http_chatmaid_flow_t *flow);

/* Settles it: with Chatmaid's answer, as ambiguous, or as if it had never
 * been. NGX_OK, or NGX_AGAIN with the flow to be parked; the next step finds
 * claim->rc, and calls claim_end(). */
ngx_int_t ngx_http_chatmaid_send_claim_finish(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer);
ngx_int_t ngx_http_chatmaid_send_claim_ambiguous(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
ngx_int_t ngx_http_chatmaid_send_claim_remove(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* Wakes the sends of this worker that wait for it. */
void ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_ */
