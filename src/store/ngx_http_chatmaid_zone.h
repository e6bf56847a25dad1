
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The shared memory of all workers of one nginx, which is kept over a reload.
 * It holds records by their id, the limits and pace of each account, and the
 * counters.  The stores decide what a record means.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"
#include "ngx_http_chatmaid_counters.h"


/*
 * The size of a send's record, in bytes.  It is this large from the start, so
 * that a send for which there is room also has room for its answer.  Only a
 * longer answer, to a long text, is allocated separately.
 */
#define NGX_HTTP_CHATMAID_ZONE_RECORD  1024


typedef enum {
    NGX_HTTP_CHATMAID_ZONE_SEND = 0,
    NGX_HTTP_CHATMAID_ZONE_EVENT,
    NGX_HTTP_CHATMAID_ZONE_NOTE
} ngx_http_chatmaid_zone_kind_e;

#define NGX_HTTP_CHATMAID_ZONE_KINDS  3

/* The number of expiry queues.  Each queue is for a range of ttls, whose
 * longest is twice the shortest: such records expire about in the order in
 * which they got their ttl. */
#define NGX_HTTP_CHATMAID_ZONE_TTLS  20


typedef enum {
    NGX_HTTP_CHATMAID_RECORD_IN_FLIGHT = 0,
    NGX_HTTP_CHATMAID_RECORD_AMBIGUOUS,
    NGX_HTTP_CHATMAID_RECORD_DONE,
    NGX_HTTP_CHATMAID_RECORD_REMOVED     /* counts as absent, but Redis has not
                                          * been told of the removal */
} ngx_http_chatmaid_record_state_e;

#define NGX_HTTP_CHATMAID_RECORD_STATES  4


/* Times are in ngx_current_msec, a clock that all processes of a machine share.
 * The record of an event is exactly this structure, which must not grow beyond
 * 256 bytes (one slab size). */

typedef struct ngx_http_chatmaid_record_s  ngx_http_chatmaid_record_t;

struct ngx_http_chatmaid_record_s {
    ngx_http_chatmaid_record_t       *next;        /* in its bucket */
    ngx_http_chatmaid_record_t      **link;        /* the pointer to it there */
    ngx_queue_t                       expiry;      /* see zone_expiry() */
    ngx_msec_t                        expires;
    ngx_queue_t                       queue;       /* see zone_queue() */
    ngx_msec_t                        queued;      /* when put into "queue" */
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
    unsigned                          untold:1;    /* it is in untold_queue */
    unsigned                          auto_named:1;   /* see the claim's */
};


typedef struct {
    ngx_uint_t                        layout;      /* version, see zone.c */
    ngx_uint_t                        changing;    /* a worker has the lock */

    ngx_http_chatmaid_record_t      **buckets;     /* hash table of records */
    uint64_t                          factor;      /* of the hash; secret */
    ngx_uint_t                        shift;       /* of the hash */

    ngx_queue_t                       expiry[NGX_HTTP_CHATMAID_ZONE_TTLS];

    /* records that may be dropped to make room, in this order, the oldest of a
     * queue first */
    ngx_queue_t                       finished[NGX_HTTP_CHATMAID_ZONE_KINDS];
    ngx_queue_t                       kept;        /* done, and untold */
    ngx_queue_t                       unfinished;

    /* records of which Redis must be told, the oldest first */
    ngx_queue_t                       untold;
    uint64_t                          untold_serial;  /* of the latest record */
    ngx_pid_t                         teller;      /* the worker that does it */
    ngx_msec_t                        teller_lease_end;

    ngx_queue_t                       accounts;    /* account_limits.c */
    ngx_queue_t                       paces;       /* pace_queue.c */
    ngx_queue_t                       upstreams;   /* upstream_state.c */
    ngx_uint_t                        notes;       /* number of notes */
    ngx_msec_t                        notes_wanted;   /* until this time */

    /* number of sends in each state */
    ngx_uint_t                        sends[NGX_HTTP_CHATMAID_RECORD_STATES];

    ngx_queue_t                       streams;     /* streams.c */
    ngx_msec_t                        streams_asked;  /* the latest time */
    ngx_uint_t                        streams_known;  /* 0: never asked */

    ngx_uint_t                        evicted;     /* records dropped before
                                                    * their ttl was over */
    ngx_uint_t                        warned;      /* of that, in the log */
    ngx_uint_t                        giving_up;   /* unfinished records have
                                                    * been dropped, */
    ngx_msec_t                        gave_up;     /* the latest at this time */
    ngx_uint_t                        gave_up_first;  /* to be logged */
    ngx_uint_t                        reset;       /* to be logged */

    ngx_http_chatmaid_counters_t      counters;    /* these need no lock */
} ngx_http_chatmaid_zone_sh_t;


typedef struct {
    ngx_http_chatmaid_zone_sh_t      *sh;
    ngx_slab_pool_t                  *shpool;
    size_t                            size;
} ngx_http_chatmaid_zone_t;


/* Adds a zone of "size" bytes to the configuration; must be called once for
 * each name.  NULL: the name belongs to a zone of another size or module
 * (logged), or there is no memory. */
ngx_shm_zone_t *ngx_http_chatmaid_zone_add(ngx_conf_t *cf, ngx_str_t *name,
    size_t size);

/* The counters in the zone; they keep their address while the zone is
 * mapped. */
ngx_http_chatmaid_counters_t *ngx_http_chatmaid_zone_counters(
    ngx_shm_zone_t *shm_zone);

/* The functions below may be called, and all shared memory but the counters may
 * be used, only between these two.  If a worker has died with the zone locked,
 * lock() empties the zone.  unlock() may write to the log. */
void ngx_http_chatmaid_zone_lock(ngx_http_chatmaid_zone_t *zone);
void ngx_http_chatmaid_zone_unlock(ngx_http_chatmaid_zone_t *zone);

/* Returns the record with this id, or NULL if there is none or its ttl is
 * over. */
ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);

/* Creates a record for an id that has none: in flight, without an owner, with a
 * ttl in milliseconds.  NULL: there is no room. */
ngx_http_chatmaid_record_t *ngx_http_chatmaid_zone_create(
    ngx_http_chatmaid_zone_t *zone, u_char *id,
    ngx_http_chatmaid_zone_kind_e kind, ngx_msec_t ttl);

/* Sets the record's state.  The record is then no longer untold. */
void ngx_http_chatmaid_zone_set_state(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_http_chatmaid_record_state_e state);

/* Puts the record at the end of the queue for its state, because it is in use:
 * it is the last of that queue to be dropped. */
void ngx_http_chatmaid_zone_touch(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Say that Redis must be told of the record's state, or that it need not be. */
void ngx_http_chatmaid_zone_set_untold(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);
void ngx_http_chatmaid_zone_set_told(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Lets the record expire ttl milliseconds from now. */
void ngx_http_chatmaid_zone_set_ttl(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec, ngx_msec_t ttl);

void ngx_http_chatmaid_zone_delete(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_record_t *rec);

/* Allocates "size" bytes, for something of this kind.  If there is no room,
 * records are dropped: first those that are done or removed, then unfinished
 * ones that nobody has touched for ten minutes.  NULL: there is no room. */
void *ngx_http_chatmaid_zone_alloc(ngx_http_chatmaid_zone_t *zone,
    ngx_http_chatmaid_zone_kind_e kind, size_t size);

/* Deletes at most n records whose ttl is over. */
void ngx_http_chatmaid_zone_expire(ngx_http_chatmaid_zone_t *zone,
    ngx_uint_t n);


#endif /* _NGX_HTTP_CHATMAID_ZONE_H_INCLUDED_ */
