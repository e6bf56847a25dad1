
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What all workers of one nginx know about an upstream: how the latest call to
 * it ended.
 */


#ifndef _NGX_HTTP_CHATMAID_UPSTREAM_STATE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_UPSTREAM_STATE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


typedef enum {
    NGX_HTTP_CHATMAID_UPSTREAM_UNKNOWN = 0,  /* no call has ended yet */
    NGX_HTTP_CHATMAID_UPSTREAM_UP,
    NGX_HTTP_CHATMAID_UPSTREAM_DOWN
} ngx_http_chatmaid_upstream_state_e;


/* Get and set the state of an upstream block, or of a host and port in
 * "proxy_pass".  If the zone is full, a state that is set may be lost: it
 * remains UNKNOWN. */
ngx_http_chatmaid_upstream_state_e ngx_http_chatmaid_upstream_state_get(
    ngx_shm_zone_t *shm_zone, ngx_http_upstream_srv_conf_t *upstream);
void ngx_http_chatmaid_upstream_state_set(ngx_shm_zone_t *shm_zone,
    ngx_http_upstream_srv_conf_t *upstream,
    ngx_http_chatmaid_upstream_state_e state);


#endif /* _NGX_HTTP_CHATMAID_UPSTREAM_STATE_H_INCLUDED_ */
