
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The types that all parts share.  README, "How it is built", says which part
 * may call which: gateway to send and read, these to call and answer.
 */


#ifndef _NGX_HTTP_CHATMAID_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include "ngx_http_chatmaid_lease.h"


#define NGX_HTTP_CHATMAID_VERSION         "0.1.0"

/* chatmaid_environment */

#define NGX_HTTP_CHATMAID_TEST            0
#define NGX_HTTP_CHATMAID_LIVE            1
#define NGX_HTTP_CHATMAID_ANY             2

/* chatmaid_scope; the lowest bit is NGX_CONF_BITMASK_SET */

#define NGX_HTTP_CHATMAID_SEND            0x0002
#define NGX_HTTP_CHATMAID_READ            0x0004
#define NGX_HTTP_CHATMAID_PHONES          0x0008
#define NGX_HTTP_CHATMAID_ACCOUNT         0x0010


typedef struct ngx_http_chatmaid_call_s   ngx_http_chatmaid_call_t;
typedef struct ngx_http_chatmaid_flow_s    ngx_http_chatmaid_flow_t;
typedef struct ngx_http_chatmaid_reply_s  ngx_http_chatmaid_reply_t;
typedef struct ngx_http_chatmaid_route_s  ngx_http_chatmaid_route_t;
typedef struct ngx_http_chatmaid_wait_topic_s  ngx_http_chatmaid_wait_topic_t;
typedef struct ngx_http_chatmaid_redis_s  ngx_http_chatmaid_redis_t;
typedef struct ngx_http_chatmaid_webhook_inbox_s  ngx_http_chatmaid_webhook_inbox_t;

typedef struct ngx_http_chatmaid_redis_conf_s
    ngx_http_chatmaid_redis_conf_t;


typedef struct {
    ngx_str_t                     header;    /* "Authorization: ..." CRLF */
    ngx_str_t                     file;
    ngx_uint_t                    environment;
    u_char                        fingerprint[8];  /* hex digits, for logs */
} ngx_http_chatmaid_api_key_t;


/* An upstream, and what we have wrapped of it. */

typedef struct {
    ngx_http_upstream_srv_conf_t    *upstream;
    ngx_http_upstream_init_peer_pt   init;
    ngx_event_get_peer_pt            get;
} ngx_http_chatmaid_upstream_t;


/*
 * A chatmaid_gateway directive.  The internal location is looked up once all of
 * them are known; "upstream" is the proxy's configuration there as calls use
 * it.
 */

typedef struct {
    ngx_str_t                     uri;       /* of the internal location */
    ngx_str_t                     prefix;    /* name of the gateway's own */

    ngx_http_chatmaid_api_key_t  *api_key;
    ngx_http_core_loc_conf_t     *server;
    ngx_conf_file_t               place;     /* of the directive */

    ngx_http_core_loc_conf_t     *location;
    ngx_http_upstream_conf_t      upstream;
} ngx_http_chatmaid_gateway_t;


/* Which key an account of this configuration has. */

typedef struct {
    ngx_str_t                     account;
    ngx_http_chatmaid_api_key_t  *api_key;
} ngx_http_chatmaid_account_t;


struct ngx_http_chatmaid_main_conf_s {
    ngx_array_t                   upstreams; /* ngx_http_chatmaid_upstream_t */
    ngx_array_t                   gateways;  /* ngx_http_chatmaid_gateway_t * */
    ngx_array_t                   accounts;  /* ngx_http_chatmaid_account_t */
    ngx_array_t                   webhooks;  /* see webhook_conf.c */
    ngx_array_t                   webhook_directives;  /* likewise */
    ngx_shm_zone_t               *zone;
    ngx_http_chatmaid_store_t    *store;     /* by configuration */
    ngx_int_t                     request_id;  /* index of $request_id */
    ngx_http_chatmaid_redis_conf_t  *redis;  /* NULL: there is none */
};


