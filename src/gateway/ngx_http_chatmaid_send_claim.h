
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A send's lease on its record, and the wait for another send that has it.
 */


#ifndef _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_lease.h"


typedef struct {
    ngx_http_chatmaid_flow_t    *flow;
    ngx_http_chatmaid_lease_t    lease;

    ngx_event_t                  wait;        /* for another send */
    ngx_queue_t                  queue;       /* of those that wait */
    ngx_msec_t                   wait_pause;  /* the next one */
    ngx_msec_t                   wait_end;
} ngx_http_chatmaid_send_claim_t;


/* Asks for the record that lease.claim names.  NGX_OK, or NGX_AGAIN: the flow
 * will be resumed; the next step finds claim.result.  NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_send_claim_ask(
    ngx_http_chatmaid_send_claim_t *claim);

/* NGX_AGAIN: the flow will be resumed when it is worth asking again.
 * NGX_DECLINED: the send has waited for as long as it may. */
ngx_int_t ngx_http_chatmaid_send_claim_wait(
    ngx_http_chatmaid_send_claim_t *claim);

/* Ends a lease that is settled, and wakes the sends of this worker that wait
 * for its record. */
void ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_send_claim_t *claim);

/* Before the request's memory is freed, in whatever state the claim is. */
void ngx_http_chatmaid_send_claim_leave(ngx_http_chatmaid_send_claim_t *claim);


#endif /* _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_ */
