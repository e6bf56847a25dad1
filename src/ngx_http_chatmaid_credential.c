
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_credential.h"
#include "ngx_http_chatmaid_call.h"


static ngx_int_t ngx_http_chatmaid_credential_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_chatmaid_credential_attach(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static const char *ngx_http_chatmaid_credential_check(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char **first);
static ngx_uint_t ngx_http_chatmaid_credential_leaks_prefix(
    ngx_http_chatmaid_call_t *call, u_char *line, u_char *last);
static ngx_uint_t ngx_http_chatmaid_credential_authorized(u_char *p,
    u_char *last);
static ngx_int_t ngx_http_chatmaid_credential_unbuffer(ngx_http_request_t *r,
    ngx_http_upstream_t *u);
static ngx_int_t ngx_http_chatmaid_credential_splice(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char *first);


ngx_int_t
ngx_http_chatmaid_credential_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_upstream_srv_conf_t   **uscf;
    ngx_http_chatmaid_upstream_t    *upstream;
    ngx_http_upstream_main_conf_t   *umcf;
    ngx_http_chatmaid_main_conf_t   *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    uscf = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        upstream = ngx_array_push(&cmcf->upstreams);
        if (upstream == NULL) {
            return NGX_ERROR;
        }

        upstream->upstream = uscf[i];
        upstream->init = uscf[i]->peer.init;

        uscf[i]->peer.init = ngx_http_chatmaid_credential_init_peer;
    }

    return NGX_OK;
}


/* Runs after create_request and before any connect, once per upstream call. */

static ngx_int_t
ngx_http_chatmaid_credential_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                      i;
    ngx_http_chatmaid_call_t       *call;
    ngx_http_chatmaid_upstream_t   *upstream;
    ngx_http_chatmaid_main_conf_t  *cmcf;

    call = ngx_http_chatmaid_call_get(r);

    if (call && ngx_http_chatmaid_credential_attach(r, call) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    upstream = cmcf->upstreams.elts;

    for (i = 0; i < cmcf->upstreams.nelts; i++) {
        if (upstream[i].upstream == us) {
            return upstream[i].init(r, us);
        }
    }

    ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                  "chatmaid does not know the upstream \"%V\"", &us->host);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_credential_attach(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    u_char  *first;

    call->refused = ngx_http_chatmaid_credential_check(r, call, &first);

    if (call->refused) {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_credential_unbuffer(r, r->upstream) != NGX_OK
        || ngx_http_chatmaid_credential_splice(r, call, first) != NGX_OK)
    {
        call->refused = "there is no memory";
        return NGX_ERROR;
    }

    call->upstream = r->upstream;

    return NGX_OK;
}


/*
 * NULL where the key may be attached to the request that the proxy module has
 * made, with *first behind its first line; else why not.
 */

static const char *
ngx_http_chatmaid_credential_check(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char **first)
{
    u_char               *p, *last;
    ngx_http_upstream_t  *u;

    u = r->upstream;

    if (!call->aimed || call->upstream
        || ngx_http_get_module_ctx(r, ngx_http_chatmaid_module)
           != (void *) call)
    {
        return "the call was taken to another location";
    }

    if (call->conf->api_key->environment == NGX_HTTP_CHATMAID_LIVE
#if (NGX_HTTP_SSL)
        && !(u->ssl && u->conf->ssl_verify)
#endif
       )
    {
        return "a live key is not sent without TLS and proxy_ssl_verify";
    }

    p = u->request_bufs->buf->pos;
    last = u->request_bufs->buf->last;

    *first = ngx_strlchr(p, last, LF);

    if (*first == NULL || *first - p < 11
        || ngx_strncmp(*first - 10, " HTTP/1.", 8) != 0)
    {
        return "that location speaks another protocol than HTTP/1.x";
    }

    if (ngx_http_chatmaid_credential_leaks_prefix(call, p, *first)) {
        return "proxy_pass there has no URI, only a host: append \"/\"";
    }

    (*first)++;

    if (ngx_http_chatmaid_credential_authorized(*first, last)) {
        return "that location sets an Authorization of its own";
    }

    return NULL;
}


/* Whether the target begins with the internal location's own name. */

static ngx_uint_t
ngx_http_chatmaid_credential_leaks_prefix(ngx_http_chatmaid_call_t *call,
    u_char *line, u_char *last)
{
    u_char  *p;
    size_t   len;

    p = ngx_strlchr(line, last, ' ') + 1;

    len = call->conf->gateway.len;

    return (size_t) (last - p) >= len + call->path.len
           && ngx_strncmp(p, call->conf->gateway.data, len) == 0
           && ngx_strncmp(p + len, call->path.data, call->path.len) == 0;
}


static ngx_uint_t
ngx_http_chatmaid_credential_authorized(u_char *p, u_char *last)
{
    static ngx_str_t  name = ngx_string("authorization:");

    while (p < last && *p != CR && *p != LF) {

        if ((size_t) (last - p) >= name.len
            && ngx_strncasecmp(p, name.data, name.len) == 0)
        {
            return 1;
        }

        p = ngx_strlchr(p, last, LF);

        if (p == NULL) {
            return 0;
        }

        p++;
    }

    return 0;
}


/*
 * An answer is captured as it comes: nothing of it is written to a temporary
 * file or stored, nor replaced by an error page, whatever the location says.
 */

static ngx_int_t
ngx_http_chatmaid_credential_unbuffer(ngx_http_request_t *r,
    ngx_http_upstream_t *u)
{
    ngx_http_upstream_conf_t  *conf;

    conf = ngx_palloc(r->pool, sizeof(ngx_http_upstream_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    *conf = *u->conf;

    conf->change_buffering = 0;
    conf->intercept_errors = 0;

    u->conf = conf;
    u->buffering = 0;
    u->store = 0;

    return NGX_OK;
}


/*
 * Puts the header line behind the request line, in a buffer of its own that
 * points to configuration memory: no request pool ever holds the key.  Each
 * buffer starts where it is read from, for nginx rewinds to "start" when it
 * sends a request to the next peer.
 */

static ngx_int_t
ngx_http_chatmaid_credential_splice(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char *first)
{
    ngx_buf_t    *head, *key, *tail;
    ngx_str_t    *header;
    ngx_chain_t  *cl, *key_cl, *tail_cl;

    cl = r->upstream->request_bufs;
    header = &call->conf->api_key->header;

    key = ngx_calloc_buf(r->pool);
    tail = ngx_alloc_buf(r->pool);
    key_cl = ngx_alloc_chain_link(r->pool);
    tail_cl = ngx_alloc_chain_link(r->pool);

    if (key == NULL || tail == NULL || key_cl == NULL || tail_cl == NULL) {
        return NGX_ERROR;
    }

    head = cl->buf;

    *tail = *head;
    tail->start = first;
    tail->pos = first;

    head->last = first;
    head->end = first;
    head->flush = 0;
    head->last_buf = 0;

    key->start = header->data;
    key->pos = header->data;
    key->last = header->data + header->len;
    key->end = key->last;
    key->memory = 1;

    tail_cl->buf = tail;
    tail_cl->next = cl->next;

    key_cl->buf = key;
    key_cl->next = tail_cl;

    cl->next = key_cl;

    return NGX_OK;
}
