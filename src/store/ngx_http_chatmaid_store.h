
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The records by which one operation is one message, and one event is handed on
 * once.  A claim is what one send (or webhook) knows of its record; the store
 * decides who owns it.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_ID_LEN     32     /* bytes of SHA-256 */
#define NGX_HTTP_CHATMAID_OWNER_LEN  16

#define NGX_HTTP_CHATMAID_LEASE      8000   /* milliseconds */
#define NGX_HTTP_CHATMAID_RENEWAL    2000
#define NGX_HTTP_CHATMAID_NOTE_TTL   60000


/* ngx_http_chatmaid_claim_t.result: what the store said to claim() */

enum {
    NGX_HTTP_CHATMAID_CLAIMED = 0,   /* ours; "maybe" if tries went before */
    NGX_HTTP_CHATMAID_IN_FLIGHT,     /* another send's, its lease still runs */
    NGX_HTTP_CHATMAID_DONE,          /* "answer" is Chatmaid's */
    NGX_HTTP_CHATMAID_REUSED,        /* the record is of another message */
    NGX_HTTP_CHATMAID_CLOCK,         /* "id" is not of the store's window */
    NGX_HTTP_CHATMAID_LOST,          /* in flight, but nobody can be asked */
    NGX_HTTP_CHATMAID_NO_STORE       /* no room, or not answering */
};


typedef struct ngx_http_chatmaid_claim_s  ngx_http_chatmaid_claim_t;

typedef void (*ngx_http_chatmaid_claim_pt)(ngx_http_chatmaid_claim_t *claim);


struct ngx_http_chatmaid_claim_s {
    u_char                       id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                       fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char                       owner[NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char                       former[NGX_HTTP_CHATMAID_OWNER_LEN];

    /* of a keyless send: its window and that window's number, and the record of
     * the window before, to which an equal send belongs for as long as a window
     * from when it began */
    ngx_msec_t                   window;     /* milliseconds; 0: no such send */
    int64_t                      number;
    u_char                       previous[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_msec_t                   ttl;        /* milliseconds */
    ngx_msec_t                   lease_time;       /* of a lease, milliseconds */
    ngx_pool_t                  *pool;

    void                        *store;      /* whose claim it is */

    /* called when an operation that returned NGX_AGAIN is done */
    ngx_http_chatmaid_claim_pt   handler;
    void                        *data;

    ngx_uint_t                   result;     /* of claim() */
    ngx_int_t                    rc;         /* of the others */
    ngx_str_t                    answer;     /* Chatmaid's, in pool */
    ngx_uint_t                   status;     /* of that answer */
    const char                  *reason;     /* of NO_STORE, for the log */

    ngx_msec_t                   lease;      /* when ours ends, by our clock */
    ngx_msec_t                   asked;      /* when it was last asked for */
    void                        *command;    /* the store's, under way */
    void                        *renewal;    /* the same, of renew() */

    unsigned                     may_be_accepted:1;    /* a try may have been accepted */
    unsigned                     use_previous:1;  /* it is of "previous" */
    unsigned                     waited:1;   /* for another's, and asks again */
    unsigned                     local:1;    /* stands in the zone alone */
    unsigned                     retained:1; /* Redis' connection is, for it */
    unsigned                     ended:1;    /* that of "former" has, here */
    unsigned                     event:1;    /* a webhook's: has no answer, and
                                              * is not refused without Redis */
};


#define ngx_http_chatmaid_claim_id(claim)                                     \
    ((claim)->use_previous ? (claim)->previous : (claim)->id)


/*
 * A note says that something has changed that others may be waiting for: its
 * stamp is another one each time.  This nginx and what it shares with others
 * have one each, for one of them may have missed the latest.
 */

typedef struct ngx_http_chatmaid_look_s  ngx_http_chatmaid_look_t;

typedef void (*ngx_http_chatmaid_look_pt)(ngx_http_chatmaid_look_t *look);


struct ngx_http_chatmaid_look_s {
    ngx_uint_t                   n;
    u_char                     (*ids)[NGX_HTTP_CHATMAID_ID_LEN];
    uint64_t                   (*stamps)[2]; /* 0: there is no note */
    ngx_pool_t                  *pool;

    ngx_http_chatmaid_look_pt    handler;    /* as that of a claim */
    void                        *data;

    unsigned                     insist:1;   /* also where that takes time */
};


/*
 * Operations return NGX_OK when they are done; NGX_AGAIN: claim->handler will
 * be called, not before the operation has returned.  Each is safe to repeat by
 * the same owner.
 *
 * claim()      asks for the record; claim->result says what is with it.
 * renew()      begins the lease anew, where the record is still ours, and calls
 *              no handler.
 * finish()     the operation has claim->answer.  Counts also for a former
 *              owner, unless the record is done or of another message by now.
 * ambiguous()  a try may have been accepted: the next send takes over.
 * remove()     no try can have been accepted.  claim->rc is NGX_DECLINED where
 *              that is not sure of the whole record: it is ambiguous then, but
 *              for an event, which leaves nothing.
 * abandon()    the claim's memory is about to go: calls no handler any more.
 * clock()      Unix time in milliseconds, as the store has it.
 * note()       leaves a note, if it can.
 * look()       fills in the stamps of n notes, those of this nginx before it
 *              returns.  What it points to must last until the handler is
 *              called.
 */

typedef struct {
    ngx_int_t    (*claim)(void *store, ngx_http_chatmaid_claim_t *claim);
    void         (*renew)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*finish)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*ambiguous)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*remove)(void *store, ngx_http_chatmaid_claim_t *claim);
    void         (*abandon)(void *store, ngx_http_chatmaid_claim_t *claim);
    int64_t      (*clock)(void *store);
    void         (*note)(void *store, u_char *id, uint64_t stamp);
    ngx_int_t    (*look)(void *store, ngx_http_chatmaid_look_t *look);
} ngx_http_chatmaid_store_t;


#endif /* _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_ */
