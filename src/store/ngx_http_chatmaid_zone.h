
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Shared memory: what all workers of one nginx know, kept over a reload.  It
 * holds records by their id, and what concerns a whole account.  What records
 * mean is the stores' matter.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/*
 * A send's record is this large from the start, so that what is done has room
 * for its answer where it had room to begin.  Only a longer answer, of a long
 * text, is allocated by itself.
 */
#define NGX_HTTP_CHATMAID_ZONE_RECORD  1024


typedef enum {
    NGX_HTTP_CHATMAID_ZONE_SEND = 0,
    NGX_HTTP_CHATMAID_ZONE_EVENT,
    NGX_HTTP_CHATMAID_ZONE_NOTE
} ngx_http_chatmaid_zone_kind_e;

#define NGX_HTTP_CHATMAID_ZONE_KINDS  3


/* What is DONE goes, oldest first, when the zone is full. */

typedef enum {
    NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT = 0,
    NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS,
    NGX_HTTP_CHATMAID_RECORD_DONE
} ngx_http_chatmaid_record_state_e;


/* Times are ngx_current_msec, which all processes of a machine share. */

typedef struct {
    ngx_rbtree_node_t                 node;        /* by the id's first bytes */
    ngx_rbtree_node_t                 expiry;      /* by the end of its ttl */
    ngx_queue_t                       finished;    /* of one that may go, */
    ngx_msec_t                        retired;     /* since then */

    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    ngx_http_chatmaid_zone_kind_e     kind;
    ngx_http_chatmaid_record_state_e  state;
    ngx_uint_t                        may_be_accepted;
    ngx_msec_t                        begun;
    ngx_msec_t                        lease;
    uint64_t                          stamp;       /* of a note */

    ngx_uint_t                        status;      /* of the answer */
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
    ngx_queue_t                       finished[NGX_HTTP_CHATMAID_ZONE_KINDS];
    ngx_queue_t                       accounts;    /* see account.c */
    ngx_uint_t                        notes;       /* how many there are */

    ngx_uint_t                        evicted;     /* before their ttl */
    ngx_uint_t                        warned;      /* of it, since the start */
    ngx_uint_t                        begun_anew;  /* to be said */
} ngx_http_chatmaid_zone_sh_t;


typedef struct {
    ngx_http_chatmaid_zone_sh_t      *sh;
    ngx_slab_pool_t                  *shpool;
    size_t                            size;
} ngx_http_chatmaid_zone_t;


/* Adds the zone to the configuration, once per name: NULL where the name is
 * taken by another size or module (said at start). */
ngx_shm_zone_t *ngx_http_chatmaid_zone_add(ngx_conf_t *cf, ngx_str_t *name,
    size_t size);

/* All below, and all use of what is shared, only between these two. */
void ngx_http_chatmaid_zone_lock(ngx_http_chatmaid_zone_t *zone);
void ngx_http_chatmaid_zone_unlock(ngx_http_chatmaid_zone_t *zone);

/* The record of this id, if its ttl is not over; or NULL. */
ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);

/* A new record of an id that has none, in flight and nobody's; NULL where there
 * is no room. */
ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_create(
    ngx_http_chatmaid_zone_t *zone, u_char *id,
    ngx_http_chatmaid_zone_kind_e kind, ngx_msec_t ttl);

/* The record is done: it may go from now on. */
void ngx_http_chatmaid_zone_retire(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Begins the ttl (milliseconds) of a record anew. */
void ngx_http_chatmaid_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl);

void ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Memory for something of this kind, made free by dropping what may go; NULL:
 * there is none. */
void *ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_zone_kind_e kind, size_t size);


#endif /* _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_ */
