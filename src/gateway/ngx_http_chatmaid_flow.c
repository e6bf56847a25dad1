
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"


static void ngx_http_chatmaid_flow_run(ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_reading(ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_deadline_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_chatmaid_flow_expired(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static void ngx_http_chatmaid_flow_take_error(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx);
static void ngx_http_chatmaid_flow_cleanup(void *data);


void
ngx_http_chatmaid_flow_start(ngx_http_request_t *r)
{
    ngx_http_cleanup_t            *cln;
    ngx_http_chatmaid_ctx_t       *ctx;
    ngx_http_chatmaid_loc_conf_t  *conf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    cln = ngx_http_cleanup_add(r, 0);

    if (cln == NULL) {
        ngx_http_chatmaid_flow_end(r, ctx, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    cln->handler = ngx_http_chatmaid_flow_cleanup;
    cln->data = ctx;

    ctx->request = r;
    ctx->next = ctx->steps;

    r->read_event_handler = ngx_http_chatmaid_flow_reading;
    r->write_event_handler = ngx_http_chatmaid_flow_run;

    ngx_http_chatmaid_flow_timer(r, &ctx->deadline,
                                 ngx_http_chatmaid_flow_deadline_handler,
                                 ctx->wait_time ? ctx->wait_time
                                                : conf->timeout);

    ngx_http_chatmaid_flow_run(r);
}


/*
 * The flow's pump, the request's write_event_handler: it also runs whenever the
 * caller's socket is writable.
 */

static void
ngx_http_chatmaid_flow_run(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_chatmaid_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid run, parked:%ui error:%d",
                   (ngx_uint_t) ctx->parked, r->connection->error);

    ngx_http_chatmaid_flow_take_error(r, ctx);

    if (ctx->parked && ctx->idle && ctx->gone) {
        ngx_http_chatmaid_flow_end(r, ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    if (ctx->parked) {

        if (ctx->answered && !ctx->gone) {
            ctx->answer_rc = ngx_http_output_filter(r, NULL);
            ngx_http_set_ctx(r, ctx, ngx_http_chatmaid_module);
            ngx_http_chatmaid_flow_take_error(r, ctx);
        }

        ngx_http_chatmaid_call_wake(ctx->call);
        return;
    }

    ctx->idle = 0;

    do {
        rc = (*ctx->next++)(r, ctx);
    } while (rc == NGX_OK);

    if (rc == NGX_AGAIN) {
        ctx->parked = 1;
        return;
    }

    if (rc != NGX_DONE) {
        rc = ngx_http_chatmaid_refuse(r, ctx, rc);
        ngx_http_chatmaid_flow_end(r, ctx, rc);
    }
}


void
ngx_http_chatmaid_flow_go(ngx_http_chatmaid_ctx_t *ctx,
    ngx_http_chatmaid_step_pt step)
{
    for (ctx->next = ctx->steps; *ctx->next != step; ctx->next++) {
        /* void */
    }
}


void
ngx_http_chatmaid_flow_resume(ngx_http_request_t *r)
{
    ngx_connection_t         *c;
    ngx_http_chatmaid_ctx_t  *ctx;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    ngx_http_set_log_request(c->log, r);

    ctx->parked = 0;
    ngx_http_chatmaid_flow_run(r);

    ngx_http_run_posted_requests(c);
}


void
ngx_http_chatmaid_flow_resume_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_flow_resume(ev->data);
}


void
ngx_http_chatmaid_flow_end(ngx_http_request_t *r, ngx_http_chatmaid_ctx_t *ctx,
    ngx_int_t rc)
{
    ngx_http_chatmaid_flow_cleanup(ctx);

    if (ctx->gone) {
        r->connection->error = 1;
        rc = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    ngx_http_finalize_request(r, rc);
}


/* One that has left during a call is not told of again. */

ngx_int_t
ngx_http_chatmaid_flow_idle(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx, ngx_http_chatmaid_step_pt step)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

#if (NGX_HTTP_V2)
    if (r->stream == NULL)      /* else it is no event of a socket */
#endif
    if (rev->pending_eof || ngx_handle_read_event(rev, 0) != NGX_OK) {
        ctx->gone = 1;
    }

    if (ctx->gone) {
        ngx_http_chatmaid_flow_end(r, ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return NGX_DONE;
    }

    ctx->idle = 1;

    ngx_http_chatmaid_flow_go(ctx, step);

    return NGX_AGAIN;
}


void
ngx_http_chatmaid_flow_restore(ngx_http_request_t *r)
{
    ngx_http_cleanup_t  *cln;

    if (ngx_http_get_module_ctx(r, ngx_http_chatmaid_module)) {
        return;
    }

    for (cln = r->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_chatmaid_flow_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_chatmaid_module);
            return;
        }
    }
}


void
ngx_http_chatmaid_flow_timer(ngx_http_request_t *r, ngx_event_t *ev,
    ngx_event_handler_pt handler, ngx_msec_t time)
{
    ev->handler = handler;
    ev->data = r;
    ev->log = r->connection->log;

    ngx_add_timer(ev, time);
}


/*
 * A caller that waits for another send is done with; one whose own call is
 * under way gets its answer, and the call goes on to be recorded.
 */

static void
ngx_http_chatmaid_flow_deadline_handler(ngx_event_t *ev)
{
    ngx_http_request_t       *r = ev->data;

    ngx_int_t                 rc;
    ngx_connection_t         *c;
    ngx_http_chatmaid_ctx_t  *ctx;

    c = r->connection;
    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    ngx_http_set_log_request(c->log, r);
    ngx_http_chatmaid_flow_take_error(r, ctx);

    /* the request goes on, or its connection is not worth keeping */

    if (!ctx->idle) {
        r->keepalive = 0;
    }

    /* A filter may replace the answer by an error page.  One of another place
     * would take the request from its flow, and contexts are forgotten. */

    r->error_page = 1;

    rc = ctx->expire ? ctx->expire(r, ctx)
                     : ngx_http_chatmaid_flow_expired(r, ctx);

    ngx_http_set_ctx(r, ctx, ngx_http_chatmaid_module);

    if (ctx->wait.timer_set || ctx->idle) {
        ngx_http_chatmaid_flow_end(r, ctx, rc);

    } else {
        ctx->answered = 1;
        ctx->answer_rc = rc;

        ngx_http_chatmaid_flow_take_error(r, ctx);

        if ((r->buffered || c->buffered)
            && ngx_handle_write_event(c->write, 0) != NGX_OK)
        {
            ctx->gone = 1;
        }
    }

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_chatmaid_flow_expired(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    ngx_http_chatmaid_problem(r, ctx, NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                              "there was no answer within chatmaid_timeout");
    ctx->problem.may_be_accepted = 1;

    return ngx_http_chatmaid_refuse(r, ctx, NGX_DECLINED);
}


static void
ngx_http_chatmaid_flow_reading(ngx_http_request_t *r)
{
    ngx_http_chatmaid_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    ngx_http_chatmaid_flow_take_error(r, ctx);

    if (!ctx->idle) {
        ngx_http_block_reading(r);

    } else if (ctx->gone) {
        ngx_http_chatmaid_flow_end(r, ctx, NGX_HTTP_CLIENT_CLOSED_REQUEST);

    } else {
        ngx_http_test_reading(r);
    }
}


/*
 * A caller that leaves does not stop its send.  nginx ends a request whose
 * connection has an error as soon as a subrequest is finalized, so the error is
 * taken away and given back by ngx_http_chatmaid_flow_end().
 */

static void
ngx_http_chatmaid_flow_take_error(ngx_http_request_t *r,
    ngx_http_chatmaid_ctx_t *ctx)
{
    if (r->connection->error) {
        r->connection->error = 0;
        ctx->gone = 1;
    }
}


static void
ngx_http_chatmaid_flow_cleanup(void *data)
{
    ngx_http_chatmaid_ctx_t  *ctx = data;

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    if (ctx->pause.timer_set) {
        ngx_del_timer(&ctx->pause);
    }

    if (ctx->leave) {
        ctx->leave(ctx);
    }
}
