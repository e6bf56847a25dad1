
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"


static ngx_http_chatmaid_flow_t *ngx_http_chatmaid_flow_get(
    ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_run(ngx_http_request_t *r);
static ngx_uint_t ngx_http_chatmaid_flow_is_awaited(
    ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_flow_reading(ngx_http_request_t *r);
static void ngx_http_chatmaid_flow_deadline_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_chatmaid_flow_expired(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_flow_take_error(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_flow_cleanup(void *data);


void
ngx_http_chatmaid_flow_start(ngx_http_request_t *r)
{
    ngx_http_cleanup_t            *cln;
    ngx_http_chatmaid_flow_t       *flow;
    ngx_http_chatmaid_loc_conf_t  *conf;

    flow = ngx_http_chatmaid_flow_get(r);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    cln = ngx_http_cleanup_add(r, 0);

    if (cln == NULL) {
        ngx_http_chatmaid_flow_end(r, flow, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    cln->handler = ngx_http_chatmaid_flow_cleanup;
    cln->data = flow;

    flow->request = r;
    flow->next = flow->steps;

    r->read_event_handler = ngx_http_chatmaid_flow_reading;
    r->write_event_handler = ngx_http_chatmaid_flow_run;

    ngx_http_chatmaid_flow_timer(r, &flow->deadline,
                                 ngx_http_chatmaid_flow_deadline_handler,
                                 flow->wait_time ? flow->wait_time
                                                : conf->timeout);

    ngx_http_chatmaid_flow_run(r);
}


static ngx_http_chatmaid_flow_t *
ngx_http_chatmaid_flow_get(ngx_http_request_t *r)
{
    ngx_http_chatmaid_reply_t  *reply;

    reply = ngx_http_get_module_ctx(r, ngx_http_chatmaid_module);

    return reply->flow;
}


/*
 * The flow's pump, the request's write_event_handler: it also runs whenever the
 * caller's socket is writable.
 */

static void
ngx_http_chatmaid_flow_run(ngx_http_request_t *r)
{
    ngx_int_t                 rc;
    ngx_http_chatmaid_flow_t  *flow;

    flow = ngx_http_chatmaid_flow_get(r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid run, parked:%ui error:%d",
                   (ngx_uint_t) flow->parked, r->connection->error);

    ngx_http_chatmaid_flow_take_error(r, flow);

    if (flow->parked && flow->idle && flow->gone) {
        ngx_http_chatmaid_flow_end(r, flow, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    if (flow->parked) {

        if (flow->answered && !flow->gone) {
            flow->answer_rc = ngx_http_output_filter(r, NULL);
            ngx_http_set_ctx(r, flow->reply, ngx_http_chatmaid_module);
            ngx_http_chatmaid_flow_take_error(r, flow);
        }

        ngx_http_chatmaid_call_wake(flow->call);
        return;
    }

    flow->idle = 0;

    do {
        rc = (*flow->next++)(r, flow);
    } while (rc == NGX_OK);

    if (rc == NGX_AGAIN) {
        flow->parked = 1;
        return;
    }

    if (rc != NGX_DONE) {
        ngx_http_chatmaid_answer_log_failure(r, flow->reply, rc);

        if (ngx_http_chatmaid_flow_is_awaited(flow)) {
            flow->answer_rc = ngx_http_chatmaid_answer_problem(r, flow->reply);
        }

        ngx_http_chatmaid_flow_end(r, flow, flow->answer_rc);
    }
}


void
ngx_http_chatmaid_flow_go(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_flow_step_pt step)
{
    for (flow->next = flow->steps; *flow->next != step; flow->next++) {
        /* void */
    }
}


void
ngx_http_chatmaid_flow_resume(ngx_http_request_t *r)
{
    ngx_connection_t         *c;
    ngx_http_chatmaid_flow_t  *flow;

    c = r->connection;
    flow = ngx_http_chatmaid_flow_get(r);

    ngx_http_set_log_request(c->log, r);

    flow->parked = 0;
    ngx_http_chatmaid_flow_run(r);

    ngx_http_run_posted_requests(c);
}


void
ngx_http_chatmaid_flow_resume_handler(ngx_event_t *ev)
{
    ngx_http_chatmaid_flow_resume(ev->data);
}


ngx_int_t
ngx_http_chatmaid_flow_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_uint_t status, ngx_str_t *text)
{
    if (ngx_http_chatmaid_flow_is_awaited(flow)) {
        flow->answer_rc = ngx_http_chatmaid_answer_json(r, flow->reply, status,
                                                        text);
    }

    ngx_http_chatmaid_flow_end(r, flow, flow->answer_rc);

    return NGX_DONE;
}


static ngx_uint_t
ngx_http_chatmaid_flow_is_awaited(ngx_http_chatmaid_flow_t *flow)
{
    return !flow->answered && !flow->gone;
}


void
ngx_http_chatmaid_flow_end(ngx_http_request_t *r, ngx_http_chatmaid_flow_t *flow,
    ngx_int_t rc)
{
    ngx_http_chatmaid_flow_cleanup(flow);

    if (flow->gone) {
        r->connection->error = 1;
        rc = NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    ngx_http_finalize_request(r, rc);
}


/* One that has left during a call is not told of again. */

ngx_int_t
ngx_http_chatmaid_flow_idle(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_http_chatmaid_flow_step_pt step)
{
    ngx_event_t  *rev;

    rev = r->connection->read;

#if (NGX_HTTP_V2)
    if (r->stream == NULL)      /* else it is no event of a socket */
#endif
    if (rev->pending_eof || ngx_handle_read_event(rev, 0) != NGX_OK) {
        flow->gone = 1;
    }

    if (flow->gone) {
        ngx_http_chatmaid_flow_end(r, flow, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return NGX_DONE;
    }

    flow->idle = 1;

    ngx_http_chatmaid_flow_go(flow, step);

    return NGX_AGAIN;
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
    ngx_http_chatmaid_flow_t  *flow;

    c = r->connection;
    flow = ngx_http_chatmaid_flow_get(r);

    ngx_http_set_log_request(c->log, r);
    ngx_http_chatmaid_flow_take_error(r, flow);

    /* the request goes on, or its connection is not worth keeping */

    if (!flow->idle) {
        r->keepalive = 0;
    }

    /* A filter may replace the answer by an error page.  One of another place
     * would take the request from its flow, and contexts are forgotten. */

    r->error_page = 1;

    rc = NGX_HTTP_CLIENT_CLOSED_REQUEST;

    if (flow->expire) {
        rc = flow->expire(r, flow);

    } else if (!flow->gone) {
        rc = ngx_http_chatmaid_flow_expired(r, flow);
    }

    ngx_http_set_ctx(r, flow->reply, ngx_http_chatmaid_module);

    if (flow->wait.timer_set || flow->idle) {
        ngx_http_chatmaid_flow_end(r, flow, rc);

    } else {
        flow->answered = 1;
        flow->answer_rc = rc;

        ngx_http_chatmaid_flow_take_error(r, flow);

        if ((r->buffered || c->buffered)
            && ngx_handle_write_event(c->write, 0) != NGX_OK)
        {
            flow->gone = 1;
        }
    }

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_chatmaid_flow_expired(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                              "there was no answer within chatmaid_timeout");
    flow->reply->problem.may_be_accepted = 1;

    return ngx_http_chatmaid_answer_failure(r, flow->reply, NGX_DECLINED);
}


static void
ngx_http_chatmaid_flow_reading(ngx_http_request_t *r)
{
    ngx_http_chatmaid_flow_t  *flow;

    flow = ngx_http_chatmaid_flow_get(r);

    ngx_http_chatmaid_flow_take_error(r, flow);

    if (!flow->idle) {
        ngx_http_block_reading(r);

    } else if (flow->gone) {
        ngx_http_chatmaid_flow_end(r, flow, NGX_HTTP_CLIENT_CLOSED_REQUEST);

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
    ngx_http_chatmaid_flow_t *flow)
{
    if (r->connection->error) {
        r->connection->error = 0;
        flow->gone = 1;
    }
}


static void
ngx_http_chatmaid_flow_cleanup(void *data)
{
    ngx_http_chatmaid_flow_t  *flow = data;

    if (flow->deadline.timer_set) {
        ngx_del_timer(&flow->deadline);
    }

    if (flow->pause.timer_set) {
        ngx_del_timer(&flow->pause);
    }

    if (flow->leave) {
        flow->leave(flow);
    }
}
