
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A send's lease on its record, and the wait while another send holds it.
 */


#ifndef _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_lease.h"


typedef struct {
    ngx_http_chatmaid_flow_t    *flow;
    ngx_http_chatmaid_lease_t    lease;

    ngx_event_t                  wait;        /* for another send */
    ngx_queue_t                  queue;       /* of sends that wait */
    ngx_msec_t                   wait_pause;  /* before asking again */
    ngx_msec_t                   wait_end;    /* time to give up */
} ngx_http_chatmaid_send_claim_t;


/* Asks the store for the record that lease.claim names.  NGX_OK, or NGX_AGAIN:
 * the flow will be resumed.  The next step finds the store's answer in
 * lease.claim.result.  NGX_ERROR: no random bytes. */
ngx_int_t ngx_http_chatmaid_send_claim_ask(
    ngx_http_chatmaid_send_claim_t *claim);

/* Waits for the send that holds the record.  NGX_AGAIN: the flow will be
 * resumed when it is worth asking again.  NGX_DECLINED: the send has waited for
 * chatmaid_idempotency_wait. */
ngx_int_t ngx_http_chatmaid_send_claim_wait(
    ngx_http_chatmaid_send_claim_t *claim);

/* Ends a lease that has been settled, and wakes the sends of this worker that
 * wait for its record. */
void ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_send_claim_t *claim);

/* To be called before the request's memory is freed, whatever the state of the
 * claim.  A lease that was not settled runs out in the store. */
void ngx_http_chatmaid_send_claim_leave(ngx_http_chatmaid_send_claim_t *claim);


#endif /* _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_ */
