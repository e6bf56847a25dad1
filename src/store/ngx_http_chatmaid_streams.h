
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * How far the readers of chatmaid_webhook_stream have come.  One worker asks
 * Redis every ten seconds; what it was told is in the zone.
 */


#ifndef _NGX_HTTP_CHATMAID_STREAMS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STREAMS_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* A stream, or one of its groups.  -1: not known. */

typedef struct {
    ngx_str_t       stream;
    ngx_str_t       group;             /* data is NULL: the stream itself */
    int64_t         entries;           /* of a stream */
    int64_t         lag;               /* of a group, as all below: entries */
    int64_t         oldest;            /* milliseconds */
} ngx_http_chatmaid_stream_t;


/* When a worker starts: it asks, when it is its turn. */
void ngx_http_chatmaid_streams_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_main_conf_t *mcf);

/* What is known, as an array of ..._stream_t in the pool, each stream before
 * its groups.  NULL without memory. */
ngx_array_t *ngx_http_chatmaid_streams_get(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_pool_t *pool);


#endif /* _NGX_HTTP_CHATMAID_STREAMS_H_INCLUDED_ */
