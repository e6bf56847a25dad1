
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_call.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_query.h"
#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_wait_topic.h"
#include "ngx_http_chatmaid_call_result.h"


static ngx_int_t ngx_http_chatmaid_wait_seconds(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_wait_until(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_wait_subject(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id);
static ngx_int_t ngx_http_chatmaid_wait_turn(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_wait_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_wait_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_wait_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_wait_failed(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_wait_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static ngx_int_t ngx_http_chatmaid_wait_expired(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);


static ngx_http_chatmaid_flow_step_pt  ngx_http_chatmaid_wait_steps[] = {
    ngx_http_chatmaid_wait_topic_join,       /* those who wait for the message */
    ngx_http_chatmaid_wait_turn,        /* idle, or to ask, or to answer */
    ngx_http_chatmaid_wait_forward,     /* one call for all of them */
    ngx_http_chatmaid_wait_forwarded,   /* told to all; our turn again */
    ngx_http_chatmaid_wait_answer,
    NULL
};


ngx_int_t
ngx_http_chatmaid_wait_read(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id, ngx_str_t *args)
{
    u_char      *p, *d;
    ngx_int_t    rc;
    ngx_str_t    rest, name, value;
    ngx_uint_t   waits, untils;

    static ngx_str_t  wait = ngx_string("wait");
    static ngx_str_t  until = ngx_string("until");

    d = ngx_pnalloc(r->pool, args->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    p = d;
    rest = *args;
    rc = NGX_OK;
    waits = 0;
    untils = 0;

    while (rc == NGX_OK && ngx_http_chatmaid_query_next(&rest, &name, &value))
    {
        if (ngx_http_chatmaid_query_is(&name, &wait)) {
            waits++;
            rc = ngx_http_chatmaid_wait_seconds(r, flow, &value);

        } else if (ngx_http_chatmaid_query_is(&name, &until)) {
            untils++;
            rc = ngx_http_chatmaid_wait_until(r, flow, &value);

        } else {
            if (p != d) {
                *p++ = '&';
            }

            p = ngx_cpymem(p, name.data, value.data + value.len - name.data);
        }
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (waits > 1 || untils > 1) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                         "\"%s\" is given more than once",
                                         waits > 1 ? "wait" : "until");
    }

    if (untils && waits == 0) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                         "\"until\" needs a \"wait\"");
    }

    if (waits == 0) {
        return NGX_OK;
    }

    args->data = d;
    args->len = p - d;

    if (flow->wait_time == 0 || r->method == NGX_HTTP_HEAD) {
        flow->wait_time = 0;
        return NGX_OK;
    }

    if (untils == 0) {
        flow->until = NGX_HTTP_CHATMAID_DELIVERED;
    }

    flow->steps = ngx_http_chatmaid_wait_steps;
    flow->expire = ngx_http_chatmaid_wait_expired;

    return ngx_http_chatmaid_wait_subject(r, flow, id);
}


static ngx_int_t
ngx_http_chatmaid_wait_seconds(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *value)
{
    size_t                         i;
    uint64_t                       time;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    time = 0;

    for (i = 0; i < value->len; i++) {

        if (value->data[i] < '0' || value->data[i] > '9') {
            break;
        }

        /* what is longer is taken for the longest */

        time = ngx_min(time * 10 + (value->data[i] - '0') * 1000,
                       conf->wait_max);
    }

    if (value->len == 0 || i < value->len) {
        return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem,
                                         NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                         "\"wait\" must be a whole number of "
                                         "seconds");
    }

    flow->wait_time = (ngx_msec_t) time;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_until(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *value)
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
            flow->until = NGX_HTTP_CHATMAID_SENT + i;
            return NGX_OK;
        }
    }

    return ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_INVALID_REQUEST,
                                     "\"until\" must be \"sent\", "
                                     "\"delivered\" or \"read\"");
}


/* The message's ID as a webhook has it. */

