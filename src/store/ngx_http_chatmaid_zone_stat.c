
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_zone_stat.h"


/* How many expired records are deleted at most while the zone is locked. */
#define NGX_HTTP_CHATMAID_ZONE_STAT_EXPIRE  10000


static ngx_uint_t ngx_http_chatmaid_zone_stat_run_out(
    ngx_http_chatmaid_zone_t *zone);
static size_t ngx_http_chatmaid_zone_stat_free(ngx_slab_pool_t *shpool);


void
ngx_http_chatmaid_zone_stat(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_zone_stat_t *stat)
{
    ngx_uint_t                 n;
    ngx_http_chatmaid_zone_t  *zone = shm_zone->data;

    ngx_http_chatmaid_zone_lock(zone);

    ngx_http_chatmaid_zone_expire(zone, NGX_HTTP_CHATMAID_ZONE_STAT_EXPIRE);

    ngx_memcpy(stat->sends, zone->sh->sends, sizeof(stat->sends));

    n = ngx_http_chatmaid_zone_stat_run_out(zone);

    stat->sends[NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT] -= n;
    stat->sends[NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS] += n;

    stat->evicted = zone->sh->evicted;
    stat->free = ngx_http_chatmaid_zone_stat_free(zone->shpool);
    stat->used = zone->size - stat->free;

    ngx_http_chatmaid_zone_unlock(zone);
}


/* The number of sends in flight whose lease has run out. */

static ngx_uint_t
ngx_http_chatmaid_zone_stat_run_out(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t                   n;
    ngx_queue_t                 *q;
    ngx_http_chatmaid_record_t  *rec;

    n = 0;

    for (q = ngx_queue_head(&zone->sh->unfinished);
         q != ngx_queue_sentinel(&zone->sh->unfinished);
         q = ngx_queue_next(q))
    {
        rec = ngx_queue_data(q, ngx_http_chatmaid_record_t, queue);

        n += (rec->kind == NGX_HTTP_CHATMAID_ZONE_SEND
              && rec->state == NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT
              && (ngx_msec_int_t) (rec->lease_end - ngx_current_msec) <= 0);
    }

    return n;
}


/* The free bytes: free pages, and free places in pages that are divided. */

static size_t
ngx_http_chatmaid_zone_stat_free(ngx_slab_pool_t *shpool)
{
    size_t            size;
    ngx_uint_t        i, n;
    ngx_slab_stat_t  *stat;

    size = shpool->pfree * ngx_pagesize;
    n = ngx_pagesize_shift - shpool->min_shift;

    for (i = 0; i < n; i++) {
        stat = &shpool->stats[i];
        size += (stat->total - stat->used) << (i + shpool->min_shift);
    }

    return size;
}
