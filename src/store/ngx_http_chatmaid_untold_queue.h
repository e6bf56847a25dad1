
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The records in the zone of which Redis must be told ("untold"), the oldest
 * first.
 */


#ifndef _NGX_HTTP_CHATMAID_UNTOLD_QUEUE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_UNTOLD_QUEUE_H_INCLUDED_


#include "ngx_http_chatmaid_zone.h"


/* Returns 1 if there are untold records, and gives this worker the lease to
 * send them to Redis for lease_time milliseconds.  0: there are none, or
 * another worker has the lease. */
ngx_uint_t ngx_http_chatmaid_untold_queue_may_tell(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_msec_t lease_time);

/* Copies the oldest untold record behind *serial to the claim, with the ttl
 * that is left, and sets *state and *serial to those of the record.  The caller
 * provides a zeroed claim with mcf and pool; the answer is allocated in the
 * pool.  NGX_OK; NGX_DECLINED: there is none; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_untold_queue_next(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_state_e *state,
    uint64_t *serial);

/* Says that Redis has been told of this record.  A record that has changed
 * since it was copied has another serial number, and stays untold. */
void ngx_http_chatmaid_untold_queue_told(ngx_http_chatmaid_main_conf_t *mcf,
    u_char *id, uint64_t serial);


#endif /* _NGX_HTTP_CHATMAID_UNTOLD_QUEUE_H_INCLUDED_ */
