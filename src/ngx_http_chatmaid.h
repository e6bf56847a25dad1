
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The types of the configuration, which all parts may read, and forward
 * declarations of types that single parts define.
 */


#ifndef _NGX_HTTP_CHATMAID_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_CHATMAID_VERSION  "0.1.0"

#define NGX_HTTP_CHATMAID_ID_LEN   32    /* bytes of SHA-256 */

/* chatmaid_environment */

#define NGX_HTTP_CHATMAID_TEST     0
#define NGX_HTTP_CHATMAID_LIVE     1
#define NGX_HTTP_CHATMAID_ANY      2

/* chatmaid_recipients */

#define NGX_HTTP_CHATMAID_RECIPIENTS_CHECKED  0
#define NGX_HTTP_CHATMAID_RECIPIENTS_ANY      1

/* chatmaid_scope; the lowest bit is NGX_CONF_BITMASK_SET */

#define NGX_HTTP_CHATMAID_SEND     0x0002
#define NGX_HTTP_CHATMAID_READ     0x0004
#define NGX_HTTP_CHATMAID_PHONES   0x0008
#define NGX_HTTP_CHATMAID_ACCOUNT  0x0010


typedef struct ngx_http_chatmaid_flow_s   ngx_http_chatmaid_flow_t;
typedef struct ngx_http_chatmaid_store_s  ngx_http_chatmaid_store_t;
typedef struct ngx_http_chatmaid_redis_s  ngx_http_chatmaid_redis_t;

typedef struct ngx_http_chatmaid_redis_conf_s
    ngx_http_chatmaid_redis_conf_t;
typedef struct ngx_http_chatmaid_webhook_inbox_s
    ngx_http_chatmaid_webhook_inbox_t;


typedef struct {
    ngx_str_t                           header;    /* Authorization line and
                                                    * the empty line after it */
    ngx_str_t                           secret;    /* the key, in "header" */
    ngx_str_t                           file;
    ngx_uint_t                          environment;
    u_char                              fingerprint[8];  /* hex, for logs */
} ngx_http_chatmaid_api_key_t;


/* An upstream whose peer.init the module wraps, and the original one. */

typedef struct {
    ngx_http_upstream_srv_conf_t       *upstream;
    ngx_http_upstream_init_peer_pt      init;
} ngx_http_chatmaid_upstream_t;


/*
 * A chatmaid_gateway directive.  The last two members are set when all
 * locations are known.
 */

typedef struct {
    ngx_str_t                           uri;       /* internal location's URI */
    ngx_str_t                           prefix;    /* its own location's name */

    ngx_http_chatmaid_api_key_t        *api_key;
    ngx_http_core_loc_conf_t           *server;    /* has both locations */
    ngx_conf_file_t                     place;     /* of the directive */

    ngx_http_core_loc_conf_t           *location;  /* the internal one */
    ngx_http_upstream_conf_t            upstream;  /* copy of the proxy's there,
                                                    * changed for calls */
} ngx_http_chatmaid_gateway_t;


/* The values of chatmaid_rate.  All locations of an account share one rate;
 * only "caller" is the location's own. */

typedef struct {
    ngx_str_t                           text;      /* as configured */
    uint64_t                            interval;  /* between two calls, in
                                                    * microseconds; 0: no rate
                                                    * is set */
    ngx_uint_t                          burst;     /* calls at once */
    ngx_http_complex_value_t           *caller;    /* NULL: all callers count
                                                    * as one */
} ngx_http_chatmaid_rate_t;


/* An account of this configuration, and its key. */

typedef struct {
    ngx_str_t                           account;   /* "live:NAME" */
    ngx_str_t                           name;      /* in chatmaid_account */
    u_char                             *id;        /* an account_id, below */
    ngx_http_chatmaid_api_key_t        *api_key;
    ngx_http_chatmaid_rate_t           *pace;      /* never NULL */
} ngx_http_chatmaid_account_t;


typedef struct {
    ngx_array_t                         upstreams; /* ..._upstream_t */
    ngx_array_t                         gateways;  /* ..._gateway_t * */
    ngx_array_t                         accounts;  /* ..._account_t */
    ngx_array_t                         webhooks;  /* see webhook_conf.c */
    ngx_array_t                         webhook_directives;  /* likewise */
    ngx_array_t                         streams;   /* ngx_str_t: their keys */
    ngx_shm_zone_t                     *zone;
    ngx_shm_zone_t                     *alarms;
    ngx_http_chatmaid_store_t          *store;
    ngx_int_t                           request_id;  /* index of $request_id */
    time_t                              loaded;    /* when it was read */
    ngx_http_chatmaid_redis_conf_t     *redis;     /* NULL: not configured */
    ngx_flag_t                          status;    /* there is a status page */
} ngx_http_chatmaid_main_conf_t;


typedef struct {
    ngx_conf_file_t                     place;     /* of its block */
    ngx_http_chatmaid_gateway_t        *gateway;   /* NULL: no gateway here */

    ngx_http_chatmaid_api_key_t        *api_key;
    ngx_uint_t                          environment;
    ngx_str_t                           account_name;
    ngx_str_t                           account;   /* "live:NAME" */
    u_char                              account_id[NGX_HTTP_CHATMAID_ID_LEN];

    ngx_http_complex_value_t           *sender;
    ngx_flag_t                          sender_fixed;
    ngx_uint_t                          recipients;

    ngx_uint_t                          scope;

    ngx_flag_t                          idempotency;
    ngx_http_complex_value_t           *key_scope; /* of operation keys */
    ngx_msec_t                          ttl;
    ngx_msec_t                          window;
    ngx_msec_t                          wait;
    ngx_int_t                           retries;
    ngx_msec_t                          timeout;
    ngx_msec_t                          wait_max;
    ngx_http_chatmaid_rate_t           *rate;      /* in effect here, or NULL */
    ngx_http_chatmaid_rate_t           *pace;      /* the account's */

    ngx_flag_t                          webhook;
    ngx_array_t                        *webhook_secrets;
    time_t                              webhook_tolerance;
    ngx_msec_t                          webhook_dedup;
    ngx_http_chatmaid_webhook_inbox_t  *webhook_inbox;

    ngx_flag_t                          status;
} ngx_http_chatmaid_loc_conf_t;


extern ngx_module_t  ngx_http_chatmaid_module;


#endif /* _NGX_HTTP_CHATMAID_H_INCLUDED_ */
