
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait.h"
#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_uri.h"
#include "ngx_http_chatmaid_wait_poll.h"
#include "ngx_http_chatmaid_wait_topic.h"


static ngx_int_t ngx_http_chatmaid_wait_path(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *message, ngx_str_t *id);
static ngx_int_t ngx_http_chatmaid_wait_create(ngx_http_chatmaid_flow_t *flow,
    ngx_uint_t until, ngx_str_t *id, ngx_http_chatmaid_waiter_t **waiter);
static ngx_int_t ngx_http_chatmaid_wait_join(ngx_http_request_t *r,
    void *data);
static void ngx_http_chatmaid_wait_leave(void *data);
static ngx_int_t ngx_http_chatmaid_wait_turn(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_wait_forward(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_wait_permit(
    ngx_http_chatmaid_waiter_t *waiter);
static ngx_int_t ngx_http_chatmaid_wait_forwarded(ngx_http_request_t *r,
    void *data);
static void ngx_http_chatmaid_wait_count(ngx_http_chatmaid_waiter_t *waiter,
    ngx_int_t rc, ngx_uint_t before);
static ngx_int_t ngx_http_chatmaid_wait_failed(
    ngx_http_chatmaid_waiter_t *waiter);
static ngx_int_t ngx_http_chatmaid_wait_answer(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_wait_expire(void *data);
static ngx_int_t ngx_http_chatmaid_wait_fail(void *data, ngx_int_t rc);
static ngx_uint_t ngx_http_chatmaid_wait_status(
    ngx_http_chatmaid_waiter_t *waiter);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_wait_steps[] = {
    ngx_http_chatmaid_wait_join,        /* joins others that wait for it */
    ngx_http_chatmaid_wait_turn,        /* be idle, make a call, or answer */
    ngx_http_chatmaid_wait_forward,     /* one call for all of them */
    ngx_http_chatmaid_wait_forwarded,   /* tells them the result; next turn */
    ngx_http_chatmaid_wait_answer,
    NULL
};


ngx_int_t
ngx_http_chatmaid_wait_init(ngx_http_chatmaid_flow_t *flow, ngx_str_t *id,
    ngx_str_t *args)
{
    ngx_int_t                       rc;
    ngx_http_chatmaid_waiter_t      *waiter;
    ngx_http_chatmaid_wait_query_t   query;

    rc = ngx_http_chatmaid_wait_query(flow, args, &query);

    if (rc != NGX_OK) {
        return rc;
    }

    if (query.time == 0 || flow->request->method == NGX_HTTP_HEAD) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_wait_create(flow, query.until, id, &waiter);

    if (rc != NGX_OK) {
        return rc;
    }

    flow->timeout = query.time;
    flow->expire = ngx_http_chatmaid_wait_expire;

    ngx_http_chatmaid_steps_init(&flow->steps, ngx_http_chatmaid_wait_steps,
                                 waiter);
    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_wait_follow(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_wait_query_t *query, ngx_str_t *message)
{
    ngx_int_t                    rc;
    ngx_str_t                    id;
    ngx_http_chatmaid_waiter_t  *waiter;

    rc = ngx_http_chatmaid_wait_path(flow, message, &id);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_chatmaid_wait_create(flow, query->until, &id, &waiter);

    if (rc != NGX_OK) {
        return rc;
    }

    /* a copy, because the next call frees the answer of the call before */

    waiter->sent.len = message->len;
    waiter->sent.data = ngx_pstrdup(flow->request->pool, message);
    if (waiter->sent.data == NULL) {
        return NGX_ERROR;
    }

    flow->expire = ngx_http_chatmaid_wait_expire;
    flow->fail = ngx_http_chatmaid_wait_fail;

    ngx_http_chatmaid_flow_follow(flow, ngx_http_chatmaid_wait_steps, waiter,
                                  query->time);
    return NGX_OK;
}


/* Writes the path of a message that was sent, and sets "id" to the ID in it.
 * Topics are found by their path, so it must be the path by which other callers
 * may already wait for the message. */

static ngx_int_t
ngx_http_chatmaid_wait_path(ngx_http_chatmaid_flow_t *flow, ngx_str_t *message,
    ngx_str_t *id)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    value, text, *path;
    ngx_pool_t  *pool;

    pool = flow->request->pool;
    path = &flow->reply->path;

    if (!ngx_http_chatmaid_json_text_member(message, "id", &value)) {
        return NGX_DECLINED;
    }

    rc = ngx_http_chatmaid_json_text_string(pool, &value,
                                            NGX_HTTP_CHATMAID_JSON_UTF8, &text);
    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(pool, sizeof("v1/messages/") - 1 + 3 * text.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    path->data = p;

    id->data = ngx_cpymem(p, "v1/messages/", sizeof("v1/messages/") - 1);

    p = (u_char *) ngx_escape_uri(id->data, text.data, text.len,
                                  NGX_ESCAPE_URI_COMPONENT);

    id->len = p - id->data;
    path->len = p - path->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_create(ngx_http_chatmaid_flow_t *flow, ngx_uint_t until,
    ngx_str_t *id, ngx_http_chatmaid_waiter_t **waiter)
{
    const char                  *danger;
    ngx_http_chatmaid_waiter_t  *w;

    w = ngx_pcalloc(flow->request->pool, sizeof(ngx_http_chatmaid_waiter_t));
    if (w == NULL) {
        return NGX_ERROR;
    }

    /* decoded, as in webhooks */

    if (ngx_http_chatmaid_uri_segment(flow->request->pool, id, &w->message_id,
                                      &danger)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (danger) {
        return NGX_DECLINED;
    }

    w->flow = flow;
    w->until = until;

    *waiter = w;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_join(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_http_chatmaid_reply_t  *reply;

    if (ngx_http_chatmaid_wait_topic_join(waiter) != NGX_OK) {
        return NGX_ERROR;
    }

    waiter->flow->leave = ngx_http_chatmaid_wait_leave;

    ngx_http_chatmaid_wait_poll_schedule();

    reply = waiter->flow->reply;

    /* the answer of a replay may be as old as its record */

    return (reply->is_send && !reply->replayed)
           ? ngx_http_chatmaid_wait_topic_sent(waiter) : NGX_OK;
}


static void
ngx_http_chatmaid_wait_leave(void *data)
{
    ngx_http_chatmaid_wait_topic_leave(data);
}


static ngx_int_t
ngx_http_chatmaid_wait_turn(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_msec_t                 left;
    ngx_http_chatmaid_flow_t  *flow;

    flow = waiter->flow;

    if (!ngx_http_chatmaid_flow_is_awaited(flow)) {
        return ngx_http_chatmaid_flow_end(flow);
    }

    switch (ngx_http_chatmaid_wait_topic_turn(waiter)) {

    case NGX_HTTP_CHATMAID_TURN_POLL:
        return NGX_OK;

    case NGX_HTTP_CHATMAID_TURN_ANSWER:
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_answer);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_TURN_FAIL:
        return NGX_DECLINED;

    case NGX_HTTP_CHATMAID_TURN_READ:

        /* the poller's read may be held back for longer than we wait */

        if (ngx_http_chatmaid_retry_held(flow, &left) != NGX_OK) {
            return NGX_DECLINED;
        }

        /* fall through */

    default:
        return ngx_http_chatmaid_flow_idle(flow, ngx_http_chatmaid_wait_turn);
    }
}


static ngx_int_t
ngx_http_chatmaid_wait_forward(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_int_t                  rc;
    ngx_uint_t                 again;
    ngx_http_chatmaid_flow_t  *flow;

    flow = waiter->flow;

    if (flow->gone) {
        return ngx_http_chatmaid_flow_end(flow);
    }

    rc = ngx_http_chatmaid_wait_permit(waiter);

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(flow,
                                           ngx_http_chatmaid_wait_forward);
    }

    if (rc == NGX_DECLINED && waiter->topic->seen) {
        ngx_http_chatmaid_wait_topic_skip(waiter->topic);

        return ngx_http_chatmaid_flow_idle(flow, ngx_http_chatmaid_wait_turn);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    again = (flow->call
             && flow->call->result == NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED);

    ngx_http_chatmaid_wait_topic_asked(waiter->topic, again);

    return ngx_http_chatmaid_flow_call(flow, NULL);
}


/* A poll has been permitted already, and is tried once.  In the account's pace
 * it comes after sends and reads. */

static ngx_int_t
ngx_http_chatmaid_wait_permit(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_int_t  rc;

    waiter->flow->single = waiter->topic->seen;

    if (waiter->topic->seen) {
        waiter->flow->kind = NGX_HTTP_CHATMAID_PACE_POLL;
        return ngx_http_chatmaid_retry_place(waiter->flow);
    }

    waiter->flow->kind = NGX_HTTP_CHATMAID_PACE_READ;

    rc = ngx_http_chatmaid_wait_topic_look(waiter->topic);

    return (rc == NGX_OK) ? ngx_http_chatmaid_retry_hold(waiter->flow) : rc;
}


static ngx_int_t
ngx_http_chatmaid_wait_forwarded(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_int_t                           rc;
    ngx_uint_t                          before;
    ngx_http_chatmaid_flow_t           *flow;
    ngx_http_chatmaid_call_envelope_t   envelope;

    flow = waiter->flow;
    before = waiter->topic->status;

    ngx_http_chatmaid_wait_topic_ended(waiter->topic);

    rc = ngx_http_chatmaid_call_result(r, flow->call,
                                       NGX_HTTP_CHATMAID_EXPECT_DATA, &envelope,
                                       &flow->reply->problem);

    if (rc == NGX_DECLINED) {
        ngx_http_chatmaid_wait_count(waiter, rc, before);
        return ngx_http_chatmaid_wait_failed(waiter);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_wait_topic_answered(waiter, &envelope.data);
    }

    ngx_http_chatmaid_wait_count(waiter, rc, before);

    ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_turn);

    return rc;
}


/* Counts a poll.  The read with which a wait begins is not a poll. */

static void
ngx_http_chatmaid_wait_count(ngx_http_chatmaid_waiter_t *waiter, ngx_int_t rc,
    ngx_uint_t before)
{
    ngx_uint_t  id;

    if (!waiter->flow->single
        || waiter->flow->call->result == NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED)
    {
        return;
    }

    if (rc != NGX_OK) {
        id = NGX_HTTP_CHATMAID_COUNT_POLL_ERROR;

    } else if (waiter->topic->status != before) {
        id = NGX_HTTP_CHATMAID_COUNT_POLL_CHANGED;

    } else {
        id = NGX_HTTP_CHATMAID_COUNT_POLL_UNCHANGED;
    }

    ngx_http_chatmaid_counters_add(id);
}


/*
 * A first call is tried again, like any read.  If the next try would come after
 * this waiter's deadline, another waiter may have more time.
 */

static ngx_int_t
ngx_http_chatmaid_wait_failed(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_int_t                  rc;
    ngx_http_chatmaid_flow_t  *flow;

    flow = waiter->flow;

    rc = ngx_http_chatmaid_retry_pause(flow);

    if (flow->postponed) {
        ngx_http_chatmaid_wait_topic_postpone(waiter, rc == NGX_AGAIN);

    } else {
        ngx_http_chatmaid_wait_topic_failed(waiter);
    }

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(flow,
                                           ngx_http_chatmaid_wait_forward);
    }

    ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_turn);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_answer(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_str_t  text;

    if (ngx_http_chatmaid_wait_topic_text(waiter->topic, r->pool, &text)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_flow_answer(waiter->flow,
                                        ngx_http_chatmaid_wait_status(waiter),
                                        &text);
}


/* Answers at the deadline. */

static ngx_int_t
ngx_http_chatmaid_wait_expire(void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_int_t                   rc;
    ngx_str_t                   text;
    ngx_http_request_t         *r;
    ngx_http_chatmaid_reply_t  *reply;

    static ngx_str_t  timeout = ngx_string("timeout");

    r = waiter->flow->request;
    reply = waiter->flow->reply;

    ngx_http_chatmaid_wait_topic_unqueue(waiter);

    if (waiter->flow->gone) {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    rc = waiter->topic->seen
         ? ngx_http_chatmaid_wait_topic_text(waiter->topic, r->pool, &text)
         : NGX_DECLINED;

    if (rc != NGX_OK && reply->is_send) {
        text = waiter->sent;
        rc = NGX_OK;
    }

    if (rc == NGX_OK
        && ngx_http_chatmaid_answer_add_header(r, "Chatmaid-Wait", &timeout)
           == NGX_OK)
    {
        return ngx_http_chatmaid_answer_json(r, reply,
                                        ngx_http_chatmaid_wait_status(waiter),
                                        &text);
    }

    if (reply->is_send) {
        return ngx_http_chatmaid_wait_fail(waiter, NGX_ERROR);
    }

    ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                  NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                                  "there was no answer within the wait");

    return ngx_http_chatmaid_answer_failure(r, reply,
                                            (rc == NGX_ERROR) ? NGX_ERROR
                                                              : NGX_DECLINED);
}


/* After a send, a wait that fails is no error: the message was sent. */

static ngx_int_t
ngx_http_chatmaid_wait_fail(void *data, ngx_int_t rc)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_http_request_t         *r;
    ngx_http_chatmaid_reply_t  *reply;

    r = waiter->flow->request;
    reply = waiter->flow->reply;

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chatmaid ends the wait after a send: %s",
                      ngx_http_chatmaid_problem_name(reply->problem.code));

    } else {
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "chatmaid ends the wait after a send for lack of memory "
                      "or by a failure logged above");
    }

    ngx_memzero(&reply->problem, sizeof(ngx_http_chatmaid_problem_t));

    return ngx_http_chatmaid_flow_is_awaited(waiter->flow)
           ? ngx_http_chatmaid_answer_json(r, reply, NGX_HTTP_CREATED,
                                           &waiter->sent)
           : waiter->flow->answer_rc;
}


static ngx_uint_t
ngx_http_chatmaid_wait_status(ngx_http_chatmaid_waiter_t *waiter)
{
    return waiter->flow->reply->is_send ? NGX_HTTP_CREATED : NGX_HTTP_OK;
}
