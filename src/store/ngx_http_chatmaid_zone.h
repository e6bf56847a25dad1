
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Shared memory: what all workers of one nginx share, kept over a reload.  It
 * holds records by their id, and the limits of each account.  The stores decide
 * what a record means.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/*
 * A send's record is this large from the start, so that a send for which there
 * is room also has room for its answer.  Only a longer answer, of a long text,
 * is allocated separately.
 */
#define NGX_HTTP_CHATMAID_ZONE_RECORD  1024


typedef enum {
    NGX_HTTP_CHATMAID_ZONE_SEND = 0,
    NGX_HTTP_CHATMAID_ZONE_EVENT,
    NGX_HTTP_CHATMAID_ZONE_NOTE
} ngx_http_chatmaid_zone_kind_e;

#define NGX_HTTP_CHATMAID_ZONE_KINDS  3


/* When the zone is full, records that are DONE are dropped, oldest first. */

typedef enum {
    NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT = 0,
    NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS,
    NGX_HTTP_CHATMAID_RECORD_DONE
} ngx_http_chatmaid_record_state_e;


/* Times are ngx_current_msec, which all processes of a machine share. */

typedef struct {
    ngx_rbtree_node_t                 node;        /* by the id's first bytes */
    ngx_rbtree_node_t                 expiry;      /* by the end of its ttl */
    ngx_queue_t                       finished;    /* if it is DONE, */
    ngx_msec_t                        retired;     /* since this time */

    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    ngx_http_chatmaid_zone_kind_e     kind;
    ngx_http_chatmaid_record_state_e  state;
    ngx_uint_t                        may_be_accepted;
    ngx_msec_t                        begun;
    ngx_msec_t                        lease_end;
    uint64_t                          stamp;       /* of a note */

    ngx_uint_t                        status;      /* of the answer */
    u_char                           *answer;
    size_t                            answer_len;
} ngx_http_chatmaid_record_t;


typedef struct {
    ngx_uint_t                        layout;
    ngx_uint_t                        changing;    /* under the lock */

    ngx_rbtree_t                      records;
    ngx_rbtree_node_t                 records_sentinel;
    ngx_rbtree_t                      expiry;
    ngx_rbtree_node_t                 expiry_sentinel;
    ngx_queue_t                       finished[NGX_HTTP_CHATMAID_ZONE_KINDS];
    ngx_queue_t                       accounts;    /* account_limits.c */
    ngx_uint_t                        notes;       /* number of records */

    ngx_uint_t                        evicted;     /* before their ttl */
    ngx_uint_t                        warned;      /* of these, once */
    ngx_uint_t                        reset;       /* not logged yet */
} ngx_http_chatmaid_zone_sh_t;


typedef struct {
    ngx_http_chatmaid_zone_sh_t      *sh;
    ngx_slab_pool_t                  *shpool;
    size_t                            size;
} ngx_http_chatmaid_zone_t;


/* Adds the zone to the configuration, once for each name.  NULL: the name is
 * that of a zone of another size or module (logged). */
ngx_shm_zone_t *ngx_http_chatmaid_zone_add(ngx_conf_t *cf, ngx_str_t *name,
    size_t size);

/* All functions below are called, and shared memory is used, only between these
 * two. */
void ngx_http_chatmaid_zone_lock(ngx_http_chatmaid_zone_t *zone);
void ngx_http_chatmaid_zone_unlock(ngx_http_chatmaid_zone_t *zone);

/* The record with this id, or NULL if there is none or its ttl is over. */
ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);

/* A new record for an id that has none, in flight and without an owner.  NULL:
 * there is no room. */
ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_create(
    ngx_http_chatmaid_zone_t *zone, u_char *id,
    ngx_http_chatmaid_zone_kind_e kind, ngx_msec_t ttl);

/* The record is done, and may be dropped from now on. */
void ngx_http_chatmaid_zone_retire(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* The record expires in ttl milliseconds from now. */
void ngx_http_chatmaid_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl);

void ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Memory for something of this kind; records that are done are dropped for it.
 * NULL: there is no room. */
void *ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_zone_kind_e kind, size_t size);


#endif /* _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_ */
