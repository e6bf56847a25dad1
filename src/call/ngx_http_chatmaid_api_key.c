
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_api_key.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_call_head.h"
#include "ngx_http_chatmaid_call_peer.h"


static ngx_int_t ngx_http_chatmaid_api_key_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_http_chatmaid_upstream_t *ngx_http_chatmaid_api_key_upstream(
    ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_chatmaid_api_key_attach(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static const char *ngx_http_chatmaid_api_key_check(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char **end);
static ngx_uint_t ngx_http_chatmaid_api_key_is_http(u_char *p,
    u_char *last);
static ngx_uint_t ngx_http_chatmaid_api_key_is_for(
    ngx_http_chatmaid_call_t *call, u_char *p, u_char *last);
static u_char *ngx_http_chatmaid_api_key_head_end(u_char *p, u_char *last,
    ngx_uint_t *authorized);
static ngx_int_t ngx_http_chatmaid_api_key_splice(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char *end);


ngx_int_t
ngx_http_chatmaid_api_key_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_upstream_srv_conf_t   **uscf;
    ngx_http_chatmaid_upstream_t    *upstream;
    ngx_http_upstream_main_conf_t   *umcf;
    ngx_http_chatmaid_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);

    uscf = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        upstream = ngx_array_push(&mcf->upstreams);
        if (upstream == NULL) {
            return NGX_ERROR;
        }

        upstream->upstream = uscf[i];
        upstream->init = uscf[i]->peer.init;

        uscf[i]->peer.init = ngx_http_chatmaid_api_key_init_peer;
    }

    return NGX_OK;
}


/* nginx calls this once for each upstream request, after create_request and
 * before the first connect. */

static ngx_int_t
ngx_http_chatmaid_api_key_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_chatmaid_call_t      *call;
    ngx_http_chatmaid_upstream_t  *upstream;

    call = ngx_http_chatmaid_call_get(r);

    if (call && ngx_http_chatmaid_api_key_attach(r, call) != NGX_OK) {
        return NGX_ERROR;
    }

    upstream = ngx_http_chatmaid_api_key_upstream(r, us);

    if (upstream == NULL || upstream->init(r, us) != NGX_OK) {
        return NGX_ERROR;
    }

    return call ? ngx_http_chatmaid_call_peer_init(r, call) : NGX_OK;
}


static ngx_http_chatmaid_upstream_t *
ngx_http_chatmaid_api_key_upstream(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                      i;
    ngx_http_chatmaid_upstream_t   *upstream;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    upstream = mcf->upstreams.elts;

    for (i = 0; i < mcf->upstreams.nelts; i++) {
        if (upstream[i].upstream == us) {
            return &upstream[i];
        }
    }

    ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                  "chatmaid does not know the upstream \"%V\"", &us->host);

    return NULL;
}


static ngx_int_t
ngx_http_chatmaid_api_key_attach(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    u_char  *end;

    call->reason = ngx_http_chatmaid_api_key_check(r, call, &end);

    if (call->reason) {
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_api_key_splice(r, call, end) != NGX_OK) {
        call->reason = "there is no memory";
        return NGX_ERROR;
    }

    /* all calls of the location have the same conf, because nginx compares its
     * address to choose a kept connection */

    r->upstream->conf = &call->conf->gateway->upstream;
    r->upstream->buffering = 0;
    r->upstream->store = 0;

    call->upstream = r->upstream;

    ngx_http_chatmaid_call_head_init(r, call);

    return NGX_OK;
}


/* Checks whether the key may be attached to the request that the proxy module
 * has written.  Returns NULL and sets *end to the end of the header lines, or
 * returns the reason why not. */

static const char *
ngx_http_chatmaid_api_key_check(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char **end)
{
    u_char               *p, *first, *last;
    ngx_uint_t            authorized;
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

    if (!u->conf->pass_request_headers || !u->conf->pass_request_body) {
        return "proxy_pass_request_headers or proxy_pass_request_body is off";
    }

    p = u->request_bufs->buf->pos;
    last = u->request_bufs->buf->last;

    first = memchr(p, LF, last - p);

    if (first == NULL || !ngx_http_chatmaid_api_key_is_http(p, first)) {
        return "that location speaks another protocol than HTTP/1.x";
    }

    if (!ngx_http_chatmaid_api_key_is_for(call, p, first)) {
        return "proxy_pass there must have \"/\" behind its host, and no more";
    }

    *end = ngx_http_chatmaid_api_key_head_end(first + 1, last, &authorized);

    if (*end == NULL) {
        return "that location speaks another protocol than HTTP/1.x";
    }

    if (authorized) {
        return "that location sets an Authorization of its own";
    }

    return NULL;
}


