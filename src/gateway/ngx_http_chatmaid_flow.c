
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_flow.h"


/* The memory of a call is not freed before the request ends.  So after this
 * many calls whose kept connection was closed, a new connection is used. */
#define NGX_HTTP_CHATMAID_FLOW_MAX_KEPT  100


#if (NGX_HTTP_V3)
/* so that an nginx built without HTTP/3 loads the module too */
#pragma weak  ngx_quic_shutdown_stream
#endif


static ngx_http_chatmaid_flow_t *ngx_http_chatmaid_flow_get(
    ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_run(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_flow_fail(ngx_http_chatmaid_flow_t *flow,
    ngx_int_t rc);
static void ngx_http_chatmaid_flow_wake(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_flow_call_handler(ngx_http_chatmaid_call_t *call);
static void ngx_http_chatmaid_flow_reading(ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_deadline_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_chatmaid_flow_expire(ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_flow_end_stream(ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_take_error(ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_flow_cleanup(void *data);
static void ngx_http_chatmaid_flow_leave(ngx_http_chatmaid_flow_t *flow);


ngx_http_chatmaid_flow_t *
ngx_http_chatmaid_flow_create(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply)
{
    ngx_http_chatmaid_flow_t      *flow;
    ngx_http_chatmaid_loc_conf_t  *conf;

    flow = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_flow_t));
    if (flow == NULL) {
        return NULL;
    }

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    flow->request = r;
    flow->timeout = conf->timeout;
    flow->kind = NGX_HTTP_CHATMAID_PACE_READ;
    flow->reply = reply;

    reply->flow = flow;

    return flow;
}


static ngx_http_chatmaid_flow_t *
ngx_http_chatmaid_flow_get(ngx_http_request_t *r)
{
    ngx_http_chatmaid_reply_t  *reply;

    reply = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    return reply->flow;
}


void
ngx_http_chatmaid_flow_start(ngx_http_request_t *r)
{
    ngx_http_cleanup_t        *cln;
    ngx_http_chatmaid_flow_t  *flow;

    cln = ngx_http_cleanup_add(r, 0);

    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    flow = ngx_http_chatmaid_flow_get(r);

    cln->handler = ngx_http_chatmaid_flow_cleanup;
    cln->data = flow;

    r->read_event_handler = ngx_http_chatmaid_flow_reading;
    r->write_event_handler = ngx_http_chatmaid_flow_run;

    ngx_http_chatmaid_flow_timer(flow, &flow->deadline,
                                 ngx_http_chatmaid_flow_deadline_handler, flow,
                                 flow->timeout);

    ngx_http_chatmaid_flow_run(r);
}


/*
 * The request's write_event_handler: it also runs whenever the caller's socket
 * is writable.
 */

static void
ngx_http_chatmaid_flow_run(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_flow_t  *flow;

    flow = ngx_http_chatmaid_flow_get(r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid flow run, parked:%ui error:%d",
                   (ngx_uint_t) flow->steps.parked, r->connection->error);

    ngx_http_chatmaid_flow_take_error(flow);

    if (flow->steps.parked) {
        ngx_http_chatmaid_flow_wake(r, flow);
        return;
    }

    flow->idle = 0;

    rc = ngx_http_chatmaid_steps_run(r, &flow->steps);

    if (rc == NGX_AGAIN || rc == NGX_DONE) {
        return;
    }

    flow->answer_rc = ngx_http_chatmaid_flow_fail(flow, rc);

    ngx_http_chatmaid_flow_end(flow);
}


static ngx_int_t
ngx_http_chatmaid_flow_fail(ngx_http_chatmaid_flow_t *flow, ngx_int_t rc)
{
    ngx_http_request_t         *r;
    ngx_http_chatmaid_reply_t  *reply;

    if (flow->fail) {
        return flow->fail(flow->steps.data, rc);
    }

    r = flow->request;
    reply = flow->reply;

    ngx_http_chatmaid_answer_log_failure(r, reply, rc);

    return ngx_http_chatmaid_flow_is_awaited(flow)
           ? ngx_http_chatmaid_answer_problem(r, reply) : flow->answer_rc;
}


/* The caller's connection is writable or has an error, and the flow stays
 * parked. */

static void
ngx_http_chatmaid_flow_wake(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    if (flow->idle && flow->gone) {
        ngx_http_chatmaid_flow_end(flow);
        return;
    }

    if (flow->answered && !flow->gone) {
        flow->answer_rc = ngx_http_output_filter(r, NULL);
        ngx_http_set_ctx(r, flow->reply, ngx_http_chatmaid_module);
        ngx_http_chatmaid_flow_end_stream(r);
        ngx_http_chatmaid_flow_take_error(flow);
    }

    if (flow->call) {
        ngx_http_chatmaid_call_wake(flow->call);
    }
}


void
ngx_http_chatmaid_flow_go(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt step)
{
    ngx_http_chatmaid_steps_go(flow->request, &flow->steps, step);
}


void
ngx_http_chatmaid_flow_follow(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt *table, void *data, ngx_msec_t time)
{
    ngx_http_chatmaid_flow_leave(flow);

    if (flow->deadline.timer_set) {
        ngx_del_timer(&flow->deadline);
    }

    ngx_add_timer(&flow->deadline, time);

    ngx_http_chatmaid_steps_init(&flow->steps, table, data);
}


ngx_int_t
ngx_http_chatmaid_flow_call(ngx_http_chatmaid_flow_t *flow, ngx_str_t *body)
{
    ngx_http_request_t        *r;
    ngx_http_chatmaid_call_t  *call;

    r = flow->request;

    call = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_call_t));
    if (call == NULL) {
        return NGX_ERROR;
    }

    if (flow->call) {
        ngx_http_chatmaid_call_free_answer(r->pool, flow->call);
    }

    call->path = flow->reply->path;
    call->request_id = flow->reply->request_id;
    call->body = body;
    call->exists = flow->exists;
    call->further = (flow->call != NULL);
    call->fresh = (flow->kept_closed >= NGX_HTTP_CHATMAID_FLOW_MAX_KEPT);
    call->handler = ngx_http_chatmaid_flow_call_handler;
    call->data = flow;

    if (ngx_http_chatmaid_call_start(r, call) == NGX_ERROR) {
        return NGX_ERROR;
    }

    flow->call = call;
    flow->has_place = 0;
    flow->attempts++;
    flow->reply->tried = 1;

    return NGX_AGAIN;
}


/* Only takes notes: the request is posted, and nginx will run the flow. */

static void
ngx_http_chatmaid_flow_call_handler(ngx_http_chatmaid_call_t *call)
{
    ngx_http_chatmaid_flow_t *flow = call->data;

    if (call->gone) {
        flow->gone = 1;
    }

    flow->steps.parked = 0;
}


ngx_int_t
ngx_http_chatmaid_flow_idle(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_step_pt step)
{
    ngx_event_t         *rev;
    ngx_http_request_t  *r;

    r = flow->request;
    rev = r->connection->read;

    /* if the caller left during a call, no further event will say so */

#if (NGX_HTTP_V2)
    if (r->stream == NULL)      /* else rev is not of a socket */
#endif
    if (rev->pending_eof || ngx_handle_read_event(rev, 0) != NGX_OK) {
        flow->gone = 1;
    }

    if (flow->gone) {
        return ngx_http_chatmaid_flow_end(flow);
    }

    flow->idle = 1;

    ngx_http_chatmaid_flow_go(flow, step);

    return NGX_AGAIN;
}


void
ngx_http_chatmaid_flow_resume(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_steps_resume(flow->request, &flow->steps);
}


void
ngx_http_chatmaid_flow_resume_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_flow_resume(ev->data);
}


ngx_uint_t
ngx_http_chatmaid_flow_is_awaited(ngx_http_chatmaid_flow_t *flow)
{
    return !flow->answered && !flow->gone;
}


ngx_int_t
ngx_http_chatmaid_flow_answer(ngx_http_chatmaid_flow_t *flow,
    ngx_uint_t status, ngx_str_t *text)
{
    if (ngx_http_chatmaid_flow_is_awaited(flow)) {
        flow->answer_rc = ngx_http_chatmaid_answer_json(flow->request,
                                                        flow->reply, status,
                                                        text);
    }

    return ngx_http_chatmaid_flow_end(flow);
}


ngx_int_t
ngx_http_chatmaid_flow_end(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = flow->request;
    rc = flow->answer_rc;

    ngx_http_chatmaid_flow_cleanup(flow);

    if (flow->gone) {
        r->connection->error = 1;
        rc = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


ngx_msec_int_t
ngx_http_chatmaid_flow_left(ngx_http_chatmaid_flow_t *flow)
{
    return (ngx_msec_int_t) (flow->deadline.timer.key - ngx_current_msec);
}


void
ngx_http_chatmaid_flow_hurry(ngx_http_chatmaid_flow_t *flow, ngx_msec_t time)
{
    if (flow->deadline.timer_set
        && ngx_http_chatmaid_flow_left(flow) > (ngx_msec_int_t) time)
    {
        ngx_del_timer(&flow->deadline);
        ngx_add_timer(&flow->deadline, time);
    }
}


void
ngx_http_chatmaid_flow_timer(ngx_http_chatmaid_flow_t *flow, ngx_event_t *ev,
    ngx_event_handler_pt handler, void *data, ngx_msec_t time)
{
    ev->handler = handler;
    ev->data = data;
    ev->log = flow->request->connection->log;

    ngx_add_timer(ev, time);
}


void
ngx_http_chatmaid_flow_restore(ngx_http_request_t *r)
{
    ngx_http_cleanup_t        *cln;
    ngx_http_chatmaid_flow_t  *flow;

    if (ngx_http_get_module_ctx(r, ngx_http_chatmaid_module)) {
        return;
    }

    for (cln = r->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_chatmaid_flow_cleanup) {
            flow = cln->data;
            ngx_http_set_ctx(r, flow->reply, ngx_http_chatmaid_module);
            return;
        }
    }
}


/*
 * A flow that is idle or that waits for another send ends here.  If something
 * is under way, the caller is answered, and the flow goes on until the result
 * has been recorded.
 */

static void
ngx_http_chatmaid_flow_deadline_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_flow_t *flow = ev->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = flow->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);
    ngx_http_chatmaid_flow_take_error(flow);

    /* the request may go on after its answer, so the connection is not kept */

    if (!flow->idle) {
        r->keepalive = 0;
    }

    /* A filter may replace the answer by an error page.  This flag stops nginx
     * from redirecting to another location for it, which would take the request
     * away from its flow and zero r->ctx. */

    r->error_page = 1;

    flow->answer_rc = ngx_http_chatmaid_flow_expire(flow);

    ngx_http_set_ctx(r, flow->reply, ngx_http_chatmaid_module);

    if (flow->waiting || flow->idle) {
        ngx_http_chatmaid_flow_end(flow);

    } else {
        flow->answered = 1;

        ngx_http_chatmaid_flow_end_stream(r);
        ngx_http_chatmaid_flow_take_error(flow);

        if ((r->buffered || c->buffered)
            && ngx_handle_write_event(c->write, 0) != NGX_OK)
        {
            flow->gone = 1;
        }
    }

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_chatmaid_flow_expire(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_request_t         *r;
    ngx_http_chatmaid_reply_t  *reply;

    if (flow->expire) {
        return flow->expire(flow->steps.data);
    }

    r = flow->request;
    reply = flow->reply;

    ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                  NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                                  "there was no answer within "
                                  "chatmaid_timeout");
    reply->problem.may_be_accepted = 1;

    ngx_http_chatmaid_answer_log_failure(r, reply, NGX_DECLINED);

    return flow->gone ? NGX_HTTP_CLIENT_CLOSED_REQUEST
                      : ngx_http_chatmaid_answer_problem(r, reply);
}


static void
ngx_http_chatmaid_flow_reading(ngx_http_request_t *r)
{
    ngx_http_chatmaid_flow_t  *flow;

    flow = ngx_http_chatmaid_flow_get(r);

    ngx_http_chatmaid_flow_take_error(flow);

    if (!flow->idle) {
        ngx_http_block_reading(r);

    } else if (flow->gone) {
        ngx_http_chatmaid_flow_end(flow);

    } else {
        ngx_http_test_reading(r);
    }
}


/* nginx ends an HTTP/3 stream only when its request ends, and a caller may read
 * until the stream ends.  So the stream is ended as soon as the answer has been
 * written. */

static void
ngx_http_chatmaid_flow_end_stream(ngx_http_request_t *r)
{
#if (NGX_HTTP_V3)
    ngx_connection_t  *c;

    c = r->connection;

    if (c->quic && !r->buffered && !c->buffered) {
        (void) ngx_quic_shutdown_stream(c, NGX_WRITE_SHUTDOWN);
    }
#endif
}


/*
 * A caller that leaves does not stop its send.  nginx ends a request whose
 * connection has an error as soon as a subrequest is finalized, so c->error is
 * cleared here and set again when the flow ends.
 */

static void
ngx_http_chatmaid_flow_take_error(ngx_http_chatmaid_flow_t *flow)
{
    ngx_connection_t  *c;

    c = flow->request->connection;

#if (NGX_HTTP_V3)
    /* if a caller resets its stream, only an event has the error */

    if (c->quic && (c->read->error || c->write->error)) {
        flow->gone = 1;
    }
#endif

    if (c->error) {
        c->error = 0;
        flow->gone = 1;
    }
}


/* Called at the end of the flow, and again at the end of the request. */

static void
ngx_http_chatmaid_flow_cleanup(void *data)
{
    ngx_http_chatmaid_flow_t *flow = data;

    if (flow->deadline.timer_set) {
        ngx_del_timer(&flow->deadline);
    }

    if (flow->pause.timer_set) {
        ngx_del_timer(&flow->pause);
    }

    ngx_http_chatmaid_call_pace_leave(&flow->pace);

    ngx_http_chatmaid_flow_leave(flow);
}


static void
ngx_http_chatmaid_flow_leave(ngx_http_chatmaid_flow_t *flow)
{
    if (flow->leave) {
        flow->leave(flow->steps.data);
        flow->leave = NULL;
    }
}
