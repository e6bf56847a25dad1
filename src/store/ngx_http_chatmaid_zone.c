
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_zone.h"


/* Whoever changes the shared layout changes this number. */
#define NGX_HTTP_CHATMAID_ZONE_LAYOUT  5

/* How many records are dropped at most for one allocation. */
#define NGX_HTTP_CHATMAID_ZONE_EVICT   64

/*
 * After so many milliseconds an unfinished record may be dropped.  A lease is
 * much shorter, and each renewal touches the record: what is older is not in
 * flight.
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

/* How many expired records an insertion deletes at most. */
#define NGX_HTTP_CHATMAID_ZONE_EXPIRE  4


static ngx_int_t ngx_http_chatmaid_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static void ngx_http_chatmaid_zone_format(ngx_http_chatmaid_zone_t *zone);
static void ngx_http_chatmaid_zone_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static ngx_queue_t *ngx_http_chatmaid_zone_queue(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_record_t *rec);
static void ngx_http_chatmaid_zone_expire(ngx_http_chatmaid_zone_t *zone);
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

    ngx_http_chatmaid_zone_format(zone);

    return NGX_OK;
}


static void
ngx_http_chatmaid_zone_format(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t                    i;
    ngx_http_chatmaid_zone_sh_t  *sh = zone->sh;

    zone->shpool->log_nomem = 0;        /* a full zone is a normal case */

    sh->layout = NGX_HTTP_CHATMAID_ZONE_LAYOUT;
    sh->notes_wanted = ngx_current_msec;

    ngx_rbtree_init(&sh->records, &sh->records_sentinel,
                    ngx_http_chatmaid_zone_insert);
    ngx_rbtree_init(&sh->expiry, &sh->expiry_sentinel,
                    ngx_rbtree_insert_timer_value);
    ngx_queue_init(&sh->kept);
    ngx_queue_init(&sh->unfinished);
    ngx_queue_init(&sh->untold);
    ngx_queue_init(&sh->accounts);
    ngx_queue_init(&sh->upstreams);

    for (i = 0; i < NGX_HTTP_CHATMAID_ZONE_KINDS; i++) {
        ngx_queue_init(&sh->finished[i]);
    }
}


static void
ngx_http_chatmaid_zone_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel)
{
    ngx_rbtree_node_t           **p;
    ngx_http_chatmaid_record_t   *rec, *other;

    rec = (ngx_http_chatmaid_record_t *) node;

    for ( ;; ) {

        other = (ngx_http_chatmaid_record_t *) temp;

        if (node->key != temp->key) {
            p = (node->key < temp->key) ? &temp->left : &temp->right;

        } else {
            p = (ngx_memcmp(rec->id, other->id, NGX_HTTP_CHATMAID_ID_LEN) < 0)
                ? &temp->left : &temp->right;
        }

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
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

        /* the first allocation of a fresh pool lies where it lay before; it
         * is marked as changing in case this worker dies here too */
        zone->sh = ngx_slab_calloc_locked(zone->shpool,
                                          sizeof(ngx_http_chatmaid_zone_sh_t));
        zone->sh->changing = 1;
        zone->sh->reset = 1;

        ngx_http_chatmaid_zone_format(zone);
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
    ngx_int_t                    rc;
    ngx_rbtree_key_t             key;
    ngx_rbtree_node_t           *node, *sentinel;
    ngx_http_chatmaid_record_t  *rec;

    ngx_memcpy(&key, id, sizeof(ngx_rbtree_key_t));

    node = zone->sh->records.root;
    sentinel = zone->sh->records.sentinel;

    while (node != sentinel) {

        rec = (ngx_http_chatmaid_record_t *) node;

        if (key != node->key) {
            node = (key < node->key) ? node->left : node->right;
            continue;
        }

        rc = ngx_memcmp(id, rec->id, NGX_HTTP_CHATMAID_ID_LEN);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;
            continue;
        }

        if ((ngx_msec_int_t) (rec->expiry.key - ngx_current_msec) <= 0) {
            ngx_http_chatmaid_zone_delete(zone, rec);
            return NULL;
        }

        return rec;
    }

    return NULL;
}


ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_create(ngx_http_chatmaid_zone_t *zone, u_char *id,
    ngx_http_chatmaid_zone_kind_e kind, ngx_msec_t ttl)
{
    ngx_http_chatmaid_record_t  *rec;

    static size_t  sizes[] = {
        NGX_HTTP_CHATMAID_ZONE_RECORD,
        sizeof(ngx_http_chatmaid_record_t),
        NGX_HTTP_CHATMAID_ZONE_NOTE_SIZE
    };

    ngx_http_chatmaid_zone_expire(zone);

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

    ngx_memzero(rec, sizeof(ngx_http_chatmaid_record_t));

    rec->kind = kind;

    ngx_memcpy(rec->id, id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(&rec->node.key, id, sizeof(ngx_rbtree_key_t));

    rec->begun = ngx_current_msec;
    rec->queued = ngx_current_msec;
    rec->expiry.key = ngx_current_msec + ttl;

    ngx_rbtree_insert(&zone->sh->records, &rec->node);
    ngx_rbtree_insert(&zone->sh->expiry, &rec->expiry);
    ngx_queue_insert_tail(&zone->sh->unfinished, &rec->queue);

    return rec;
}


void
ngx_http_chatmaid_zone_set_state(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_record_state_e state)
{
    rec->state = state;

    ngx_http_chatmaid_zone_set_told(zone, rec);
}


void
ngx_http_chatmaid_zone_touch(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    rec->queued = ngx_current_msec;

    ngx_queue_remove(&rec->queue);
    ngx_queue_insert_tail(ngx_http_chatmaid_zone_queue(zone, rec),
                          &rec->queue);
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
    ngx_rbtree_delete(&zone->sh->expiry, &rec->expiry);

    rec->expiry.key = ngx_current_msec + ttl;

    ngx_rbtree_insert(&zone->sh->expiry, &rec->expiry);
}


void
ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    ngx_rbtree_delete(&zone->sh->records, &rec->node);
    ngx_rbtree_delete(&zone->sh->expiry, &rec->expiry);

    ngx_queue_remove(&rec->queue);

    if (rec->untold) {
        ngx_queue_remove(&rec->untold_queue);
    }

    zone->sh->notes -= (rec->kind == NGX_HTTP_CHATMAID_ZONE_NOTE);

    if (rec->answer && rec->answer != (u_char *) (rec + 1)) {
        ngx_slab_free_locked(zone->shpool, rec->answer);
    }

    ngx_slab_free_locked(zone->shpool, rec);
}


static void
ngx_http_chatmaid_zone_expire(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t                   i;
    ngx_rbtree_node_t           *node;
    ngx_http_chatmaid_record_t  *rec;

    for (i = 0; i < NGX_HTTP_CHATMAID_ZONE_EXPIRE; i++) {

        if (zone->sh->expiry.root == zone->sh->expiry.sentinel) {
            return;
        }

        node = ngx_rbtree_min(zone->sh->expiry.root,
                              zone->sh->expiry.sentinel);

        if ((ngx_msec_int_t) (node->key - ngx_current_msec) > 0) {
            return;
        }

        rec = (ngx_http_chatmaid_record_t *)
                  ((u_char *) node
                   - offsetof(ngx_http_chatmaid_record_t, expiry));

        ngx_http_chatmaid_zone_delete(zone, rec);
    }
}


/*
 * Makes room by dropping records.  If these lay in many pages, no page may have
 * become free; then one of the same kind is dropped, whose place has the right
 * size.
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

        /* one line until none has been given up for some time */

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
