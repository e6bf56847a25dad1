
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The records in the zone of which Redis has to be told, the oldest first.
 */


#ifndef _NGX_HTTP_CHATMAID_UNTOLD_QUEUE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_UNTOLD_QUEUE_H_INCLUDED_


#include "ngx_http_chatmaid_zone.h"


/* Whether there is something untold, and this worker may tell it for the next
 * lease_time milliseconds. */
ngx_uint_t ngx_http_chatmaid_untold_queue_may_tell(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_msec_t lease_time);

/* Makes a claim of the oldest untold record behind *serial, with the ttl that
 * is left, and moves *serial to it; claim->mcf and claim->pool are given.
 * NGX_OK; NGX_DECLINED: there is none; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_untold_queue_next(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_record_state_e *state,
    uint64_t *serial);

/* Redis has been told of this record, unless it has changed since then. */
void ngx_http_chatmaid_untold_queue_told(ngx_http_chatmaid_main_conf_t *mcf,
    u_char *id, uint64_t serial);


#endif /* _NGX_HTTP_CHATMAID_UNTOLD_QUEUE_H_INCLUDED_ */
