
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_module.h"
#include "ngx_http_chatmaid_store_zone.h"


/* Of the shared layout: a module that lays it out otherwise changes it. */
#define NGX_HTTP_CHATMAID_ZONE_LAYOUT  1

/*
 * A record is this large from the start, so that what is done has room for its
 * answer where it had room to begin.  Only a longer answer, of a long text, is
 * allocated by itself.
 */
#define NGX_HTTP_CHATMAID_ZONE_RECORD  1024

/* The largest part of a zone that one answer may take. */
#define NGX_HTTP_CHATMAID_ZONE_SHARE   16

/* How many finished records at most go for one that is to come. */
#define NGX_HTTP_CHATMAID_ZONE_EVICT   64

/* How many records past their ttl an insertion removes at most. */
#define NGX_HTTP_CHATMAID_ZONE_EXPIRE  4


typedef enum {
    NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT = 0,
    NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS,
    NGX_HTTP_CHATMAID_RECORD_DONE
} ngx_http_chatmaid_record_state_e;


/* Times are ngx_current_msec, which all processes of a machine share. */

typedef struct {
    ngx_rbtree_node_t                 node;        /* by the id's first bytes */
    ngx_rbtree_node_t                 expiry;      /* by the end of its ttl */
    ngx_queue_t                       finished;    /* of a done one, by age */

    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    ngx_http_chatmaid_record_state_e  state;
    ngx_uint_t                        maybe;
    ngx_msec_t                        begun;
    ngx_msec_t                        lease;

    u_char                           *answer;
    size_t                            answer_len;
} ngx_http_chatmaid_record_t;


typedef struct {
    ngx_uint_t                        layout;
    ngx_uint_t                        changing;    /* a worker died at it */

    ngx_rbtree_t                      records;
    ngx_rbtree_node_t                 records_sentinel;
    ngx_rbtree_t                      expiry;
    ngx_rbtree_node_t                 expiry_sentinel;
    ngx_queue_t                       finished;

    ngx_uint_t                        evicted;     /* before their ttl */
    ngx_uint_t                        warned;      /* of it, since the start */
    ngx_uint_t                        begun_anew;  /* to be said */
} ngx_http_chatmaid_zone_sh_t;


typedef struct {
    ngx_http_chatmaid_zone_sh_t      *sh;
    ngx_slab_pool_t                  *shpool;
} ngx_http_chatmaid_zone_t;


static ngx_int_t ngx_http_chatmaid_zone_init(ngx_shm_zone_t *shm_zone,
    void *data);
static void ngx_http_chatmaid_zone_format(ngx_http_chatmaid_zone_t *zone);
static void ngx_http_chatmaid_zone_insert(ngx_rbtree_node_t *temp,
    ngx_rbtree_node_t *node, ngx_rbtree_node_t *sentinel);