static ngx_int_t
ngx_http_chatmaid_wait_subject(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *id)
{
    u_char  *dst, *src;

    dst = ngx_pnalloc(r->pool, id->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    flow->subject.data = dst;
    src = id->data;

    ngx_unescape_uri(&dst, &src, id->len, 0);

    flow->subject.len = dst - flow->subject.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_turn(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_msec_t  left;

    if (flow->gone || flow->answered) {
        ngx_http_chatmaid_flow_end(r, flow, flow->answer_rc);
        return NGX_DONE;
    }

    switch (ngx_http_chatmaid_wait_topic_turn(r, flow)) {

    case NGX_HTTP_CHATMAID_TURN_POLL:
        return NGX_OK;

    case NGX_HTTP_CHATMAID_TURN_ANSWER:
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_answer);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_TURN_FAIL:
        return NGX_DECLINED;

    case NGX_HTTP_CHATMAID_TURN_READ:

        /* another one's read may be held back for longer than we wait */

        if (ngx_http_chatmaid_retry_held(r, flow, &left) != NGX_OK) {
            return NGX_DECLINED;
        }

        /* fall through */

    default:
        return ngx_http_chatmaid_flow_idle(r, flow,
                                           ngx_http_chatmaid_wait_turn);
    }
}


static ngx_int_t
ngx_http_chatmaid_wait_forward(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    if (flow->gone) {
        ngx_http_chatmaid_flow_end(r, flow, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return NGX_DONE;
    }

    rc = ngx_http_chatmaid_wait_permit(r, flow);

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(r, flow,
                                           ngx_http_chatmaid_wait_forward);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_http_chatmaid_wait_topic_asked(r, flow);

    return ngx_http_chatmaid_call_start(r, flow, NULL);
}


/* A poll has been permitted already, and is tried once. */

static ngx_int_t
ngx_http_chatmaid_wait_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    flow->single = !ngx_http_chatmaid_wait_topic_is_first(flow);

    if (flow->single) {
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_wait_topic_look(flow);

    return (rc == NGX_OK) ? ngx_http_chatmaid_retry_hold(r, flow) : rc;
}


static ngx_int_t
ngx_http_chatmaid_wait_forwarded(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    json_t     *answer;
    ngx_int_t   rc;

    ngx_http_chatmaid_wait_topic_ended(flow);

    rc = ngx_http_chatmaid_call_result(r, flow, &answer);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_wait_topic_answered(r, flow,
                                                   json_object_get(answer, "data"));

    } else if (rc == NGX_DECLINED) {
        return ngx_http_chatmaid_wait_failed(r, flow);
    }

    ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_turn);

    return rc;
}


/*
 * A first call is tried again, like any read.  Where that takes longer than we
 * have, others may have more time.
 */

static ngx_int_t
ngx_http_chatmaid_wait_failed(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_retry_pause(r, flow);

    if (flow->next_try) {
        ngx_http_chatmaid_wait_topic_put_off(flow);

    } else {
        ngx_http_chatmaid_wait_topic_failed(flow);
    }

    if (rc == NGX_AGAIN) {
        return ngx_http_chatmaid_flow_idle(r, flow,
                                           ngx_http_chatmaid_wait_forward);
    }

    ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_wait_turn);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_wait_answer(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_str_t  text;

    if (ngx_http_chatmaid_wait_topic_text(r, flow, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_flow_answer(r, flow, NGX_HTTP_OK, &text);
}


/* At the deadline. */

static ngx_int_t
ngx_http_chatmaid_wait_expired(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    static ngx_str_t  timeout = ngx_string("timeout");

    ngx_http_chatmaid_wait_topic_unqueue(flow);

    if (flow->gone) {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    rc = ngx_http_chatmaid_wait_topic_text(r, flow, &text);

    if (rc == NGX_OK
        && ngx_http_chatmaid_answer_add_header(r, "Chatmaid-Wait", &timeout)
           == NGX_OK)
    {
        return ngx_http_chatmaid_answer_json(r, flow->reply, NGX_HTTP_OK, &text);
    }

    ngx_http_chatmaid_problem_set(r->pool, &flow->reply->problem, NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT,
                              "there was no answer within the wait");

    return ngx_http_chatmaid_answer_failure(r, flow->reply, (rc == NGX_ERROR) ? NGX_ERROR
                                                              : NGX_DECLINED);
}
