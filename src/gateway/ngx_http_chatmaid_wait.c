
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait.h"
#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_wait_poll.h"
#include "ngx_http_chatmaid_wait_topic.h"


/* What the query says. */

typedef struct {
    ngx_uint_t    waits;         /* how often each is given */
    ngx_uint_t    untils;
    ngx_msec_t    time;
    ngx_uint_t    until;
} ngx_http_chatmaid_wait_query_t;


static ngx_int_t ngx_http_chatmaid_wait_query(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *args, ngx_http_chatmaid_wait_query_t *query);
static ngx_int_t ngx_http_chatmaid_wait_seconds(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *value, ngx_msec_t *time);
static ngx_int_t ngx_http_chatmaid_wait_until(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *value, ngx_uint_t *until);
static ngx_int_t ngx_http_chatmaid_wait_create(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_wait_query_t *query, ngx_str_t *id);
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
static ngx_int_t ngx_http_chatmaid_wait_failed(
    ngx_http_chatmaid_waiter_t *waiter);
static ngx_int_t ngx_http_chatmaid_wait_answer(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_wait_expire(void *data);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_wait_steps[] = {
    ngx_http_chatmaid_wait_join,        /* those who wait for the message */
    ngx_http_chatmaid_wait_turn,        /* idle, or to ask, or to answer */
    ngx_http_chatmaid_wait_forward,     /* one call for all of them */
    ngx_http_chatmaid_wait_forwarded,   /* told to all; our turn again */
    ngx_http_chatmaid_wait_answer,
    NULL
};


ngx_int_t
ngx_http_chatmaid_wait_init(ngx_http_chatmaid_flow_t *flow, ngx_str_t *id,
    ngx_str_t *args)
{
    ngx_int_t                        rc;
    ngx_http_chatmaid_problem_t     *problem;
    ngx_http_chatmaid_wait_query_t   query;

    problem = &flow->reply->problem;

    ngx_memzero(&query, sizeof(ngx_http_chatmaid_wait_query_t));

    query.until = NGX_HTTP_CHATMAID_DELIVERED;

    rc = ngx_http_chatmaid_wait_query(flow, args, &query);

    if (rc != NGX_OK) {
        return rc;
    }

    if (query.waits > 1 || query.untils > 1) {
        return ngx_http_chatmaid_problem_set(flow->request->pool, problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "\"%s\" is given more than once",
                                             query.waits > 1 ? "wait"
                                                             : "until");
    }

    if (query.untils && query.waits == 0) {
        return ngx_http_chatmaid_problem_set(flow->request->pool, problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "\"until\" needs a \"wait\"");
    }

    if (query.time == 0 || flow->request->method == NGX_HTTP_HEAD) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_wait_create(flow, &query, id);
}


/* Leaves the other arguments in "args". */

static ngx_int_t
ngx_http_chatmaid_wait_query(ngx_http_chatmaid_flow_t *flow, ngx_str_t *args,
    ngx_http_chatmaid_wait_query_t *query)
{
    u_char     *p, *d;
    ngx_int_t   rc;
    ngx_str_t   rest, name, value;

    static ngx_str_t  wait = ngx_string("wait");
    static ngx_str_t  until = ngx_string("until");

    d = ngx_pnalloc(flow->request->pool, args->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    p = d;
    rest = *args;
    rc = NGX_OK;

    while (rc == NGX_OK && ngx_http_chatmaid_query_next(&rest, &name, &value))
    {
        if (ngx_http_chatmaid_query_is(&name, &wait)) {
            query->waits++;
            rc = ngx_http_chatmaid_wait_seconds(flow, &value, &query->time);

        } else if (ngx_http_chatmaid_query_is(&name, &until)) {
            query->untils++;
            rc = ngx_http_chatmaid_wait_until(flow, &value, &query->until);

        } else {
            if (p != d) {
                *p++ = '&';
            }

            p = ngx_cpymem(p, name.data, value.data + value.len - name.data);
        }
    }

    if (rc == NGX_OK && query->waits) {
        args->data = d;
        args->len = p - d;
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_wait_seconds(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *value, ngx_msec_t *time)
{
    size_t                         i;
    uint64_t                       msec;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(flow->request,
                                        ngx_http_chatmaid_module);
    msec = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            break;
        }

        /* a longer wait is taken for the longest */

        msec = ngx_min(msec * 10 + (value->data[i] - '0') * 1000,
                       conf->wait_max);
    }

    if (value->len == 0 || i < value->len) {
        return ngx_http_chatmaid_problem_set(flow->request->pool,
                                             &flow->reply->problem,
                                             NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                             "\"wait\" must be a whole number "
                                             "of seconds");
    }

    *time = (ngx_msec_t) msec;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_until(ngx_http_chatmaid_flow_t *flow, ngx_str_t *value,
    ngx_uint_t *until)
{
    ngx_uint_t  i;

    static ngx_str_t  names[] = {
        ngx_string("sent"),
        ngx_string("delivered"),
        ngx_string("read"),
        ngx_null_string
    };

    for (i = 0; names[i].len; i++) {
        if (ngx_http_chatmaid_query_is(value, &names[i])) {
            *until = NGX_HTTP_CHATMAID_SENT + i;
            return NGX_OK;
        }
    }

    return ngx_http_chatmaid_problem_set(flow->request->pool,
                                         &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                         "\"until\" must be \"sent\", "
                                         "\"delivered\" or \"read\"");
}


static ngx_int_t
ngx_http_chatmaid_wait_create(ngx_http_chatmaid_flow_t *flow,
    ngx_http_chatmaid_wait_query_t *query, ngx_str_t *id)
{
    u_char                      *dst, *src;
    ngx_pool_t                  *pool;
    ngx_http_chatmaid_waiter_t  *waiter;

    pool = flow->request->pool;

    waiter = ngx_pcalloc(pool, sizeof(ngx_http_chatmaid_waiter_t));
    if (waiter == NULL) {
        return NGX_ERROR;
    }

    /* decoded, as webhooks have it */

    dst = ngx_pnalloc(pool, id->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    waiter->message_id.data = dst;
    src = id->data;

    ngx_unescape_uri(&dst, &src, id->len, 0);

    waiter->message_id.len = dst - waiter->message_id.data;

    waiter->flow = flow;
    waiter->until = query->until;

    flow->timeout = query->time;
    flow->expire = ngx_http_chatmaid_wait_expire;

    ngx_http_chatmaid_steps_init(&flow->steps, ngx_http_chatmaid_wait_steps,
                                 waiter);
    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_join(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    if (ngx_http_chatmaid_wait_topic_join(waiter) != NGX_OK) {
        return NGX_ERROR;
    }

    waiter->flow->leave = ngx_http_chatmaid_wait_leave;

    ngx_http_chatmaid_wait_poll_schedule();

    return NGX_OK;
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

    if (rc != NGX_OK) {
        return rc;
    }

    again = (flow->call
             && flow->call->result == NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED);

    ngx_http_chatmaid_wait_topic_asked(waiter->topic, again);

    return ngx_http_chatmaid_flow_call(flow, NULL);
}


/* A poll has been permitted already, and is tried once. */

static ngx_int_t
ngx_http_chatmaid_wait_permit(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_int_t  rc;

    waiter->flow->single = waiter->topic->seen;

    if (waiter->topic->seen) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_wait_topic_look(waiter->topic);

    return (rc == NGX_OK) ? ngx_http_chatmaid_retry_hold(waiter->flow) : rc;
}


static ngx_int_t
ngx_http_chatmaid_wait_forwarded(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_waiter_t *waiter = data;

    ngx_int_t                           rc;
    ngx_http_chatmaid_flow_t           *flow;
    ngx_http_chatmaid_call_envelope_t   envelope;

    flow = waiter->flow;

    ngx_http_chatmaid_wait_topic_ended(waiter->topic);

    rc = ngx_http_chatmaid_call_result(r, flow->call,
                                       NGX_HTTP_CHATMAID_EXPECT_DATA, &envelope,
                                       &flow->reply->problem);

    if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_wait_failed(waiter);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_wait_topic_answered(waiter, &envelope.data);
    }

    ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_turn);

    return rc;
}


/*
 * A first call is tried again, like any read.  If that takes longer than we
 * have, other waiters may have more time.
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

    return ngx_http_chatmaid_flow_answer(waiter->flow, NGX_HTTP_OK, &text);
}


/* At the deadline. */

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

    if (rc == NGX_OK
        && ngx_http_chatmaid_answer_add_header(r, "Chatmaid-Wait", &timeout)
           == NGX_OK)
    {
        return ngx_http_chatmaid_answer_json(r, reply, NGX_HTTP_OK, &text);
    }

    ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                  NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                                  "there was no answer within the wait");

    return ngx_http_chatmaid_answer_failure(r, reply,
                                            (rc == NGX_ERROR) ? NGX_ERROR
                                                              : NGX_DECLINED);
}