static ngx_int_t ngx_http_chatmaid_zone_claim(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_zone_renew(void *store,
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_zone_finish(void *store,
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_zone_ambiguous(void *store,
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_zone_remove(void *store,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_zone_abandon(void *store,
    ngx_http_chatmaid_claim_t *claim);
static int64_t ngx_http_chatmaid_zone_clock(void *store);
static void ngx_http_chatmaid_zone_lock(ngx_http_chatmaid_zone_t *zone);
static void ngx_http_chatmaid_zone_unlock(ngx_http_chatmaid_zone_t *zone);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_own(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_claim_t *claim);
static ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_create(
    ngx_http_chatmaid_zone_t *zone, ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);
static void ngx_http_chatmaid_zone_expire(ngx_http_chatmaid_zone_t *zone);
static void *ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone,
    size_t size);
static void ngx_http_chatmaid_zone_ask(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t take);
static void ngx_http_chatmaid_zone_judge(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t take, size_t room);
static ngx_uint_t ngx_http_chatmaid_zone_is_free(
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_zone_keep(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl);


ngx_http_chatmaid_store_t  ngx_http_chatmaid_store_zone = {
    ngx_http_chatmaid_zone_claim,
    ngx_http_chatmaid_zone_renew,
    ngx_http_chatmaid_zone_finish,
    ngx_http_chatmaid_zone_ambiguous,
    ngx_http_chatmaid_zone_remove,
    ngx_http_chatmaid_zone_abandon,
    ngx_http_chatmaid_zone_clock
};


ngx_shm_zone_t *
ngx_http_chatmaid_store_zone_add(ngx_conf_t *cf, ngx_str_t *name, size_t size)
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
    ngx_http_chatmaid_zone_sh_t  *sh = zone->sh;

    zone->shpool->log_nomem = 0;        /* a full zone is a normal case */

    sh->layout = NGX_HTTP_CHATMAID_ZONE_LAYOUT;

    ngx_rbtree_init(&sh->records, &sh->records_sentinel,
                    ngx_http_chatmaid_zone_insert);
    ngx_rbtree_init(&sh->expiry, &sh->expiry_sentinel,
                    ngx_rbtree_insert_timer_value);
    ngx_queue_init(&sh->finished);
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


static ngx_int_t
ngx_http_chatmaid_zone_claim(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_ask(store, claim, 1);

    return NGX_OK;
}


void
ngx_http_chatmaid_store_zone_look(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_ask(shm_zone, claim, 0);
}


/* An answer is copied to memory that was not allocated under the lock. */

static void
ngx_http_chatmaid_zone_ask(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t take)
{
    size_t                     room;
    ngx_http_chatmaid_zone_t  *zone = shm_zone->data;

    claim->answer.data = NULL;

    for (room = 0; /* void */; room = claim->answer.len) {

        ngx_http_chatmaid_zone_lock(zone);

        ngx_http_chatmaid_zone_judge(zone, claim, take, room);

        ngx_http_chatmaid_zone_unlock(zone);

        if (claim->result != NGX_HTTP_CHATMAID_DONE
            || claim->answer.len <= room)
        {
            return;
        }

        claim->answer.data = ngx_pnalloc(claim->pool, claim->answer.len);

        if (claim->answer.data == NULL) {
            claim->result = NGX_HTTP_CHATMAID_NO_STORE;
            claim->reason = "there is no memory";
            return;
        }
    }
}


/*
 * What SPEC's table of states says of the claim's record.  A claim that may be
 * taken is, or (take is 0) only learns whether a try went before.
 */

static void
ngx_http_chatmaid_zone_judge(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t take, size_t room)
{
    ngx_http_chatmaid_record_t  *rec;

    /* of a send that waits it has been decided before */

    if (claim->window && !claim->use_previous && !claim->waited) {
        rec = ngx_http_chatmaid_zone_find(zone, claim->previous);

        claim->use_previous = (rec && ngx_current_msec - rec->begun
                                      < claim->window);
    }

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec && !ngx_http_chatmaid_zone_is_free(rec, claim)) {

        if (claim->result == NGX_HTTP_CHATMAID_DONE) {
            claim->answer.len = rec->answer_len;

            if (rec->answer_len <= room) {
                ngx_memcpy(claim->answer.data, rec->answer, rec->answer_len);
            }
        }

        return;
    }

    claim->result = NGX_HTTP_CHATMAID_CLAIMED;

    if (!take) {
        claim->maybe |= (rec != NULL);
        return;
    }

    if (rec == NULL) {
        rec = ngx_http_chatmaid_zone_create(zone, claim);

        if (rec == NULL) {
            claim->result = NGX_HTTP_CHATMAID_NO_STORE;
            claim->reason = "the zone is full of unfinished records";
            return;
        }

    } else if (ngx_memcmp(rec->owner, claim->owner,
                          NGX_HTTP_CHATMAID_OWNER_LEN)
               != 0)
    {
        rec->maybe = 1;
    }

    rec->state = NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT;
    rec->maybe |= claim->maybe;
    rec->lease = ngx_current_msec + NGX_HTTP_CHATMAID_LEASE;
    ngx_memcpy(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN);
    ngx_http_chatmaid_zone_keep(zone, rec, claim->ttl);

    claim->maybe = rec->maybe;
    claim->lease = rec->lease;
}


/* Whether a record may be taken over; else claim->result says why not. */

static ngx_uint_t
ngx_http_chatmaid_zone_is_free(ngx_http_chatmaid_record_t *rec,
    ngx_http_chatmaid_claim_t *claim)
{
    if (ngx_memcmp(rec->fingerprint, claim->fingerprint,
                   NGX_HTTP_CHATMAID_ID_LEN)
        != 0)
    {
        claim->result = NGX_HTTP_CHATMAID_REUSED;
        return 0;
    }

    if (rec->state == NGX_HTTP_CHATMAID_RECORD_DONE) {
        claim->result = NGX_HTTP_CHATMAID_DONE;
        return 0;
    }

    if (rec->state == NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT
        && (ngx_msec_int_t) (rec->lease - ngx_current_msec) > 0
        && ngx_memcmp(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN)
           != 0)
    {
        claim->result = NGX_HTTP_CHATMAID_IN_FLIGHT;
        return 0;
    }

    return 1;
}


static void
ngx_http_chatmaid_zone_renew(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = ((ngx_shm_zone_t *) store)->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_own(zone, claim);

    claim->lease = ngx_current_msec;        /* another's, or forgotten */

    if (rec) {
        rec->lease = ngx_current_msec + NGX_HTTP_CHATMAID_LEASE;
        claim->lease = rec->lease;

        ngx_http_chatmaid_zone_keep(zone, rec, claim->ttl);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static ngx_int_t
ngx_http_chatmaid_zone_finish(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = ((ngx_shm_zone_t *) store)->data;
    u_char                      *answer;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    claim->rc = NGX_OK;
    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec == NULL) {
        rec = ngx_http_chatmaid_zone_create(zone, claim);

        if (rec == NULL) {
            claim->rc = NGX_ERROR;
            goto done;
        }

    } else if (rec->state == NGX_HTTP_CHATMAID_RECORD_DONE
               || ngx_memcmp(rec->fingerprint, claim->fingerprint,
                             NGX_HTTP_CHATMAID_ID_LEN)
                  != 0)
    {
        goto done;
    }

    answer = (u_char *) (rec + 1);

    if (claim->answer.len > NGX_HTTP_CHATMAID_ZONE_RECORD
                            - sizeof(ngx_http_chatmaid_record_t))
    {
        /* one answer is not worth many others */

        answer = (claim->answer.len > ((ngx_shm_zone_t *) store)->shm.size
                                      / NGX_HTTP_CHATMAID_ZONE_SHARE)
                 ? NULL
                 : ngx_http_chatmaid_zone_alloc(zone, claim->answer.len);
    }

    if (answer == NULL) {
        rec->state = NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS;
        rec->maybe = 1;
        claim->rc = NGX_ERROR;
        goto done;
    }

    ngx_memcpy(answer, claim->answer.data, claim->answer.len);

    rec->answer = answer;
    rec->answer_len = claim->answer.len;
    rec->state = NGX_HTTP_CHATMAID_RECORD_DONE;

    ngx_queue_insert_tail(&zone->sh->finished, &rec->finished);
    ngx_http_chatmaid_zone_keep(zone, rec, claim->ttl);

done:

    ngx_http_chatmaid_zone_unlock(zone);

    if (claim->rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "chatmaid zone has no room for an answer: a retry of "
                      "that send will ask Chatmaid for it");
    }

    return NGX_OK;
}


void
ngx_http_chatmaid_store_zone_forget(ngx_shm_zone_t *shm_zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = shm_zone->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec && rec->state != NGX_HTTP_CHATMAID_RECORD_DONE
        && ngx_memcmp(rec->fingerprint, claim->fingerprint,
                      NGX_HTTP_CHATMAID_ID_LEN)
           == 0)
    {
        ngx_http_chatmaid_zone_delete(zone, rec);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static ngx_int_t
ngx_http_chatmaid_zone_ambiguous(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = ((ngx_shm_zone_t *) store)->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    rec = ngx_http_chatmaid_zone_own(zone, claim);

    if (rec) {
        rec->state = NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS;
        rec->maybe = 1;
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_zone_remove(void *store, ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_zone_t    *zone = ((ngx_shm_zone_t *) store)->data;
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_lock(zone);

    claim->rc = NGX_DECLINED;
    rec = ngx_http_chatmaid_zone_own(zone, claim);

    if (rec && !rec->maybe) {
        ngx_http_chatmaid_zone_delete(zone, rec);
        claim->rc = NGX_OK;

    } else if (rec) {
        rec->state = NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS;
    }

    ngx_http_chatmaid_zone_unlock(zone);

    return NGX_OK;
}


static void
ngx_http_chatmaid_zone_abandon(void *store, ngx_http_chatmaid_claim_t *claim)
{
    /* nothing is ever under way */
}


static int64_t
ngx_http_chatmaid_zone_clock(void *store)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


/*
 * The master unlocks the zone of a worker that died in here: what it was
 * changing can't be trusted, so the records begin anew.
 */

static void
ngx_http_chatmaid_zone_lock(ngx_http_chatmaid_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->sh->changing) {
        ngx_slab_init(zone->shpool);

        /* the first allocation of a fresh pool is where it was before; it stays
         * marked as changing, should this worker die here too */
        zone->sh = ngx_slab_alloc_locked(zone->shpool,
                                         sizeof(ngx_http_chatmaid_zone_sh_t));
        zone->sh->changing = 1;
        zone->sh->evicted = 0;
        zone->sh->warned = 0;
        zone->sh->begun_anew = 1;

        ngx_http_chatmaid_zone_format(zone);
    }

    zone->sh->changing = 1;
}


static void
ngx_http_chatmaid_zone_unlock(ngx_http_chatmaid_zone_t *zone)
{
    ngx_uint_t  warn, anew;

    warn = (zone->sh->evicted && !zone->sh->warned);
    anew = zone->sh->begun_anew;

    zone->sh->warned |= warn;
    zone->sh->begun_anew = 0;
    zone->sh->changing = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (anew) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "chatmaid zone has lost its records: a worker died while "
                      "it changed them");
    }

    if (warn) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "chatmaid zone is full: finished records are dropped "
                      "before their ttl, a retry of such a send asks Chatmaid "
                      "again");
    }
}


static ngx_http_chatmaid_record_t *
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


/* The claim's record while it is the claim's. */

static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_own(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_record_t  *rec;

    rec = ngx_http_chatmaid_zone_find(zone, ngx_http_chatmaid_claim_id(claim));

    if (rec == NULL || rec->state != NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT
        || ngx_memcmp(rec->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN)
           != 0)
    {
        return NULL;
    }

    return rec;
}


static ngx_http_chatmaid_record_t *
ngx_http_chatmaid_zone_create(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_record_t  *rec;

    ngx_http_chatmaid_zone_expire(zone);

    rec = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_RECORD);

    if (rec == NULL) {
        return NULL;
    }

    ngx_memzero(rec, sizeof(ngx_http_chatmaid_record_t));

    ngx_memcpy(rec->id, ngx_http_chatmaid_claim_id(claim),
               NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(rec->fingerprint, claim->fingerprint, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(&rec->node.key, rec->id, sizeof(ngx_rbtree_key_t));

    rec->begun = ngx_current_msec;
    rec->expiry.key = ngx_current_msec + claim->ttl;

    ngx_rbtree_insert(&zone->sh->records, &rec->node);
    ngx_rbtree_insert(&zone->sh->expiry, &rec->expiry);

    return rec;
}


/* Each try begins the record's ttl anew, and none ends under way. */

static void
ngx_http_chatmaid_zone_keep(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl)
{
    ngx_rbtree_delete(&zone->sh->expiry, &rec->expiry);

    if (rec->state == NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT) {
        ttl = ngx_max(ttl, NGX_HTTP_CHATMAID_LEASE);
    }

    rec->expiry.key = ngx_current_msec + ttl;

    ngx_rbtree_insert(&zone->sh->expiry, &rec->expiry);
}


static void
ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec)
{
    ngx_rbtree_delete(&zone->sh->records, &rec->node);
    ngx_rbtree_delete(&zone->sh->expiry, &rec->expiry);

    if (rec->state == NGX_HTTP_CHATMAID_RECORD_DONE) {
        ngx_queue_remove(&rec->finished);

        if (rec->answer != (u_char *) (rec + 1)) {
            ngx_slab_free_locked(zone->shpool, rec->answer);
        }
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


/* Makes room by dropping what was finished longest ago, nothing else. */

static void *
ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone, size_t size)
{
    void                        *p;
    ngx_uint_t                   i;
    ngx_queue_t                 *q;
    ngx_http_chatmaid_record_t  *rec;

    for (i = 0; /* void */; i++) {

        p = ngx_slab_alloc_locked(zone->shpool, size);

        if (p || i == NGX_HTTP_CHATMAID_ZONE_EVICT
            || ngx_queue_empty(&zone->sh->finished))
        {
            return p;
        }

        q = ngx_queue_head(&zone->sh->finished);
        rec = ngx_queue_data(q, ngx_http_chatmaid_record_t, finished);

        ngx_http_chatmaid_zone_delete(zone, rec);
        zone->sh->evicted++;
    }
}
