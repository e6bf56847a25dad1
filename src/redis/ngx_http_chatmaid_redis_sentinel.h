
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Asks Sentinels where a master is.  Each question uses a new connection to the
 * next Sentinel, and goes on to the one after it if there is no answer.  The
 * Sentinels take turns because one that is cut off from the others might name a
 * former master.
 */


#ifndef _NGX_HTTP_CHATMAID_REDIS_SENTINEL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REDIS_SENTINEL_H_INCLUDED_


#include "ngx_http_chatmaid_redis_conn.h"
#include "ngx_http_chatmaid_redis_resolve.h"
#include "ngx_http_chatmaid_redis_told.h"


/* With NGX_OK "master" is a host, valid until the next question: an address, or
 * a name without any addresses.  With NGX_DECLINED "trouble" says why no
 * Sentinel has named one. */
typedef void (*ngx_http_chatmaid_redis_sentinel_pt)(void *data, ngx_int_t rc,
    ngx_http_chatmaid_redis_host_t *master,
    ngx_http_chatmaid_redis_trouble_t *trouble);


typedef struct {
    ngx_http_chatmaid_redis_conf_t       *conf;
    ngx_http_chatmaid_redis_conn_t        conn;
    ngx_http_chatmaid_redis_login_t       login;
    ngx_http_chatmaid_redis_resolve_t     resolve;   /* of the Sentinels */

    ngx_buf_t                             question;  /* from pos to last */
    u_char                               *bytes;     /* the whole question */
    size_t                                len;
    ngx_event_t                           timer;     /* of the answer */
    ngx_uint_t                            tries;     /* of this question */

    ngx_http_chatmaid_redis_told_t        master;

    ngx_http_chatmaid_redis_trouble_t     trouble;   /* of the last Sentinel */
    u_char                                error[128];   /* of "trouble" */
    u_char                                reason[256];  /* of "trouble" */

    ngx_http_chatmaid_redis_sentinel_pt   handler;
    void                                 *data;

    unsigned                              moved:1;   /* the master, since the
                                                      * previous answer */
    unsigned                              asking:1;
    unsigned                              answered:1;
    unsigned                              failed:1;  /* at all Sentinels */
    unsigned                              refused:1; /* has set "trouble" */
} ngx_http_chatmaid_redis_sentinel_t;


/* Initializes zeroed memory.  "conf" and "log" must outlive it.  Returns
 * NGX_OK, or NGX_ERROR if there is no memory. */
ngx_int_t ngx_http_chatmaid_redis_sentinel_init(
    ngx_http_chatmaid_redis_sentinel_t *sentinel,
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_sentinel_pt handler, void *data, ngx_log_t *log);

/* Asks.  The handler will be called after this has returned, unless cancel() is
 * called first.  "quiet" is as for redis_conn_connect(). */
void ngx_http_chatmaid_redis_sentinel_ask(
    ngx_http_chatmaid_redis_sentinel_t *sentinel, ngx_uint_t quiet);

/* The handler won't be called any more. */
void ngx_http_chatmaid_redis_sentinel_cancel(
    ngx_http_chatmaid_redis_sentinel_t *sentinel);

/* Cancels, and frees everything. */
void ngx_http_chatmaid_redis_sentinel_free(
    ngx_http_chatmaid_redis_sentinel_t *sentinel);


#endif /* _NGX_HTTP_CHATMAID_REDIS_SENTINEL_H_INCLUDED_ */
