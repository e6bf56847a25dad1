
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The records by which one operation is one message.  A claim is what one send
 * knows of its operation's record; the store decides who owns it.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_ID_LEN     32     /* bytes of SHA-256 */
#define NGX_HTTP_CHATMAID_OWNER_LEN  16

#define NGX_HTTP_CHATMAID_LEASE      8000   /* milliseconds */
#define NGX_HTTP_CHATMAID_RENEWAL    2000


/* ngx_http_chatmaid_claim_t.result: what the store said to claim() */

enum {
    NGX_HTTP_CHATMAID_CLAIMED = 0,   /* ours; "maybe" if tries went before */
    NGX_HTTP_CHATMAID_IN_FLIGHT,     /* another send's, its lease still runs */
    NGX_HTTP_CHATMAID_DONE,          /* "answer" is Chatmaid's */
    NGX_HTTP_CHATMAID_REUSED,        /* the record is of another message */
    NGX_HTTP_CHATMAID_NO_STORE       /* no room, or not answering */
};


typedef struct ngx_http_chatmaid_claim_s  ngx_http_chatmaid_claim_t;


struct ngx_http_chatmaid_claim_s {
    u_char         id[NGX_HTTP_CHATMAID_ID_LEN];
    u_char         fingerprint[NGX_HTTP_CHATMAID_ID_LEN];
    u_char         owner[NGX_HTTP_CHATMAID_OWNER_LEN];

    /* of a keyless send: the record of the window before, and how long from its
     * beginning an equal send still belongs to it */
    u_char         previous[NGX_HTTP_CHATMAID_ID_LEN];
    ngx_msec_t     window;           /* milliseconds; 0: has no such record */

    ngx_msec_t     ttl;              /* milliseconds */
    ngx_pool_t    *pool;

    ngx_uint_t     result;
    ngx_str_t      answer;           /* the body, in pool */

    ngx_msec_t     lease;            /* when ours ends, as ngx_current_msec */

    unsigned       maybe:1;          /* a try before may have been accepted */
    unsigned       use_previous:1;   /* the claim is of "previous" */
};


#define ngx_http_chatmaid_claim_id(claim)                                     \
    ((claim)->use_previous ? (claim)->previous : (claim)->id)


/*
 * Operations return NGX_OK when they are done.
 *
 * claim()      asks for the record; claim->result says what is with it.  Safe to
 *              repeat by the same owner.
 * renew()      begins the lease anew; NGX_DECLINED where the record is no more
 *              ours.
 * finish()     the operation has claim->answer.  Counts also for a former owner,
 *              unless the record is done or of another message by now; that
 *              is no failure.  NGX_ERROR where it could not be kept: it is
 *              ambiguous then.
 * ambiguous()  a try may have been accepted: the next send takes over.
 * remove()     no try can have been accepted.  NGX_DECLINED where that is not
 *              sure of the whole record: it is ambiguous then.
 */

typedef struct {
    ngx_int_t    (*claim)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*renew)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*finish)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*ambiguous)(void *store, ngx_http_chatmaid_claim_t *claim);
    ngx_int_t    (*remove)(void *store, ngx_http_chatmaid_claim_t *claim);
} ngx_http_chatmaid_store_t;


#endif /* _NGX_HTTP_CHATMAID_STORE_H_INCLUDED_ */
