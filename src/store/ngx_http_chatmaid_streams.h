
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * How far the readers of chatmaid_webhook_stream have come.  One worker asks
 * Redis every ten seconds, and stores the reply in the zone.
 */


#ifndef _NGX_HTTP_CHATMAID_STREAMS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STREAMS_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* A stream, or one of its consumer groups.  -1 means that a number is not
 * known. */

typedef struct {
    ngx_str_t       stream;
    ngx_str_t       group;             /* data is NULL: the stream itself */
    int64_t         entries;           /* of a stream: its length */
    int64_t         lag;               /* of a group: entries not delivered */
    int64_t         oldest;            /* of a group: age of the oldest entry
                                        * that is not acknowledged, in
                                        * milliseconds; 0: there is none */
} ngx_http_chatmaid_stream_t;


/* Starts this worker's timer, once there is a Redis client.  Does nothing if no
 * stream is configured. */
void ngx_http_chatmaid_streams_init(ngx_cycle_t *cycle,
    ngx_http_chatmaid_main_conf_t *mcf);

/* Returns what is known, as an array of ngx_http_chatmaid_stream_t in the pool,
 * each stream before its groups.  NULL: no memory. */
ngx_array_t *ngx_http_chatmaid_streams_get(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_pool_t *pool);


#endif /* _NGX_HTTP_CHATMAID_STREAMS_H_INCLUDED_ */