/* Whether the line is a method, a target and "HTTP/1.x". */

static ngx_uint_t
ngx_http_chatmaid_api_key_is_http(u_char *p, u_char *last)
{
    u_char  *target, *protocol;

    target = memchr(p, ' ', last - p);
    protocol = target ? memchr(target + 1, ' ', last - target - 1) : NULL;

    return protocol
           && last - protocol == sizeof(" HTTP/1.1" CRLF) - 2
           && ngx_strncmp(protocol, " HTTP/1.", 8) == 0;
}


/* Whether the target of this request line is the call's path. */

static ngx_uint_t
ngx_http_chatmaid_api_key_is_for(ngx_http_chatmaid_call_t *call, u_char *p,
    u_char *last)
{
    size_t  len;

    len = call->path.len;
    p = (u_char *) memchr(p, ' ', last - p) + 1;

    return (size_t) (last - p) > 1 + len
           && p[0] == '/'
           && ngx_memcmp(p + 1, call->path.data, len) == 0
           && p[1 + len] == ' ';
}


/* Returns where the empty line after the header lines begins, or NULL if there
 * is none.  Sets *authorized to whether one of the lines is Authorization. */

static u_char *
ngx_http_chatmaid_api_key_head_end(u_char *p, u_char *last,
    ngx_uint_t *authorized)
{
    static ngx_str_t  name = ngx_string("authorization:");

    *authorized = 0;

    while (last - p >= 2 && ngx_strncmp(p, CRLF, 2) != 0) {

        if (ngx_tolower(*p) == 'a'
            && (size_t) (last - p) >= name.len
            && ngx_strncasecmp(p, name.data, name.len) == 0)
        {
            *authorized = 1;
        }

        p = memchr(p, LF, last - p);

        if (p == NULL) {
            return NULL;
        }

        p++;
    }

    return (last - p >= 2) ? p : NULL;
}


/*
 * Adds the line with the key after all other header lines.  It is a buffer that
 * points to configuration memory, so no request's pool ever holds the key.  The
 * empty line is in that buffer, too.  What the proxy module has written after
 * the empty line (proxy_set_body) gets a third buffer.  In each buffer "start"
 * equals "pos", because nginx rewinds to "start" when it sends a request to the
 * next peer.
 */

static ngx_int_t
ngx_http_chatmaid_api_key_splice(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, u_char *end)
{
    u_char       *rest;
    ngx_buf_t    *head, *key, *tail;
    ngx_str_t    *header;
    ngx_chain_t  *cl, *key_cl, *tail_cl;

    cl = r->upstream->request_bufs;
    header = &call->conf->api_key->header;

    key = ngx_alloc_buf(r->pool);
    key_cl = ngx_alloc_chain_link(r->pool);

    if (key == NULL || key_cl == NULL) {
        return NGX_ERROR;
    }

    head = cl->buf;
    rest = end + sizeof(CRLF) - 1;

    *key = *head;                       /* with its "flush" flag */

    key_cl->buf = key;
    key_cl->next = cl->next;
    cl->next = key_cl;

    if (rest < head->last) {
        tail = ngx_alloc_buf(r->pool);
        tail_cl = ngx_alloc_chain_link(r->pool);

        if (tail == NULL || tail_cl == NULL) {
            return NGX_ERROR;
        }

        *tail = *head;
        tail->start = rest;
        tail->pos = rest;

        tail_cl->buf = tail;
        tail_cl->next = key_cl->next;
        key_cl->next = tail_cl;
    }

    key->start = header->data;
    key->pos = header->data;
    key->last = header->data + header->len;
    key->end = key->last;
    key->temporary = 0;
    key->memory = 1;

    head->last = end;
    head->end = end;
    head->flush = 0;
    head->last_buf = 0;

    return NGX_OK;
}
