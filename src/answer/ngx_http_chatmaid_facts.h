
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What is known about a request to a gateway or webhook location, for variables
 * and counters, which are used in the log phase.  The code that decides
 * something writes it here; nothing is decided by reading the facts.
 */


#ifndef _NGX_HTTP_CHATMAID_FACTS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_FACTS_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_store.h"


/* ngx_http_chatmaid_facts_t.route, in the order of the names in facts.c */

enum {
    NGX_HTTP_CHATMAID_ROUTE_NONE = 0,        /* not known, or not a gateway */
    NGX_HTTP_CHATMAID_ROUTE_OTHER,           /* not an endpoint */
    NGX_HTTP_CHATMAID_ROUTE_SEND,
    NGX_HTTP_CHATMAID_ROUTE_MESSAGES,
    NGX_HTTP_CHATMAID_ROUTE_MESSAGE,
    NGX_HTTP_CHATMAID_ROUTE_INBOUND_MESSAGES,
    NGX_HTTP_CHATMAID_ROUTE_INBOUND_MESSAGE,
    NGX_HTTP_CHATMAID_ROUTE_PHONES,
    NGX_HTTP_CHATMAID_ROUTE_PHONE,
    NGX_HTTP_CHATMAID_ROUTE_PHONE_STATUS,
    NGX_HTTP_CHATMAID_ROUTE_GROUPS,
    NGX_HTTP_CHATMAID_ROUTE_ACCOUNT,
    NGX_HTTP_CHATMAID_ROUTE_ACCOUNT_USAGE,
    NGX_HTTP_CHATMAID_ROUTE_OPERATION,
    NGX_HTTP_CHATMAID_ROUTE_HEALTH,

    NGX_HTTP_CHATMAID_ROUTES                 /* how many there are */
};


/* ngx_http_chatmaid_facts_t.idempotency, likewise */

enum {
    NGX_HTTP_CHATMAID_RESULT_NONE = 0,  /* not a send, or not yet decided */
    NGX_HTTP_CHATMAID_RESULT_NEW,
    NGX_HTTP_CHATMAID_RESULT_RECOVERED, /* took an ambiguous record over */
    NGX_HTTP_CHATMAID_RESULT_REPLAYED,
    NGX_HTTP_CHATMAID_RESULT_IN_FLIGHT,
    NGX_HTTP_CHATMAID_RESULT_REUSED,
    NGX_HTTP_CHATMAID_RESULT_OFF,

    NGX_HTTP_CHATMAID_RESULTS
};


typedef struct {
    ngx_http_chatmaid_loc_conf_t   *conf;        /* of its location */
    ngx_str_t                       uri;         /* r->uri on arrival there */

    ngx_uint_t                      route;
    ngx_uint_t                      code;        /* of the problem, if failed */
    const char                     *outcome;     /* of a failed send, or NULL */

    ngx_uint_t                      idempotency;
    ngx_str_t                       key;         /* the caller's, or empty */
    ngx_str_t                       message_id;  /* of a send, or empty */
    ngx_str_t                       path_id;     /* of a read of a message */
    ngx_uint_t                     *attempts;    /* NULL: it makes no calls */

    ngx_uint_t                      store;       /* claim->store */
    ngx_msec_t                      store_began; /* as ngx_current_msec */
    ngx_msec_t                      store_time;  /* ms, all questions */
    ngx_msec_t                      pace_time;   /* ms, waiting for places */

    unsigned                        answered:1;  /* by the module itself */
    unsigned                        failed:1;
    unsigned                        store_asked:1;
    unsigned                        paced:1;     /* a place was given, or was
                                                  * refused */
} ngx_http_chatmaid_facts_t;


/* The handler of the PREACCESS phase: begins the facts of a request.  It runs
 * before access control, because an error_page may then lead a refused request
 * to another location.  NGX_DECLINED: go on; NGX_HTTP_INTERNAL_SERVER_ERROR: no
 * memory. */
ngx_int_t ngx_http_chatmaid_facts_preaccess_handler(ngx_http_request_t *r);

/* The facts of a request that is being answered in a gateway or webhook
 * location, created if there are none.  A subrequest has its own facts.  NULL:
 * no memory. */
ngx_http_chatmaid_facts_t *ngx_http_chatmaid_facts_here(ngx_http_request_t *r);

/* The facts of a request, or of a subrequest's main request; they outlive an
 * internal redirect.  NULL: the request has not been in a gateway or webhook
 * location, or there is no memory. */
ngx_http_chatmaid_facts_t *ngx_http_chatmaid_facts_get(ngx_http_request_t *r);

/* Note that a store is asked, and that it has answered.  "store" is the store
 * that answered, as in a claim. */
void ngx_http_chatmaid_facts_store_asked(ngx_http_chatmaid_facts_t *facts);
void ngx_http_chatmaid_facts_store_answered(ngx_http_chatmaid_facts_t *facts,
    ngx_uint_t store);

/* The names of a route, a result and a store as variables and metrics show
 * them; empty for NONE. */
ngx_str_t *ngx_http_chatmaid_facts_route_name(ngx_uint_t route);
ngx_str_t *ngx_http_chatmaid_facts_idempotency_name(ngx_uint_t idempotency);
ngx_str_t *ngx_http_chatmaid_facts_store_name(ngx_uint_t store);


#endif /* _NGX_HTTP_CHATMAID_FACTS_H_INCLUDED_ */
