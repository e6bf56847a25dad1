
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The records that make one operation one message and deliver one event once.
 * A claim is what one send (or one delivery of an event) knows about its
 * record; the store decides which claim owns the record.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


#define NGX_HTTP_CHATMAID_OWNER_LEN  16


/* ngx_http_chatmaid_claim_t.result: what the store answered to claim(), or to
 * store_look() */

enum {
    NGX_HTTP_CHATMAID_CLAIMED = 0,   /* ours; see may_be_accepted */
    NGX_HTTP_CHATMAID_IN_FLIGHT,     /* another owner's lease still runs */
    NGX_HTTP_CHATMAID_DONE,          /* "answer" is Chatmaid's */
    NGX_HTTP_CHATMAID_REUSED,        /* the record is of another message */
    NGX_HTTP_CHATMAID_CLOCK,         /* the store is in another window */
    NGX_HTTP_CHATMAID_LOST,          /* in flight, but nobody can be asked */
    NGX_HTTP_CHATMAID_FOREIGN,       /* the record is of another version */
    NGX_HTTP_CHATMAID_NO_STORE,      /* no room, or not answering */

    /* to store_look() alone: */
    NGX_HTTP_CHATMAID_ABSENT,        /* there is no record */
    NGX_HTTP_CHATMAID_AMBIGUOUS      /* a try may have been accepted */
};


/* ngx_http_chatmaid_claim_t.store: who said so */

enum {
    NGX_HTTP_CHATMAID_STORE_NONE = 0,
    NGX_HTTP_CHATMAID_STORE_ZONE,
    NGX_HTTP_CHATMAID_STORE_REDIS
};


typedef void (*ngx_http_chatmaid_claim_pt)(void *data);


typedef struct {
    u_char                          id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                          fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                          owner[NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char                          former_owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    /*
     * Of a send without a key: its window, the number of that window, and the
     * record of the window before.  An equal send belongs to that record until
     * a whole window has passed since the record began.
     */
    ngx_msec_t                      window;       /* 0: the send has a key */
    int64_t                         window_number;
    u_char                          previous_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_str_t                       hash_tag;     /* of an event that is added
                                                   * to a stream */
    ngx_msec_t                      ttl;          /* milliseconds, as are */
    ngx_msec_t                      lease_time;   /* all times here */
    ngx_pool_t                     *pool;
    ngx_http_chatmaid_main_conf_t  *mcf;

    /* called when an operation that returned NGX_AGAIN is done */
    ngx_http_chatmaid_claim_pt      handler;
    void                           *data;

    ngx_uint_t                      result;       /* of claim() */
    ngx_uint_t                      store;        /* that said so */
    ngx_int_t                       rc;           /* of the others */
    ngx_str_t                       answer;       /* Chatmaid's, in pool */
    ngx_uint_t                      status;       /* of that answer */
    int64_t                         begun;        /* by store_look() */
    const char                     *reason;       /* of NO_STORE, for the log */

    ngx_msec_t                      lease_end;    /* by our own clock */
    ngx_msec_t                      asked_at;     /* for the lease, last time */
    void                           *command;      /* in Redis, under way */
    void                           *renew_command;

    unsigned                        may_be_accepted:1;  /* by an earlier try */
    unsigned                        taken_over:1; /* from another owner */
    unsigned                        use_previous:1;     /* see previous_id */
    unsigned                        waited:1;     /* for another send's claim */
    unsigned                        zone_only:1;  /* Redis did not answer */
    unsigned                        retained:1;   /* the Redis connection */
    unsigned                        former_ended:1;     /* former_owner has */
    unsigned                        redis_away:1; /* the reason of NO_STORE */
    unsigned                        former_removed:1;   /* and left nothing,
                                                         * but in Redis */

    unsigned                        auto_named:1; /* id has the fingerprint in
                                                   * it: its key is of our
                                                   * form */

    /* the record is a webhook event's, not a send's: it has no answer, and is
     * never refused for want of Redis */
    unsigned                        webhook_event:1;
} ngx_http_chatmaid_claim_t;


#define ngx_http_chatmaid_claim_id(claim)                                     \
    ((claim)->use_previous ? (claim)->previous_id : (claim)->id)


/*
 * Operations return NGX_OK when they are done, and NGX_AGAIN if claim->handler
 * will be called, never before the operation has returned.  The same owner may
 * repeat each of them safely.
 *
 * claim()           asks for the record; claim->result tells its state.
 * renew()           starts the lease anew if the record is still ours.  Calls
 *                   no handler.
 * finish()          records claim->answer.  A former owner may do this too,
 *                   unless the record is done or of another message by now.
 * mark_ambiguous()  a try may have been accepted: the next send takes over.
 * remove()          no try can have been accepted.  If that is not certain of
 *                   the whole record, claim->rc is NGX_DECLINED and the record
 *                   becomes ambiguous; an event's record goes in any case.
 *                   When this or finish() returns, the zone knows of an event,
 *                   and the command for Redis has been written if it could be.
 * abandon()         the claim's memory is about to be freed: no handler will
 *                   be called any more.
 * clock()           Unix time in milliseconds, by the store's clock.
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
