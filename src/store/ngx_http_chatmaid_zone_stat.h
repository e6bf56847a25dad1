
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the zone holds, for those who look at it.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_STAT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_STAT_H_INCLUDED_


#include "ngx_http_chatmaid_zone.h"


/* A record in flight whose lease has run out is ambiguous,
 * whatever its state. */

typedef struct {
    ngx_uint_t                        sends[NGX_HTTP_CHATMAID_RECORD_STATES];
    ngx_uint_t                        evicted;     /* before their ttl */
    size_t                            used;        /* bytes */
    size_t                            free;
} ngx_http_chatmaid_zone_stat_t;


/* Counts now, under the zone's lock, which it takes.  Records whose ttl is over
 * are deleted first. */
void ngx_http_chatmaid_zone_stat(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_zone_stat_t *stat);


#endif /* _NGX_HTTP_CHATMAID_ZONE_STAT_H_INCLUDED_ */
