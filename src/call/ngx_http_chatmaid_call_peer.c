
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_peer.h"


/* What a connection was opened for.  This is kept in a cleanup of the
 * connection's own pool. */

typedef struct {
    ngx_http_core_loc_conf_t               *location;
    ngx_str_t                               names;   /* see peer_names() */
} ngx_http_chatmaid_call_peer_purpose_t;


typedef struct {
    ngx_http_chatmaid_call_t               *call;
    ngx_http_chatmaid_call_peer_purpose_t   purpose;

    /* the balancer's own */
    void                                   *data;
    ngx_event_get_peer_pt                   get;
    ngx_event_free_peer_pt                  free;
    ngx_event_notify_peer_pt                notify;
} ngx_http_chatmaid_call_peer_t;


#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_chatmaid_call_peer_names(ngx_http_request_t *r,
    ngx_str_t *names);
#endif
static ngx_int_t ngx_http_chatmaid_call_peer_get(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_chatmaid_call_peer_free(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static void ngx_http_chatmaid_call_peer_notify(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t type);
static ngx_uint_t ngx_http_chatmaid_call_peer_fits(
    ngx_http_chatmaid_call_peer_t *peer, ngx_connection_t *c);
static void ngx_http_chatmaid_call_peer_mark(
    ngx_http_chatmaid_call_peer_t *peer, ngx_connection_t *c);
static void ngx_http_chatmaid_call_peer_cleanup(void *data);


ngx_int_t
ngx_http_chatmaid_call_peer_init(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_http_upstream_t            *u;
    ngx_http_chatmaid_call_peer_t  *peer;

    peer = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_call_peer_t));
    if (peer == NULL) {
        return NGX_ERROR;
    }

    u = r->upstream;

    peer->call = call;
    peer->purpose.location = call->conf->gateway->location;
    ngx_str_set(&peer->purpose.names, "");

#if (NGX_HTTP_SSL)

    if (u->ssl
        && ngx_http_chatmaid_call_peer_names(r, &peer->purpose.names) != NGX_OK)
    {
        return NGX_ERROR;
    }

#endif

    peer->data = u->peer.data;
    peer->get = u->peer.get;
    peer->free = u->peer.free;
    peer->notify = u->peer.notify;

    u->peer.data = peer;
    u->peer.get = ngx_http_chatmaid_call_peer_get;
    u->peer.free = ngx_http_chatmaid_call_peer_free;

    if (peer->notify) {
        u->peer.notify = ngx_http_chatmaid_call_peer_notify;
    }

    return NGX_OK;
}


#if (NGX_HTTP_SSL)

/* Joins the values of those TLS settings of the location that may differ from
 * call to call, because they may contain variables. */

static ngx_int_t
ngx_http_chatmaid_call_peer_names(ngx_http_request_t *r, ngx_str_t *names)
{
    u_char                    *p;
    ngx_str_t                  value[3];
    ngx_uint_t                 i;
    ngx_http_complex_value_t  *cv[3];
    ngx_http_upstream_conf_t  *ucf;

    ucf = r->upstream->conf;

    cv[0] = ucf->ssl_name;
    cv[1] = ucf->ssl_certificate;
    cv[2] = ucf->ssl_certificate_key;

    names->len = 0;

    for (i = 0; i < 3; i++) {

        ngx_str_null(&value[i]);

        if (cv[i] && ngx_http_complex_value(r, cv[i], &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        names->len += value[i].len + 1;
    }

    names->data = ngx_pnalloc(r->pool, names->len);
    if (names->data == NULL) {
        return NGX_ERROR;
    }

    p = names->data;

    for (i = 0; i < 3; i++) {

        if (value[i].len) {
            p = ngx_cpymem(p, value[i].data, value[i].len);
        }

        *p++ = '\0';
    }

    return NGX_OK;
}

#endif


/*
 * nginx may choose a kept connection by the peer's address alone.  A connection
 * that another location opened may lead to a peer that was not verified, or was
 * verified for another name.  Such a connection is closed.
 */

static ngx_int_t
ngx_http_chatmaid_call_peer_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_chatmaid_call_peer_t *peer = data;

    ngx_int_t          rc;
    ngx_connection_t  *c;

    peer->call->kept_closed = 0;

    rc = peer->get(pc, peer->data);

    if (rc != NGX_DONE) {
        return rc;
    }

    c = pc->connection;

    if (ngx_http_chatmaid_call_peer_fits(peer, c)) {
        return NGX_DONE;
    }

#if (NGX_HTTP_SSL)

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }

#endif

    ngx_destroy_pool(c->pool);
    ngx_close_connection(c);

    pc->connection = NULL;
    pc->cached = 0;

    return NGX_OK;                  /* a new connection to the same peer */
}


/*
 * A kept connection that was closed before a byte of an answer came says
 * nothing about its peer, so the balancer does not count it as a failure.
 */

static void
ngx_http_chatmaid_call_peer_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_chatmaid_call_peer_t *peer = data;

    ngx_connection_t  *c;

    c = pc->connection;

    if (c && (state & NGX_PEER_FAILED)) {

        if (pc->cached && !c->read->timedout && !c->write->timedout
            && peer->call->upstream->state->bytes_received == 0)
        {
            peer->call->kept_closed = 1;
            state = NGX_PEER_NEXT;
        }

    } else if (c && c->pool && !pc->cached) {
        ngx_http_chatmaid_call_peer_mark(peer, c);
    }

    peer->free(pc, peer->data, state);
}


static void
ngx_http_chatmaid_call_peer_notify(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type)
{
    ngx_http_chatmaid_call_peer_t *peer = data;

    peer->notify(pc, peer->data, type);
}


/* Whether the call may use a kept connection: one that was opened by a call of
 * the same location with the same names. */

static ngx_uint_t
ngx_http_chatmaid_call_peer_fits(ngx_http_chatmaid_call_peer_t *peer,
    ngx_connection_t *c)
{
    ngx_pool_cleanup_t                     *cln;
    ngx_http_chatmaid_call_peer_purpose_t  *purpose;

    if (peer->call->fresh) {
        return 0;
    }

    for (cln = c->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_chatmaid_call_peer_cleanup) {
            continue;
        }

        purpose = cln->data;

        return purpose->location == peer->purpose.location
               && purpose->names.len == peer->purpose.names.len
               && ngx_memcmp(purpose->names.data, peer->purpose.names.data,
                             purpose->names.len)
                  == 0;
    }

    return 0;
}


/* Marks a new connection with its purpose.  If there is no memory, it stays
 * unmarked, and no other call uses it. */

static void
ngx_http_chatmaid_call_peer_mark(ngx_http_chatmaid_call_peer_t *peer,
    ngx_connection_t *c)
{
    ngx_pool_cleanup_t                     *cln;
    ngx_http_chatmaid_call_peer_purpose_t  *purpose;

    cln = ngx_pool_cleanup_add(c->pool,
                               sizeof(ngx_http_chatmaid_call_peer_purpose_t)
                               + peer->purpose.names.len);
    if (cln == NULL) {
        return;
    }

    purpose = cln->data;

    *purpose = peer->purpose;
    purpose->names.data = (u_char *) (purpose + 1);

    ngx_memcpy(purpose->names.data, peer->purpose.names.data,
               purpose->names.len);

    cln->handler = ngx_http_chatmaid_call_peer_cleanup;
}


/* Does nothing: its address tells which cleanup holds the purpose. */

static void
ngx_http_chatmaid_call_peer_cleanup(void *data)
{
}
