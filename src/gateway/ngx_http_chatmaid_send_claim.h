
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A send's lease on its record, and the wait for another send that has it.
 */


#ifndef _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Asks for flow->lease, whose claim names the record.  NGX_OK, or NGX_AGAIN with
 * the flow to be parked; the next step finds claim.result.  NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_send_claim_ask(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* Parks the flow until it is worth asking again: NGX_AGAIN.  NGX_DECLINED: the
 * send has waited for as long as it may. */
ngx_int_t ngx_http_chatmaid_send_claim_wait(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

/* Ends a lease that is settled, and wakes the sends of this worker that wait
 * for its record. */
void ngx_http_chatmaid_send_claim_end(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_SEND_CLAIM_H_INCLUDED_ */
