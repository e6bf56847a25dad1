
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_head.h"
#include "ngx_http_chatmaid_redact.h"


static void ngx_http_chatmaid_call_head_wrap(ngx_http_upstream_t *u,
    ngx_http_chatmaid_call_t *call);
static ngx_int_t ngx_http_chatmaid_call_head_reinit(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_call_head_process(ngx_http_request_t *r);


void
ngx_http_chatmaid_call_head_init(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    call->reinit_request = u->reinit_request;
    u->reinit_request = ngx_http_chatmaid_call_head_reinit;

    ngx_http_chatmaid_call_head_wrap(u, call);
}


/* nginx's handler of the status line sets that of the header lines, and
 * reinit_request sets the first one again: each is wrapped in its turn. */

static void
ngx_http_chatmaid_call_head_wrap(ngx_http_upstream_t *u,
    ngx_http_chatmaid_call_t *call)
{
    if (u->process_header == ngx_http_chatmaid_call_head_process) {
        return;
    }

    call->process_header = u->process_header;
    u->process_header = ngx_http_chatmaid_call_head_process;
}


/* Before the call is made to another peer. */

static ngx_int_t
ngx_http_chatmaid_call_head_reinit(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_call_t  *call;

    call = ngx_http_chatmaid_call_get(r);

    rc = call->reinit_request(r);

    ngx_http_chatmaid_call_head_wrap(r->upstream, call);

    return rc;
}


/* Runs each time when more of the head has arrived.  nginx logs a line only
 * when all of it is there. */

static ngx_int_t
ngx_http_chatmaid_call_head_process(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_upstream_t       *u;
    ngx_http_chatmaid_call_t  *call;

    u = r->upstream;
    call = ngx_http_chatmaid_call_get(r);

    if (ngx_http_chatmaid_redact_head(&call->conf->api_key->secret,
                                      u->buffer.start, u->buffer.last))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid answer holds the API key, which is redacted");
    }

    rc = call->process_header(r);

    ngx_http_chatmaid_call_head_wrap(u, call);

    return rc;
}
