
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The records that keep an operation from sending more than one message, and
 * an event that was delivered from being delivered again.  A claim is what one
 * send (or one delivery of an event) knows about its record; the store decides
 * which claim owns the record.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


#define NGX_HTTP_CHATMAID_OWNER_LEN  16


/* ngx_http_chatmaid_claim_t.result: what the store answered to claim(), or to
 * store_look() */

enum {
    NGX_HTTP_CHATMAID_CLAIMED = 0,   /* granted; see may_be_accepted */
    NGX_HTTP_CHATMAID_IN_FLIGHT,     /* another owner's lease still runs */
    NGX_HTTP_CHATMAID_DONE,          /* "answer" is Chatmaid's */
    NGX_HTTP_CHATMAID_REUSED,        /* the record is of another message */
    NGX_HTTP_CHATMAID_CLOCK,         /* the store's clock says another window */
    NGX_HTTP_CHATMAID_LOST,          /* in flight, but Redis is now away */
    NGX_HTTP_CHATMAID_FOREIGN,       /* the record is of another version */
    NGX_HTTP_CHATMAID_NO_STORE,      /* no room, or not answering */

    /* only from store_look(): */
    NGX_HTTP_CHATMAID_ABSENT,        /* there is no record */
    NGX_HTTP_CHATMAID_AMBIGUOUS      /* a try may have been accepted */
};


/* ngx_http_chatmaid_claim_t.store: which store gave the result */

enum {
    NGX_HTTP_CHATMAID_STORE_NONE = 0,
    NGX_HTTP_CHATMAID_STORE_ZONE,
    NGX_HTTP_CHATMAID_STORE_REDIS
};


typedef void (*ngx_http_chatmaid_claim_pt)(void *data);


/* Times are in milliseconds. */

typedef struct {
    u_char                          id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                          fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                          owner[NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char                          former_owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    /*
     * For a send without a key: the length of its window, the number of that
     * window, and the id of the record for the preceding window.  An identical
     * send belongs to the preceding record until a whole window has passed
     * since that record began.
     */
    ngx_msec_t                      window;       /* 0: the send has a key */
    int64_t                         window_number;
    u_char                          previous_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_str_t                       hash_tag;     /* for an event that is added
                                                   * to a stream, else empty */
    ngx_msec_t                      ttl;
    ngx_msec_t                      lease_time;
    ngx_pool_t                     *pool;
    ngx_http_chatmaid_main_conf_t  *mcf;

    /* called when an operation that returned NGX_AGAIN is done */
    ngx_http_chatmaid_claim_pt      handler;
    void                           *data;

    ngx_uint_t                      result;       /* of claim(), store_look() */
    ngx_uint_t                      store;        /* that gave the result */
    ngx_int_t                       rc;           /* of finish(), remove() */
    ngx_str_t                       answer;       /* Chatmaid's, in pool */
    ngx_uint_t                      status;       /* of that answer */
    int64_t                         begun;        /* Unix time, of the record;
                                                   * from store_look() */
    const char                     *reason;       /* of NO_STORE or FOREIGN,
                                                   * for the log */

    ngx_msec_t                      lease_end;    /* by ngx_current_msec */
    ngx_msec_t                      asked_at;     /* when the lease was asked
                                                   * for, the latest time */
    void                           *command;      /* pending in Redis */
    void                           *renew_command;

    unsigned                        may_be_accepted:1;  /* an earlier try may
                                                         * have succeeded */
    unsigned                        taken_over:1; /* from another owner */
    unsigned                        use_previous:1;     /* see previous_id */
    unsigned                        waited:1;     /* for another send's claim */
    unsigned                        zone_only:1;  /* Redis did not answer */
    unsigned                        retained:1;   /* the claim retains the Redis
                                                   * connection */
    unsigned                        former_ended:1;     /* former_owner makes
                                                         * no more tries */
    unsigned                        redis_away:1; /* the reason for NO_STORE */
    unsigned                        former_removed:1;   /* former_owner's record
                                                         * may be in Redis */

    /* the operation key has the form that the module gives to sends without a
     * key: the id then depends on the fingerprint */
    unsigned                        auto_named:1;

    /* the record belongs to a webhook event, not to a send: it has no answer,
     * and the event is never refused because Redis is away */
    unsigned                        webhook_event:1;
} ngx_http_chatmaid_claim_t;


#define ngx_http_chatmaid_claim_id(claim)                                     \
    ((claim)->use_previous ? (claim)->previous_id : (claim)->id)


/*
 * An operation returns NGX_OK if it is done, or NGX_AGAIN if claim->handler
 * will be called, never before the operation has returned.  The same owner may
 * safely repeat each operation.
 *
 * claim()           asks for the record.  claim->result tells its state.
 * renew()           starts the lease anew if the claim still owns the record,
 *                   and updates claim->lease_end.  Calls no handler.
 * finish()          records claim->answer and claim->status.  A former owner
 *                   may do this too, unless the record is done or belongs to
 *                   another message by then.  claim->rc is NGX_OK, or NGX_ERROR
 *                   if there is no room.
 * mark_ambiguous()  says that a try may have been accepted: the next send takes
 *                   the record over.
 * remove()          says that this owner's tries have not been accepted.
 *                   claim->rc is NGX_OK if the record is removed.  If an
 *                   earlier try may have been accepted, or the store does not
 *                   confirm the removal, claim->rc is NGX_DECLINED and the
 *                   record becomes ambiguous.  The record of an event is
 *                   removed in any case.
 * abandon()         must be called before the claim's memory is freed.  No
 *                   handler is called after it.
 * clock()           returns Unix time in milliseconds, by the store's clock.
 *
 * For an event, the zone has the new state when finish() or remove() returns,
 * and the command has been written to the Redis connection if possible.
 */

struct ngx_http_chatmaid_store_s {
    ngx_int_t    (*claim)(ngx_http_chatmaid_claim_t *claim);
    void         (*renew)(ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*finish)(ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*mark_ambiguous)(ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*remove)(ngx_http_chatmaid_claim_t *claim);
    void         (*abandon)(ngx_http_chatmaid_claim_t *claim);
    int64_t      (*clock)(void);
};


#endif /* _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_ */
