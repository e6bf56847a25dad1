
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Numbers about the contents of the zone, for chatmaid_status.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_STAT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_STAT_H_INCLUDED_


#include "ngx_http_chatmaid_zone.h"


/* A record in flight whose lease has run out is counted as ambiguous. */

typedef struct {
    ngx_uint_t                        sends[NGX_HTTP_CHATMAID_RECORD_STATES];
    ngx_uint_t                        evicted;     /* records dropped before
                                                    * their ttl was over */
    size_t                            used;        /* bytes */
    size_t                            free;
} ngx_http_chatmaid_zone_stat_t;


/* Fills in *stat.  Locks the zone, and deletes records whose ttl is over
 * first. */
void ngx_http_chatmaid_zone_stat(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_zone_stat_t *stat);


#endif /* _NGX_HTTP_CHATMAID_ZONE_STAT_H_INCLUDED_ */
