
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What was settled while Redis was away, and stands in the zone since then, is
 * told to Redis when it is back: by one worker at a time, the oldest first.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_UNTOLD_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_UNTOLD_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* For init_process, once there is a Redis client.  Without one this does
 * nothing. */
void ngx_http_chatmaid_store_untold_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_STORE_UNTOLD_H_INCLUDED_ */
