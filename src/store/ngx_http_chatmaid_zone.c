
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_zone.h"
#include "ngx_http_chatmaid_crypto.h"


/* To be changed with each change of a shared structure. */
#define NGX_HTTP_CHATMAID_ZONE_LAYOUT  7

/* How many records are dropped at most for one allocation. */
#define NGX_HTTP_CHATMAID_ZONE_EVICT   64

/*
 * An unfinished record may be dropped if it has not been touched for this many
 * milliseconds.  A lease is much shorter, and each renewal touches the record:
 * so such a record is not in flight.
 */
#define NGX_HTTP_CHATMAID_ZONE_GIVE_UP  600000

/*
 * A note is larger than it needs to be, so that it does not share pages with
 * the marks of events: notes expire after a minute, marks after a day, and a
 * page that held both would hardly ever become free.  Notes take at most one
 * part in NOTE_SHARE of a zone.
 */
#define NGX_HTTP_CHATMAID_ZONE_NOTE_SIZE   512
#define NGX_HTTP_CHATMAID_ZONE_NOTE_SHARE  8

/* There is a bucket for each 512 bytes of the zone, rounded up to a power of
 * two: at most two records for each bucket on average. */
#define NGX_HTTP_CHATMAID_ZONE_BUCKET  512

/* How many expired records are deleted at most when a record is created. */
#define NGX_HTTP_CHATMAID_ZONE_EXPIRE  4


static ngx_int_t ngx_http_chatmaid_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_chatmaid_zone_format(ngx_http_chatmaid_zone_t *zone);
static ngx_http_chatmaid_record_t **ngx_http_chatmaid_zone_bucket(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_queue_t *ngx_http_chatmaid_zone_expiry(
    ngx_http_chatmaid_zone_t *zone, ngx_msec_t ttl);
static ngx_queue_t *ngx_http_chatmaid_zone_queue(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_record_t *rec);
static void ngx_http_chatmaid_zone_drop(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_oldest(
    ngx_http_chatmaid_zone_t *zone);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_oldest_finished(
    ngx_http_chatmaid_zone_t *zone);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_first(
    ngx_queue_t *queue);


ngx_shm_zone_t *
ngx_http_chatmaid_zone_add(ngx_conf_t *cf, ngx_str_t *name, size_t size)
{
    ngx_shm_zone_t            *shm_zone;
    ngx_http_chatmaid_zone_t  *zone;

    shm_zone = ngx_shared_memory_add(cf, name, size, &ngx_http_chatmaid_module);
    if (shm_zone == NULL) {
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->size = size;

    shm_zone->init = ngx_http_chatmaid_zone_init;
    shm_zone->data = zone;

    return shm_zone;
}


static ngx_int_t
ngx_http_chatmaid_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_chatmaid_zone_t  *zone = shm_zone->data;
    ngx_http_chatmaid_zone_t  *before = data;

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (before || shm_zone->shm.exists) {
        zone->sh = before ? before->sh : zone->shpool->data;

        if (zone->sh->layout == NGX_HTTP_CHATMAID_ZONE_LAYOUT) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"chatmaid_zone\" \"%V\" was laid out by another "
                      "version of the module: restart nginx",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_chatmaid_zone_sh_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;

    return ngx_http_chatmaid_zone_format(zone);
}


static ngx_int_t
ngx_http_chatmaid_zone_format(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t                    i, n;
    ngx_http_chatmaid_zone_sh_t  *sh = zone->sh;

    zone->shpool->log_nomem = 0;        /* a full zone is a normal case */

    sh->layout = NGX_HTTP_CHATMAID_ZONE_LAYOUT;
    sh->notes_wanted = ngx_current_msec;

    for (i = 0; i < NGX_HTTP_CHATMAID_ZONE_TTLS; i++) {
        ngx_queue_init(&sh->expiry[i]);
    }

    ngx_queue_init(&sh->kept);
    ngx_queue_init(&sh->unfinished);
    ngx_queue_init(&sh->untold);
    ngx_queue_init(&sh->accounts);
    ngx_queue_init(&sh->paces);
    ngx_queue_init(&sh->streams);
    ngx_queue_init(&sh->upstreams);

    for (i = 0; i < NGX_HTTP_CHATMAID_ZONE_KINDS; i++) {
        ngx_queue_init(&sh->finished[i]);
    }

    sh->shift = 64;

    for (n = 1; n < zone->size / NGX_HTTP_CHATMAID_ZONE_BUCKET; n *= 2) {
        sh->shift--;
    }

    sh->buckets = ngx_slab_calloc_locked(zone->shpool,
                                n * sizeof(ngx_http_chatmaid_record_t *));
    if (sh->buckets == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_crypto_random(ngx_cycle->log, (u_char *) &sh->factor,
                                        sizeof(sh->factor))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sh->factor |= 1;

    return NGX_OK;
}


ngx_http_chatmaid_counters_t *
ngx_http_chatmaid_zone_counters(ngx_shm_zone_t *shm_zone)
{
    ngx_http_chatmaid_zone_t  *zone = shm_zone->data;

    return &zone->sh->counters;
}


/*
 * When a worker dies with the zone locked, the master unlocks it.  What that
 * worker was changing can't be trusted, so the zone starts empty.
 */

void
ngx_http_chatmaid_zone_lock(ngx_http_chatmaid_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->sh->changing) {
        ngx_slab_init(zone->shpool);

        /* the first allocation in a fresh pool has the same address as before;
         * it is marked as changing in case this worker dies here too */
        zone->sh = ngx_slab_calloc_locked(zone->shpool,
                                          sizeof(ngx_http_chatmaid_zone_sh_t));
        zone->sh->changing = 1;
        zone->sh->reset = 1;

        /* there is room, because there was at the start; if OpenSSL fails, the
         * factor is 0 and all records share one bucket */
        (void) ngx_http_chatmaid_zone_format(zone);
    }

    zone->sh->changing = 1;
}


void
ngx_http_chatmaid_zone_unlock(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t  warn, gave_up, reset;

    warn = (zone->sh->evicted && !zone->sh->warned);
    gave_up = zone->sh->gave_up_first;
    reset = zone->sh->reset;

    zone->sh->warned |= warn;
    zone->sh->gave_up_first = 0;
    zone->sh->reset = 0;
    zone->sh->changing = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (reset) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "chatmaid zone has lost its records: a worker died while "
                      "it changed them");
    }

    if (warn) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid zone is full: finished records are dropped "
                      "before their ttl, a retry of such a send asks Chatmaid "
                      "again, a repeat of such an event is handed on again");
    }

    if (gave_up) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid zone is full of unfinished records: the oldest "
                      "are dropped, a retry of such a send is a new one with "
                      "the same key for Chatmaid");
    }
}


ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_find(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_record_t  *rec;

    for (rec = *ngx_http_chatmaid_zone_bucket(zone, id); rec; rec = rec->next) {

        if (ngx_memcmp(rec->id, id, NGX_HTTP_CHATMAID_ID_LEN) != 0) {
            continue;
        }

        if ((ngx_msec_int_t) (rec->expires - ngx_current_msec) <= 0) {
            ngx_http_chatmaid_zone_delete(zone, rec);
            return NULL;
        }

        return rec;
    }

    return NULL;
}


