
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_call_request.h"
#include "ngx_http_chatmaid_redact.h"
#include "ngx_http_chatmaid_upstream_state.h"


static const char *ngx_http_chatmaid_call_aim(ngx_http_request_t *sr,
    ngx_http_chatmaid_call_t *call);
static ngx_int_t ngx_http_chatmaid_call_capture(ngx_http_request_t *sr,
    ngx_http_chatmaid_call_t *call, ngx_buf_t *b);
static ngx_int_t ngx_http_chatmaid_call_done(ngx_http_request_t *sr, void *data,
    ngx_int_t rc);
static void ngx_http_chatmaid_call_join_states(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static void ngx_http_chatmaid_call_note_upstream(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static void ngx_http_chatmaid_call_redact(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
static ngx_http_chatmaid_call_result_e ngx_http_chatmaid_call_judge(
    ngx_http_request_t *r, ngx_http_chatmaid_call_t *call);
static ngx_uint_t ngx_http_chatmaid_call_is_sent(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);


ngx_int_t
ngx_http_chatmaid_call_start(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_uint_t                   count;
    ngx_http_request_t          *sr;
    ngx_http_post_subrequest_t  *ps;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_chatmaid_call_done;
    ps->data = call;

    call->conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    call->state = r->upstream_states ? r->upstream_states->nelts : 0;

    /* the URI is only the location's name: with the caller's path in it, a
     * location that is a regular expression could be chosen instead */

    count = r->main->count;

    if (ngx_http_subrequest(r, &call->conf->gateway->uri, NULL, &sr, ps,
                            NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        /* ngx_http_subrequest() increments it before its last allocation */
        r->main->count = count;
        return NGX_ERROR;
    }

    call->request = sr;
    call->started = ngx_current_msec;

    if (ngx_http_chatmaid_call_request(r, sr, &call->request_id, call->body)
        != NGX_OK)
    {

        /* the subrequest can't be cancelled; a call that has a reason is not
         * sent */
        call->reason = "there is no memory";
    }

    return NGX_AGAIN;
}


void
ngx_http_chatmaid_call_free_answer(ngx_pool_t *pool,
    ngx_http_chatmaid_call_t *call)
{
    if (call->answer.data) {
        (void) ngx_pfree(pool, call->answer.data);
        ngx_str_null(&call->answer);
    }
}


void
ngx_http_chatmaid_call_wake(ngx_http_chatmaid_call_t *call)
{
    ngx_http_request_t  *sr;

    if (call->request == NULL || call->upstream) {
        return;
    }

    sr = call->request;

    if (sr->write_event_handler == ngx_http_handler) {
        return;                 /* already posted, but not yet begun */
    }

    (void) ngx_http_post_request(sr, NULL);
}


ngx_http_chatmaid_call_t *
ngx_http_chatmaid_call_get(ngx_http_request_t *r)
{
    if (r == r->main || r->post_subrequest == NULL
        || r->post_subrequest->handler != ngx_http_chatmaid_call_done)
    {
        return NULL;
    }

    return r->post_subrequest->data;
}


/*
 * The proxy module would escape the path of an internal request once more.  So
 * the subrequest comes here with only its location's name as URI.  Now, just
 * before the proxy module reads the URI, the caller's path is added, and the
 * request is no longer internal: the path is sent byte for byte.
 */

ngx_int_t
ngx_http_chatmaid_call_precontent_handler(ngx_http_request_t *r)
{
    u_char                    *p;
    ngx_str_t                 *uri;
    ngx_http_chatmaid_call_t  *call;

    call = ngx_http_chatmaid_call_get(r);

    if (call == NULL) {
        return NGX_DECLINED;
    }

    if (call->upstream) {
        /* X-Accel-Redirect led here */
        call->fault = NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (call->reason == NULL) {
        call->reason = ngx_http_chatmaid_call_aim(r, call);
    }

    if (call->reason) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    uri = &call->conf->gateway->uri;

    p = ngx_pnalloc(r->pool, uri->len + call->path.len);
    if (p == NULL) {
        call->reason = "there is no memory";
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->uri.data = p;
    r->uri.len = uri->len + call->path.len;
    r->internal = 0;

    /* the proxy module replaces the location's name by the URI of proxy_pass */

    ngx_memcpy(p, uri->data, uri->len);
    ngx_memcpy(p + uri->len, call->path.data, call->path.len);

    /* nginx zeroes the context on an internal redirect: so an answer that
     * came by a redirect is recognised */
    ngx_http_set_ctx(r, call, ngx_http_chatmaid_module);

    call->aimed = 1;

    return NGX_DECLINED;
}


/* Checks that the subrequest is in the location that the gateway names.
 * Returns NULL, or the reason why not.  What the configuration alone can tell
 * has been checked at start. */

static const char *
ngx_http_chatmaid_call_aim(ngx_http_request_t *sr,
    ngx_http_chatmaid_call_t *call)
{
    ngx_http_core_loc_conf_t     *clcf;
    ngx_http_chatmaid_gateway_t  *gateway;

    clcf = ngx_http_get_module_loc_conf(sr, ngx_http_core_module);
    gateway = call->conf->gateway;

    /* compared by address: a URI that was not rewritten still points to the
     * configuration's string */

    if (call->aimed || sr->uri.data != gateway->uri.data
        || sr->uri.len != gateway->uri.len)
    {
        return "a rewrite changed the call's path";
    }

    if (clcf->noname) {
        return "an \"if\" of that location took the call";
    }

    if (clcf != gateway->location || !sr->valid_location) {
        return "another location was chosen for it";
    }

    return NULL;
}


ngx_int_t
ngx_http_chatmaid_call_header_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    /* nginx's own header filter, which would set it, is not called */
    r->header_sent = 1;

    if (call->upstream == NULL || call->upstream != r->upstream
        || ngx_http_get_module_ctx(r, ngx_http_chatmaid_module) != (void *) call
#if (NGX_HTTP_CACHE)
        || r->cached
#endif
       )
    {
        call->fault = NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM;
        return NGX_OK;
    }

    call->status = r->headers_out.status;

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_call_body_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_chain_t *in)
{
    ngx_buf_t  *b;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;

        if (call->fault != NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM
            && ngx_http_chatmaid_call_capture(r, call, b) != NGX_OK)
        {
            /* The return value ends the subrequest, and nginx then sets
             * c->error, as if the caller had left.  If it is set already, the
             * caller has really left. */

            call->gone = r->connection->error;

            return NGX_ERROR;
        }

        if (b->last_buf || b->last_in_chain) {
            call->whole = 1;
        }

        b->pos = b->last;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_call_capture(ngx_http_request_t *sr,
    ngx_http_chatmaid_call_t *call, ngx_buf_t *b)
{
    off_t    expected;
    size_t   n, size;
    u_char  *p;

    if (!ngx_buf_in_memory(b)) {
        return NGX_OK;
    }

    n = b->last - b->pos;

    if (n > NGX_HTTP_CHATMAID_CALL_MAX_ANSWER - call->answer.len) {
        call->fault = NGX_HTTP_CHATMAID_CALL_TOO_LARGE;
        return NGX_ERROR;
    }

    if (n > call->size - call->answer.len) {

        expected = call->upstream->headers_in.content_length_n;

        size = ngx_max(2 * call->size, call->answer.len + n);

        if (expected > (off_t) size
            && expected <= NGX_HTTP_CHATMAID_CALL_MAX_ANSWER)
        {
            size = (size_t) expected;
        }

        p = ngx_pnalloc(sr->pool, size);
        if (p == NULL) {
            call->fault = NGX_HTTP_CHATMAID_CALL_NO_MEMORY;
            return NGX_ERROR;
        }

        if (call->answer.data) {
            ngx_memcpy(p, call->answer.data, call->answer.len);
            (void) ngx_pfree(sr->pool, call->answer.data);
        }

        call->answer.data = p;
        call->size = size;
    }

    ngx_memcpy(call->answer.data + call->answer.len, b->pos, n);
    call->answer.len += n;

    return NGX_OK;
}


/*
 * ngx_http_post_subrequest_pt.  The caller's request is only posted: running it
 * here could free the subrequest that nginx is finalizing.
 */

static ngx_int_t
ngx_http_chatmaid_call_done(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_http_chatmaid_call_t *call = data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    c = sr->connection;
    r = sr->parent;

    sr->post_subrequest = NULL;         /* else an error page calls it again */

    c->log->action = NULL;

    r->upstream_states = sr->upstream_states;

    call->request = NULL;
    call->rc = rc;
    call->time = ngx_current_msec - call->started;

    ngx_http_chatmaid_call_redact(r, call);

    call->result = ngx_http_chatmaid_call_judge(r, call);

    ngx_http_chatmaid_call_join_states(r, call);
    ngx_http_chatmaid_call_note_upstream(r, call);

    ngx_log_debug4(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "chatmaid call done, rc:%i result:%ui status:%ui size:%uz",
                   rc, (ngx_uint_t) call->result, call->status,
                   call->answer.len);

    if (c->error) {
        c->error = 0;

        if (call->fault != NGX_HTTP_CHATMAID_CALL_TOO_LARGE
            && call->fault != NGX_HTTP_CHATMAID_CALL_NO_MEMORY)
        {
            call->gone = 1;
        }
    }

    if (ngx_http_post_request(r, NULL) != NGX_OK) {
        return NGX_ERROR;               /* ends the caller's request */
    }

    call->handler(call);

    return NGX_OK;
}


/*
 * nginx puts an empty state before those of a further call.  $upstream_addr and
 * similar variables show it as a colon, as after a redirect to another group of
 * servers.  Without it they show the module's tries like nginx's own, separated
 * by commas.
 */

static void
ngx_http_chatmaid_call_join_states(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_array_t                *states;
    ngx_http_upstream_state_t  *state;

    states = r->upstream_states;

    if (!call->further || states == NULL || states->nelts <= call->state) {
        return;
    }

    state = (ngx_http_upstream_state_t *) states->elts + call->state;

    if (state->peer) {
        return;
    }

    states->nelts--;

    ngx_memmove(state, state + 1, (states->nelts - call->state)
                                  * sizeof(ngx_http_upstream_state_t));
}


/* Notes whether the upstream works.  A refusal by Chatmaid shows that it
 * does. */

static void
ngx_http_chatmaid_call_note_upstream(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_http_chatmaid_main_conf_t       *mcf;
    ngx_http_chatmaid_upstream_state_e   state;

    switch (call->result) {

    case NGX_HTTP_CHATMAID_CALL_LIMITED:
    case NGX_HTTP_CHATMAID_CALL_NOT_MADE:
    case NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED:
    case NGX_HTTP_CHATMAID_CALL_NOT_UPSTREAM:
        return;                     /* says nothing about the upstream */

    case NGX_HTTP_CHATMAID_CALL_NOT_CONNECTED:
    case NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT:
    case NGX_HTTP_CHATMAID_CALL_NO_ANSWER:
    case NGX_HTTP_CHATMAID_CALL_TIMEOUT:
        state = NGX_HTTP_CHATMAID_UPSTREAM_DOWN;
        break;

    default:
        state = (call->status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
                ? NGX_HTTP_CHATMAID_UPSTREAM_DOWN
                : NGX_HTTP_CHATMAID_UPSTREAM_UP;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    ngx_http_chatmaid_upstream_state_set(mcf->zone,
                                         call->conf->gateway->upstream.upstream,
                                         state);
}


/* If an answer contains the API key, the key must be neither stored nor passed
 * on. */

static void
ngx_http_chatmaid_call_redact(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    u_char     *p;
    ngx_int_t   rc;

    if (call->answer.len == 0) {
        return;
    }

    p = call->answer.data;

    rc = ngx_http_chatmaid_redact(r->pool, &call->conf->api_key->secret,
                                  &call->answer);

    if (rc == NGX_DECLINED) {
        return;
    }

    if (rc == NGX_ERROR) {
        call->fault = NGX_HTTP_CHATMAID_CALL_NO_MEMORY;
        ngx_str_null(&call->answer);
    }

    (void) ngx_pfree(r->pool, p);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "chatmaid answer holds the API key, which is redacted");
}


static ngx_http_chatmaid_call_result_e
ngx_http_chatmaid_call_judge(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_uint_t  sent;

    if (call->upstream == NULL) {

        if (call->reason == NULL
            && (call->rc == NGX_HTTP_SERVICE_UNAVAILABLE
                || call->rc == NGX_HTTP_TOO_MANY_REQUESTS))
        {
            return NGX_HTTP_CHATMAID_CALL_LIMITED;
        }

        if (call->reason == NULL) {
            call->reason = "that location did not proxy the call";
        }

        return NGX_HTTP_CHATMAID_CALL_NOT_MADE;
    }

    if (call->fault) {
        return call->fault;
    }

    if (call->status) {
        return call->whole ? NGX_HTTP_CHATMAID_CALL_ANSWERED
                           : NGX_HTTP_CHATMAID_CALL_CUT_SHORT;
    }

    if (call->kept_closed) {
        return NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED;
    }

    sent = ngx_http_chatmaid_call_is_sent(r, call);

    if (call->rc == NGX_HTTP_GATEWAY_TIME_OUT) {
        return sent ? NGX_HTTP_CHATMAID_CALL_TIMEOUT
                    : NGX_HTTP_CHATMAID_CALL_CONNECT_TIMEOUT;
    }

    return sent ? NGX_HTTP_CHATMAID_CALL_NO_ANSWER
                : NGX_HTTP_CHATMAID_CALL_NOT_CONNECTED;
}


/*
 * Whether a byte of the request may have arrived at a peer.  nginx sets
 * connect_time when it begins to send the request, with TLS after the
 * handshake.  Without TLS the connect may still fail at that time, and then
 * nothing was written.
 */

static ngx_uint_t
ngx_http_chatmaid_call_is_sent(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    state = r->upstream_states->elts;

    for (i = call->state; i < r->upstream_states->nelts; i++) {

        if (state[i].peer == NULL
            || state[i].connect_time == (ngx_msec_t) -1)
        {
            continue;           /* empty (see above), or not connected */
        }

#if (NGX_HTTP_SSL)
        if (call->upstream->ssl) {
            return 1;
        }
#endif

        if (state[i].bytes_sent) {
            return 1;
        }
    }

    return 0;
}
