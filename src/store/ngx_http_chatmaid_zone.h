
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
#include "ngx_http_chatmaid_counters.h"


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

/* Records whose ttls are about equal expire in the order in which they got
 * them: each range of ttls, up to the double of its first, has a queue. */
#define NGX_HTTP_CHATMAID_ZONE_TTLS  20


typedef enum {
    NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT = 0,
    NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS,
    NGX_HTTP_CHATMAID_RECORD_DONE,
    NGX_HTTP_CHATMAID_RECORD_REMOVED     /* as if it had never been, but Redis
                                          * has not been told */
} ngx_http_chatmaid_record_state_e;

#define NGX_HTTP_CHATMAID_RECORD_STATES  4


/* Times are ngx_current_msec, which all processes of a machine share.  An
 * event's record is no more than this: it must not grow beyond 256 bytes. */

typedef struct ngx_http_chatmaid_record_s  ngx_http_chatmaid_record_t;

struct ngx_http_chatmaid_record_s {
    ngx_http_chatmaid_record_t       *next;        /* in its bucket */
    ngx_http_chatmaid_record_t      **link;        /* what points to it there */
    ngx_queue_t                       expiry;      /* see zone_expiry() */
    ngx_msec_t                        expires;
    ngx_queue_t                       queue;       /* see zone_queue(), */
    ngx_msec_t                        queued;      /* since this time */
    ngx_queue_t                       untold_queue;
    uint64_t                          untold_serial;

    u_char                            id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                            owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    ngx_msec_t                        begun;
    ngx_msec_t                        lease_end;
    uint64_t                          stamp;       /* of a note */

    u_char                           *answer;
    size_t                            answer_len;

    unsigned                          status:16;   /* of the answer */
    unsigned                          kind:2;
    unsigned                          state:2;
    unsigned                          may_be_accepted:1;
    unsigned                          untold:1;    /* it is in that queue */
    unsigned                          auto_named:1;   /* as of a claim */
};


typedef struct {
    ngx_uint_t                        layout;
    ngx_uint_t                        changing;    /* under the lock */

    ngx_http_chatmaid_record_t      **buckets;     /* of records by id */
    uint64_t                          factor;      /* of a hash, secret */
    ngx_uint_t                        shift;

    ngx_queue_t                       expiry[NGX_HTTP_CHATMAID_ZONE_TTLS];

    /* what may be dropped for want of room, in this order, oldest first */
    ngx_queue_t                       finished[NGX_HTTP_CHATMAID_ZONE_KINDS];
    ngx_queue_t                       kept;        /* done, and untold */
    ngx_queue_t                       unfinished;

    ngx_queue_t                       untold;      /* oldest first */
    uint64_t                          untold_serial;  /* the latest */
    ngx_pid_t                         teller;      /* the worker that tells */
    ngx_msec_t                        teller_lease_end;

    ngx_queue_t                       accounts;    /* account_limits.c */
    ngx_queue_t                       paces;       /* pace_queue.c */
    ngx_queue_t                       upstreams;   /* upstream_state.c */
    ngx_uint_t                        notes;       /* number of records */
    ngx_msec_t                        notes_wanted;   /* until this time */
    ngx_uint_t                        sends[NGX_HTTP_CHATMAID_RECORD_STATES];

    ngx_queue_t                       streams;     /* streams.c */
    ngx_msec_t                        streams_asked;  /* the latest time */
    ngx_uint_t                        streams_known;  /* there was one */

    ngx_uint_t                        evicted;     /* before their ttl */
    ngx_uint_t                        warned;      /* of these, once */
    ngx_uint_t                        giving_up;   /* unfinished ones, */
    ngx_msec_t                        gave_up;     /* last at this time */
    ngx_uint_t                        gave_up_first;  /* not logged yet */
    ngx_uint_t                        reset;       /* not logged yet */

    ngx_http_chatmaid_counters_t      counters;    /* these need no lock */
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

/* The counters in the zone; they stay where they are. */
ngx_http_chatmaid_counters_t *ngx_http_chatmaid_zone_counters(
    ngx_shm_zone_t *shm_zone);

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

/* Gives the record a state.  There is nothing to tell Redis of it now. */
void ngx_http_chatmaid_zone_set_state(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_record_state_e state);

/* The record is in use: for now it is not dropped, unless it is done. */
void ngx_http_chatmaid_zone_touch(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Whether Redis has to be told of the record's state. */
void ngx_http_chatmaid_zone_set_untold(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);
void ngx_http_chatmaid_zone_set_told(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* The record expires in ttl milliseconds from now. */
void ngx_http_chatmaid_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl);

void ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Memory for something of this kind.  Records are dropped for it: those that
 * are done, then unfinished ones that nobody has touched for ten minutes.
 * NULL: there is no room. */
void *ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_zone_kind_e kind, size_t size);

/* Deletes records whose ttl is over, at most n. */
void ngx_http_chatmaid_zone_expire(ngx_http_chatmaid_zone_t *zone,
    ngx_uint_t n);


#endif /* _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_ */