/* The factor is secret, so that nobody can choose keys that share a bucket. */

static ngx_http_chatmaid_record_t **
ngx_http_chatmaid_zone_bucket(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    uint64_t  key;

    ngx_memcpy(&key, id, sizeof(uint64_t));

    return &zone->sh->buckets[(key * zone->sh->factor) >> zone->sh->shift];
}


ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_create(ngx_http_chatmaid_zone_t *zone, u_char *id,
    ngx_http_chatmaid_zone_kind_e kind, ngx_msec_t ttl)
{
    ngx_queue_t                 *expiry;
    ngx_http_chatmaid_record_t  *rec, **bucket;

    static size_t  sizes[] = {
        NGX_HTTP_CHATMAID_ZONE_RECORD,
        sizeof(ngx_http_chatmaid_record_t),
        NGX_HTTP_CHATMAID_ZONE_NOTE_SIZE
    };

    ngx_http_chatmaid_zone_expire(zone, NGX_HTTP_CHATMAID_ZONE_EXPIRE);

    if (kind == NGX_HTTP_CHATMAID_ZONE_NOTE
        && zone->sh->notes >= zone->size / NGX_HTTP_CHATMAID_ZONE_NOTE_SHARE
                              / NGX_HTTP_CHATMAID_ZONE_NOTE_SIZE)
    {
        ngx_http_chatmaid_zone_delete(zone,
                  ngx_http_chatmaid_zone_first(&zone->sh->finished[kind]));
    }

    rec = ngx_http_chatmaid_zone_alloc(zone, kind, sizes[kind]);

    if (rec == NULL) {
        return NULL;
    }

    zone->sh->notes += (kind == NGX_HTTP_CHATMAID_ZONE_NOTE);
    zone->sh->sends[NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT] +=
                                          (kind == NGX_HTTP_CHATMAID_ZONE_SEND);

    ngx_memzero(rec, sizeof(ngx_http_chatmaid_record_t));

    rec->kind = kind;

    ngx_memcpy(rec->id, id, NGX_HTTP_CHATMAID_ID_LEN);

    rec->begun = ngx_current_msec;
    rec->queued = ngx_current_msec;
    rec->expires = ngx_current_msec + ttl;

    bucket = ngx_http_chatmaid_zone_bucket(zone, id);

    rec->next = *bucket;
    rec->link = bucket;
    *bucket = rec;

    if (rec->next) {
        rec->next->link = &rec->next;
    }

    expiry = ngx_http_chatmaid_zone_expiry(zone, ttl);

    ngx_queue_insert_tail(expiry, &rec->expiry);
    ngx_queue_insert_tail(&zone->sh->unfinished, &rec->queue);

    return rec;
}