typedef struct {
    ngx_conf_file_t                     place;     /* of its block */
    ngx_http_chatmaid_gateway_t        *gateway;   /* NULL: not a gateway location */

    ngx_http_chatmaid_api_key_t        *api_key;
    ngx_uint_t                          environment;
    ngx_str_t                           account_name;
    ngx_str_t                           account;   /* "live:NAME", "test:NAME" */
    u_char                              account_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_http_complex_value_t           *sender;
    ngx_flag_t                          sender_fixed;

    ngx_uint_t                          scope;

    ngx_flag_t                          idempotency;
    ngx_http_complex_value_t           *key_scope; /* chatmaid_idempotency_scope */
    ngx_msec_t                          ttl;
    ngx_msec_t                          window;
    ngx_msec_t                          wait;
    ngx_int_t                           retries;
    ngx_msec_t                          timeout;
    ngx_msec_t                          wait_max;

    ngx_flag_t                          webhook;
    ngx_array_t                        *webhook_secrets;
    time_t                              webhook_tolerance;
    ngx_msec_t                          webhook_dedup;
    ngx_http_chatmaid_webhook_inbox_t  *webhook_inbox;
} ngx_http_chatmaid_loc_conf_t;


typedef ngx_int_t (*ngx_http_chatmaid_flow_step_pt)(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);

typedef void (*ngx_http_chatmaid_leave_pt)(ngx_http_chatmaid_flow_t *ctx);


struct ngx_http_chatmaid_route_s {
    const char                   *path;      /* "*" stands for an ID */
    ngx_uint_t                    method;
    ngx_uint_t                    scope;
    const char                   *target;    /* the same below Chatmaid's "/" */
    ngx_http_chatmaid_flow_step_pt    *steps;
    unsigned                      names_sender:1;
    unsigned                      waits:1;   /* takes "wait" */
};


/*
 * One request of a caller.  nginx zeroes r->ctx on an internal redirect: that
 * happens only before a flow has begun or when nginx itself ends the request.
 * It does so too where a filter replaces an answer: flow.c puts ctx back.
 */

struct ngx_http_chatmaid_flow_s {
    ngx_http_request_t           *request;
    ngx_http_chatmaid_reply_t    *reply;

    ngx_http_chatmaid_flow_step_pt    *steps;
    ngx_http_chatmaid_flow_step_pt    *next;
    const ngx_http_chatmaid_route_t  *route;

    ngx_str_t                     path;      /* of the call, with its query */
    ngx_http_chatmaid_call_t     *call;      /* the latest one */
    ngx_uint_t                    attempts;  /* calls begun */
    ngx_event_t                   pause;     /* before the next */
    ngx_msec_t                    next_try;  /* its time; 0: at any */

    /* of a send */
    json_t                       *message;   /* owned by the request's pool */
    ngx_str_t                     key;       /* operation key; or empty */
    ngx_str_t                     previous_key;  /* of the window before */
    ngx_str_t                     key_scope;     /* of operation keys */
    ngx_str_t                     body;
    json_t                       *answer;    /* Chatmaid's envelope */
    ngx_http_chatmaid_lease_t     lease;     /* of its record */
    ngx_event_t                   wait;      /* for another send's claim */
    ngx_queue_t                   waiting;
    ngx_msec_t                    wait_pause;  /* the next one */
    ngx_msec_t                    wait_end;

    /* of a read that waits */
    ngx_msec_t                    wait_time; /* from now; 0: no such read */
    ngx_uint_t                    until;
    ngx_str_t                     subject;   /* the message's ID */
    ngx_http_chatmaid_wait_topic_t    *topic;
    ngx_queue_t                   waiter;    /* of the topic */
    ngx_event_t                   wake;

    ngx_event_t                   deadline;  /* of the answer */
    ngx_http_chatmaid_flow_step_pt     expire;    /* answers then; NULL: 504 */
    ngx_int_t                     answer_rc; /* of an answer before the end */
    ngx_http_chatmaid_leave_pt    leave;     /* claim or topic, at the end */

    unsigned                      parked:1;  /* a completion will resume us */
    unsigned                      gone:1;    /* the caller has left */
    unsigned                      answered:1;  /* at its deadline */
    unsigned                      failed:1;  /* problem is to be answered */
    unsigned                      may_be_accepted:1;  /* a try may have arrived */
    unsigned                      single:1;  /* a call is not tried again */
    unsigned                      queued:1;  /* among the topic's waiters */
    unsigned                      idle:1;    /* parked, nothing is under way */
};


extern ngx_module_t  ngx_http_chatmaid_module;


#endif /* _NGX_HTTP_CHATMAID_H_INCLUDED_ */
