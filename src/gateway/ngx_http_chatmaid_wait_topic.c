
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait_topic.h"
#include "ngx_http_chatmaid_account_limits.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_flow.h"
#include "ngx_http_chatmaid_json.h"
#include "ngx_http_chatmaid_wait_poll.h"
#include "ngx_http_chatmaid_retry.h"


/* between polls, in milliseconds */
#define NGX_HTTP_CHATMAID_FIRST_STEP  500
#define NGX_HTTP_CHATMAID_LAST_STEP   5000


static ngx_http_chatmaid_wait_topic_t *ngx_http_chatmaid_wait_topic_create(
    ngx_http_request_t *r, ngx_http_chatmaid_flow_t *flow, ngx_str_t *name);
static ngx_uint_t ngx_http_chatmaid_wait_topic_too_late(
    ngx_http_chatmaid_wait_topic_t *topic, ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_wait_topic_tell(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_wait_topic_looked(ngx_http_chatmaid_notes_look_t *look);
static void ngx_http_chatmaid_wait_topic_again(ngx_http_chatmaid_wait_topic_t *topic);
static void ngx_http_chatmaid_wait_topic_wake_others(ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_wait_topic_keep(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_http_chatmaid_problem_t *problem);
static ngx_uint_t ngx_http_chatmaid_wait_topic_status(json_t *data);
static ngx_uint_t ngx_http_chatmaid_wait_topic_reached(
    ngx_http_chatmaid_wait_topic_t *topic, ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_wait_topic_pass(ngx_http_chatmaid_wait_topic_t *topic);
static void ngx_http_chatmaid_wait_topic_leave(ngx_http_chatmaid_flow_t *flow);


/* Of this worker. */

ngx_queue_t               ngx_http_chatmaid_wait_topic_queue;
static ngx_rbtree_t       ngx_http_chatmaid_wait_topics;
static ngx_rbtree_node_t  ngx_http_chatmaid_wait_topics_sentinel;


ngx_int_t
ngx_http_chatmaid_wait_topic_join(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_str_t                        name;
    ngx_http_chatmaid_loc_conf_t    *conf;
    ngx_http_chatmaid_wait_topic_t  *topic;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (ngx_http_chatmaid_wait_topics.root == NULL) {
        ngx_rbtree_init(&ngx_http_chatmaid_wait_topics,
                        &ngx_http_chatmaid_wait_topics_sentinel,
                        ngx_str_rbtree_insert_value);
        ngx_queue_init(&ngx_http_chatmaid_wait_topic_queue);
    }

    name.len = NGX_HTTP_CHATMAID_ID_LEN + flow->path.len;
    name.data = ngx_pnalloc(r->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(name.data, conf->account_id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(name.data + NGX_HTTP_CHATMAID_ID_LEN, flow->path.data,
               flow->path.len);

    topic = (ngx_http_chatmaid_wait_topic_t *)
                ngx_str_rbtree_lookup(&ngx_http_chatmaid_wait_topics, &name,
                                      ngx_crc32_long(name.data, name.len));
    if (topic == NULL) {
        topic = ngx_http_chatmaid_wait_topic_create(r, flow, &name);
        if (topic == NULL) {
            return NGX_ERROR;
        }
    }

    flow->topic = topic;
    flow->leave = ngx_http_chatmaid_wait_topic_leave;
    flow->queued = 1;

    ngx_queue_insert_tail(&topic->waiters, &flow->waiter);

    ngx_http_chatmaid_wait_poll_schedule();

    return NGX_OK;
}


static ngx_http_chatmaid_wait_topic_t *
ngx_http_chatmaid_wait_topic_create(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *name)
{
    ngx_pool_t                      *pool;
    ngx_http_chatmaid_loc_conf_t    *conf;
    ngx_http_chatmaid_wait_topic_t  *topic;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    topic = ngx_pcalloc(pool, sizeof(ngx_http_chatmaid_wait_topic_t));

    if (topic == NULL
        || (topic->sn.str.data = ngx_pstrdup(pool, name)) == NULL
        || ngx_http_chatmaid_notes_id(pool, &conf->account_name, &flow->subject,
                                      topic->note_id)
           != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    topic->pool = pool;
    topic->mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    topic->account_id = topic->sn.str.data;
    topic->step = NGX_HTTP_CHATMAID_FIRST_STEP;

    ngx_queue_init(&topic->waiters);

    topic->sn.str.len = name->len;
    topic->sn.node.key = ngx_crc32_long(name->data, name->len);

    ngx_rbtree_insert(&ngx_http_chatmaid_wait_topics, &topic->sn.node);
    ngx_queue_insert_head(&ngx_http_chatmaid_wait_topic_queue, &topic->queue);

    return topic;
}


ngx_uint_t
ngx_http_chatmaid_wait_topic_turn(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;

    if (topic->failed || ngx_http_chatmaid_wait_topic_too_late(topic, flow)) {
        ngx_http_chatmaid_wait_topic_tell(r, flow);
        return NGX_HTTP_CHATMAID_TURN_FAIL;
    }

    if (ngx_http_chatmaid_wait_topic_reached(topic, flow)) {
        return NGX_HTTP_CHATMAID_TURN_ANSWER;
    }

    if (topic->poller == NULL && topic->text.len == 0) {
        topic->poller = flow;
    }

    if (topic->poller == flow) {
        flow->attempts = ngx_max(flow->attempts, topic->attempts);
        flow->next_try = topic->next_try;

        return NGX_HTTP_CHATMAID_TURN_POLL;
    }

    return topic->text.len ? NGX_HTTP_CHATMAID_TURN_IDLE
                           : NGX_HTTP_CHATMAID_TURN_READ;
}


/* Nothing is known yet, and the next try is after our deadline. */

static ngx_uint_t
ngx_http_chatmaid_wait_topic_too_late(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (topic->next_try - ngx_current_msec);

    return topic->next_try && topic->text.len == 0 && left > 0
           && !ngx_http_chatmaid_retry_fits(flow, left);
}


static void
ngx_http_chatmaid_wait_topic_tell(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_msec_int_t                   left;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;
    left = (ngx_msec_int_t) (topic->next_try - ngx_current_msec);

    flow->reply->problem = topic->problem;
    flow->reply->problem.detail.data = ngx_pstrdup(r->pool, &topic->problem.detail);

    if (flow->reply->problem.detail.data == NULL) {
        flow->reply->problem.detail.len = 0;
    }

    if (flow->reply->problem.retry_after && !topic->failed && left > 0) {
        flow->reply->problem.retry_after = (left + 999) / 1000;
    }
}


ngx_uint_t
ngx_http_chatmaid_wait_topic_is_first(ngx_http_chatmaid_flow_t *flow)
{
    return flow->topic->text.len == 0;
}


/*
 * What a note says that was there before the first call is known by that call's
 * answer; only one that comes later is news.
 */

ngx_int_t
ngx_http_chatmaid_wait_topic_look(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t                        rc;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;

    if (topic->looked) {
        return NGX_OK;
    }

    if (topic->looks) {
        return NGX_AGAIN;       /* of a poller that has left since */
    }

    topic->look.n = 1;
    topic->look.ids = &topic->note_id;
    topic->look.stamps = &topic->stamps;
    topic->look.pool = topic->pool;
    topic->look.handler = ngx_http_chatmaid_wait_topic_looked;
    topic->look.data = topic;

    rc = ngx_http_chatmaid_notes_look(topic->mcf, &topic->look);

    if (rc == NGX_AGAIN) {
        topic->looks++;

    } else {
        topic->looked = 1;
    }

    return rc;
}


static void
ngx_http_chatmaid_wait_topic_looked(ngx_http_chatmaid_notes_look_t *look)
{
    ngx_http_chatmaid_wait_topic_t  *topic = look->data;

    ngx_http_chatmaid_flow_t         *poller;

    poller = topic->poller;

    topic->looked = 1;
    topic->looks--;

    if (poller) {
        ngx_http_chatmaid_wait_topic_wake(poller);
    }

    ngx_http_chatmaid_wait_topic_release(topic);
}


void
ngx_http_chatmaid_wait_topic_asked(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;

    if (topic->text.len == 0) {
        topic->call = ngx_http_chatmaid_account_limits_read(topic->mcf->zone,
                                                            topic->account_id);
    }

    topic->asked = ngx_current_msec;
    topic->noted = 0;
    topic->permitted = 0;

    ngx_queue_remove(&topic->queue);
    ngx_queue_insert_tail(&ngx_http_chatmaid_wait_topic_queue, &topic->queue);
}


void
ngx_http_chatmaid_wait_topic_ended(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_account_limits_ended(flow->topic->mcf->zone,
                                           flow->topic->account_id, flow->topic->call);
}


ngx_int_t
ngx_http_chatmaid_wait_topic_answered(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, json_t *data)
{
    u_char                          *p;
    ngx_str_t                        text;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_flow_t         *waiter;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;

    if (ngx_http_chatmaid_json_dump(r->pool, data, 0, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_alloc(text.len, r->connection->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (topic->text.data) {
        ngx_free(topic->text.data);
    }

    ngx_memcpy(p, text.data, text.len);

    topic->text.data = p;
    topic->text.len = text.len;
    topic->status = ngx_http_chatmaid_wait_topic_status(data);

    for (q = ngx_queue_head(&topic->waiters);
         q != ngx_queue_sentinel(&topic->waiters);
         q = ngx_queue_next(q))
    {
        waiter = ngx_queue_data(q, ngx_http_chatmaid_flow_t, waiter);

        if (waiter != flow && ngx_http_chatmaid_wait_topic_reached(topic, waiter)) {
            ngx_http_chatmaid_wait_topic_wake(waiter);
        }
    }

    topic->poller = NULL;

    ngx_http_chatmaid_wait_topic_again(topic);

    return NGX_OK;
}


/* The time of the next poll. */

static void
ngx_http_chatmaid_wait_topic_again(ngx_http_chatmaid_wait_topic_t *topic)
{
    topic->due = ngx_current_msec + topic->step;
    topic->step = ngx_min(topic->step + topic->step / 2,
                          NGX_HTTP_CHATMAID_LAST_STEP);
}


/*
 * While a message is being waited for, Chatmaid may be out of order: the next
 * poll asks again.  That it knows no such message, or not the key, is for all
 * who wait.
 */

void
ngx_http_chatmaid_wait_topic_failed(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;
    topic->poller = NULL;

    switch (flow->reply->problem.code) {

    case NGX_HTTP_CHATMAID_UPSTREAM_ERROR:
    case NGX_HTTP_CHATMAID_UPSTREAM_INVALID_RESPONSE:
    case NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT:
    case NGX_HTTP_CHATMAID_RATE_LIMITED:
    case NGX_HTTP_CHATMAID_UNAVAILABLE:

        if (topic->text.len) {
            ngx_http_chatmaid_wait_topic_again(topic);
            return;
        }
    }

    ngx_http_chatmaid_wait_topic_keep(topic, &flow->reply->problem);

    topic->failed = 1;

    /* who comes from now on begins anew */
    ngx_rbtree_delete(&ngx_http_chatmaid_wait_topics, &topic->sn.node);

    ngx_http_chatmaid_wait_topic_wake_others(flow);
}


void
ngx_http_chatmaid_wait_topic_put_off(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;
    topic->attempts = flow->attempts;
    topic->next_try = flow->next_try;

    ngx_http_chatmaid_wait_topic_keep(topic, &flow->reply->problem);

    if (!flow->pause.timer_set) {
        topic->poller = NULL;
    }

    ngx_http_chatmaid_wait_topic_wake_others(flow);
}


static void
ngx_http_chatmaid_wait_topic_wake_others(ngx_http_chatmaid_flow_t *flow)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_flow_t         *waiter;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = flow->topic;

    for (q = ngx_queue_head(&topic->waiters);
         q != ngx_queue_sentinel(&topic->waiters);
         q = ngx_queue_next(q))
    {
        waiter = ngx_queue_data(q, ngx_http_chatmaid_flow_t, waiter);

        if (waiter != flow) {
            ngx_http_chatmaid_wait_topic_wake(waiter);
        }
    }
}


/* What goes with the poller's memory stays behind. */

static void
ngx_http_chatmaid_wait_topic_keep(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_http_chatmaid_problem_t *problem)
{
    topic->problem = *problem;
    topic->problem.detail.data = ngx_pstrdup(topic->pool, &problem->detail);

    if (topic->problem.detail.data == NULL) {
        topic->problem.detail.len = 0;
    }

    topic->problem.errors = NULL;
    topic->problem.error = NULL;
    topic->problem.messages = NULL;
}


/*
 * The poller is no longer there.  Another one carries on where nothing is
 * known yet, or makes the poll that had not begun.
 */

static void
ngx_http_chatmaid_wait_topic_pass(ngx_http_chatmaid_wait_topic_t *topic)
{
    topic->poller = NULL;

    if ((topic->text.len && !topic->permitted) || topic->failed) {
        return;
    }

    topic->poller = ngx_http_chatmaid_wait_topic_longest(topic);

    if (topic->poller) {
        ngx_http_chatmaid_wait_topic_wake(topic->poller);
    }
}


/*
 * The best poller is the one that waits longest: a request that is answered
 * while it carries a call keeps its connection until that has ended.
 */

ngx_http_chatmaid_flow_t *
ngx_http_chatmaid_wait_topic_longest(ngx_http_chatmaid_wait_topic_t *topic)
{
    ngx_queue_t              *q;
    ngx_http_chatmaid_flow_t  *flow, *longest;

    longest = NULL;

    for (q = ngx_queue_head(&topic->waiters);
         q != ngx_queue_sentinel(&topic->waiters);
         q = ngx_queue_next(q))
    {
        flow = ngx_queue_data(q, ngx_http_chatmaid_flow_t, waiter);

        if (longest == NULL
            || (ngx_msec_int_t) (flow->deadline.timer.key
                                 - longest->deadline.timer.key)
               > 0)
        {
            longest = flow;
        }
    }

    return longest;
}


ngx_int_t
ngx_http_chatmaid_wait_topic_text(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *text)
{
    if (flow->topic->text.len == 0) {
        return NGX_DECLINED;
    }

    text->len = flow->topic->text.len;
    text->data = ngx_pstrdup(r->pool, &flow->topic->text);

    return text->data ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_http_chatmaid_wait_topic_status(json_t *data)
{
    const char  *status;

    status = json_string_value(json_object_get(data, "status"));

    if (status == NULL) {
        return 0;
    }

    if (ngx_strcmp(status, "failed") == 0) {
        return NGX_HTTP_CHATMAID_FAILED;
    }

    if (ngx_strcmp(status, "read") == 0) {
        return NGX_HTTP_CHATMAID_MESSAGE_READ;
    }

    if (ngx_strcmp(status, "delivered") == 0) {
        return NGX_HTTP_CHATMAID_DELIVERED;
    }

    if (ngx_strcmp(status, "sent") == 0) {
        return NGX_HTTP_CHATMAID_SENT;
    }

    return (ngx_strcmp(status, "pending") == 0) ? NGX_HTTP_CHATMAID_PENDING
                                                : 0;
}


static ngx_uint_t
ngx_http_chatmaid_wait_topic_reached(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_http_chatmaid_flow_t *flow)
{
    return topic->text.len && topic->status >= flow->until;
}


/* In this turn of the event loop, but not here: no flow runs within another. */

void
ngx_http_chatmaid_wait_topic_wake(ngx_http_chatmaid_flow_t *flow)
{
    if (!flow->wake.timer_set) {
        ngx_http_chatmaid_flow_timer(flow->request, &flow->wake,
                                     ngx_http_chatmaid_flow_resume_handler, 0);
    }
}


void
ngx_http_chatmaid_wait_topic_unqueue(ngx_http_chatmaid_flow_t *flow)
{
    if (flow->queued) {
        flow->queued = 0;
        ngx_queue_remove(&flow->waiter);
    }
}


/* Before the request's memory goes, in whatever state it is. */

static void
ngx_http_chatmaid_wait_topic_leave(ngx_http_chatmaid_flow_t *flow)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    if (flow->wake.timer_set) {
        ngx_del_timer(&flow->wake);
    }

    topic = flow->topic;

    if (topic == NULL) {
        return;
    }

    ngx_http_chatmaid_wait_topic_unqueue(flow);

    if (topic->poller == flow) {
        ngx_http_chatmaid_wait_topic_pass(topic);
    }

    flow->topic = NULL;

    ngx_http_chatmaid_wait_topic_release(topic);
}


void
ngx_http_chatmaid_wait_topic_release(ngx_http_chatmaid_wait_topic_t *topic)
{
    if (topic->poller || topic->looks || !ngx_queue_empty(&topic->waiters)) {
        return;
    }

    if (!topic->failed) {
        ngx_rbtree_delete(&ngx_http_chatmaid_wait_topics, &topic->sn.node);
    }

    ngx_queue_remove(&topic->queue);

    if (topic->text.data) {
        ngx_free(topic->text.data);
    }

    ngx_destroy_pool(topic->pool);
}