void
ngx_http_chatmaid_zone_set_state(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_record_state_e state)
{
    if (rec->kind == NGX_HTTP_CHATMAID_ZONE_SEND) {
        zone->sh->sends[rec->state]--;
        zone->sh->sends[state]++;
    }

    rec->state = state;

    ngx_http_chatmaid_zone_set_told(zone, rec);
}


void
ngx_http_chatmaid_zone_touch(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    ngx_queue_t  *queue;

    rec->queued = ngx_current_msec;

    queue = ngx_http_chatmaid_zone_queue(zone, rec);

    ngx_queue_remove(&rec->queue);
    ngx_queue_insert_tail(queue, &rec->queue);
}


static ngx_queue_t *
ngx_http_chatmaid_zone_queue(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    switch (rec->state) {

    case NGX_HTTP_CHATMAID_RECORD_DONE:
        return rec->untold ? &zone->sh->kept : &zone->sh->finished[rec->kind];

    case NGX_HTTP_CHATMAID_RECORD_REMOVED:
        return &zone->sh->finished[rec->kind];

    default:
        return &zone->sh->unfinished;
    }
}


void
ngx_http_chatmaid_zone_set_untold(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    if (rec->untold) {
        return;
    }

    rec->untold = 1;
    rec->untold_serial = ++zone->sh->untold_serial;

    ngx_queue_insert_tail(&zone->sh->untold, &rec->untold_queue);

    ngx_http_chatmaid_zone_touch(zone, rec);
}


void
ngx_http_chatmaid_zone_set_told(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    if (rec->untold) {
        rec->untold = 0;
        ngx_queue_remove(&rec->untold_queue);
    }

    ngx_http_chatmaid_zone_touch(zone, rec);
}


void
ngx_http_chatmaid_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl)
{
    ngx_queue_t  *expiry;

    rec->expires = ngx_current_msec + ttl;

    /* in a variable, because ngx_queue_insert_tail() is a macro that evaluates
     * its argument several times */
    expiry = ngx_http_chatmaid_zone_expiry(zone, ttl);

    ngx_queue_remove(&rec->expiry);
    ngx_queue_insert_tail(expiry, &rec->expiry);
}


static ngx_queue_t *
ngx_http_chatmaid_zone_expiry(ngx_http_chatmaid_zone_t *zone, ngx_msec_t ttl)
{
    ngx_uint_t  i;

    ttl /= 1024;                /* the shortest ttls share the first queue */

    for (i = 0; ttl && i < NGX_HTTP_CHATMAID_ZONE_TTLS - 1; i++) {
        ttl /= 2;
    }

    return &zone->sh->expiry[i];
}


void
ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    *rec->link = rec->next;

    if (rec->next) {
        rec->next->link = rec->link;
    }

    ngx_queue_remove(&rec->expiry);
    ngx_queue_remove(&rec->queue);

    if (rec->untold) {
        ngx_queue_remove(&rec->untold_queue);
    }

    zone->sh->notes -= (rec->kind == NGX_HTTP_CHATMAID_ZONE_NOTE);
    zone->sh->sends[rec->state] -= (rec->kind == NGX_HTTP_CHATMAID_ZONE_SEND);

    if (rec->answer && rec->answer != (u_char *) (rec + 1)) {
        ngx_slab_free_locked(zone->shpool, rec->answer);
    }

    ngx_slab_free_locked(zone->shpool, rec);
}


