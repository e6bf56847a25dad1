
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Records that were settled while Redis was away are only in the zone: Redis
 * has not been told of them ("untold").  When Redis is back, one worker at a
 * time sends them to Redis, the oldest first.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_UNTOLD_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_UNTOLD_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Starts this worker's timer.  For init_process, after the Redis client has
 * been created; without a client this does nothing. */
void ngx_http_chatmaid_store_untold_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_STORE_UNTOLD_H_INCLUDED_ */