void
ngx_http_chatmaid_zone_expire(ngx_http_chatmaid_zone_t *zone, ngx_uint_t n)
{
    ngx_uint_t                   i;
    ngx_queue_t                 *expiry;
    ngx_http_chatmaid_record_t  *rec;

    for (i = 0; i < NGX_HTTP_CHATMAID_ZONE_TTLS; i++) {
        expiry = &zone->sh->expiry[i];

        while (n && !ngx_queue_empty(expiry)) {

            rec = ngx_queue_data(ngx_queue_head(expiry),
                                 ngx_http_chatmaid_record_t, expiry);

            if ((ngx_msec_int_t) (rec->expires - ngx_current_msec) > 0) {
                break;
            }

            ngx_http_chatmaid_zone_delete(zone, rec);
            n--;
        }
    }
}


/*
 * Makes room by dropping records.  If these were in different pages, perhaps no
 * page has become free; then a record of the same kind is dropped, whose place
 * has the right size.
 */

void *
ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_zone_kind_e kind, size_t size)
{
    void                        *p;
    ngx_uint_t                   i;
    ngx_http_chatmaid_record_t  *rec;

    for (i = 0; /* void */; i++) {

        p = ngx_slab_alloc_locked(zone->shpool, size);

        if (p || i > NGX_HTTP_CHATMAID_ZONE_EVICT) {
            return p;
        }

        rec = (i < NGX_HTTP_CHATMAID_ZONE_EVICT)
              ? ngx_http_chatmaid_zone_oldest(zone)
              : ngx_http_chatmaid_zone_first(&zone->sh->finished[kind]);

        if (rec == NULL) {
            return NULL;
        }

        ngx_http_chatmaid_zone_drop(zone, rec);
    }
}


static void
ngx_http_chatmaid_zone_drop(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    ngx_http_chatmaid_zone_sh_t  *sh = zone->sh;

    switch (rec->state) {

    case NGX_HTTP_CHATMAID_RECORD_DONE:
        sh->evicted += (rec->kind != NGX_HTTP_CHATMAID_ZONE_NOTE);
        break;

    case NGX_HTTP_CHATMAID_RECORD_REMOVED:
        break;

    default:

        /* log one line, and no other until no record has been given up for some
         * time */

        sh->gave_up_first |= (!sh->giving_up
                              || (ngx_msec_int_t)
                                 (ngx_current_msec - sh->gave_up)
                                 >= NGX_HTTP_CHATMAID_ZONE_GIVE_UP);
        sh->giving_up = 1;
        sh->gave_up = ngx_current_msec;
    }

    ngx_http_chatmaid_zone_delete(zone, rec);
}


/* The record to be dropped next, or NULL. */

static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_oldest(ngx_http_chatmaid_zone_t *zone)
{
    ngx_http_chatmaid_record_t  *rec;

    rec = ngx_http_chatmaid_zone_oldest_finished(zone);

    if (rec == NULL) {
        rec = ngx_http_chatmaid_zone_first(&zone->sh->kept);
    }

    if (rec == NULL) {
        rec = ngx_http_chatmaid_zone_first(&zone->sh->unfinished);

        if (rec && (ngx_msec_int_t) (ngx_current_msec - rec->queued)
                   < NGX_HTTP_CHATMAID_ZONE_GIVE_UP)
        {
            return NULL;
        }
    }

    return rec;
}


static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_oldest_finished(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t                   i;
    ngx_http_chatmaid_record_t  *rec, *oldest;

    oldest = NULL;

    for (i = 0; i < NGX_HTTP_CHATMAID_ZONE_KINDS; i++) {

        rec = ngx_http_chatmaid_zone_first(&zone->sh->finished[i]);

        if (oldest == NULL
            || (rec && (ngx_msec_int_t) (rec->queued - oldest->queued) < 0))
        {
            oldest = rec;
        }
    }

    return oldest;
}


static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_first(ngx_queue_t *queue)
{
    if (ngx_queue_empty(queue)) {
        return NULL;
    }

    return ngx_queue_data(ngx_queue_head(queue), ngx_http_chatmaid_record_t,
                          queue);
}
