
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait_topic.h"
#include "ngx_http_chatmaid_account_limits.h"
#include "ngx_http_chatmaid_retry.h"


/* the first and the longest time between polls, in milliseconds */
#define NGX_HTTP_CHATMAID_FIRST_STEP  500
#define NGX_HTTP_CHATMAID_LAST_STEP   5000


static ngx_http_chatmaid_wait_topic_t *ngx_http_chatmaid_wait_topic_create(
    ngx_http_chatmaid_waiter_t *waiter, ngx_str_t *name);
static void ngx_http_chatmaid_wait_topic_requeue(
    ngx_http_chatmaid_wait_topic_t *topic);
static ngx_uint_t ngx_http_chatmaid_wait_topic_too_late(
    ngx_http_chatmaid_waiter_t *waiter);
static void ngx_http_chatmaid_wait_topic_tell(
    ngx_http_chatmaid_waiter_t *waiter);
static void ngx_http_chatmaid_wait_topic_looked(
    ngx_http_chatmaid_notes_look_t *look);
static void ngx_http_chatmaid_wait_topic_again(
    ngx_http_chatmaid_wait_topic_t *topic);
static void ngx_http_chatmaid_wait_topic_wake_others(
    ngx_http_chatmaid_waiter_t *waiter);
static ngx_uint_t ngx_http_chatmaid_wait_topic_reached(
    ngx_http_chatmaid_waiter_t *waiter);
static void ngx_http_chatmaid_wait_topic_pass(
    ngx_http_chatmaid_wait_topic_t *topic);


/* Of this worker. */

ngx_queue_t               ngx_http_chatmaid_wait_topic_queue;
static ngx_rbtree_t       ngx_http_chatmaid_wait_topics;
static ngx_rbtree_node_t  ngx_http_chatmaid_wait_topics_sentinel;
static ngx_uint_t         ngx_http_chatmaid_wait_topic_n;  /* of waiters */


ngx_int_t
ngx_http_chatmaid_wait_topic_join(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_str_t                        name, *path;
    ngx_http_request_t              *r;
    ngx_http_chatmaid_loc_conf_t    *conf;
    ngx_http_chatmaid_wait_topic_t  *topic;

    r = waiter->flow->request;
    path = &waiter->flow->reply->path;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (ngx_http_chatmaid_wait_topics.root == NULL) {
        ngx_rbtree_init(&ngx_http_chatmaid_wait_topics,
                        &ngx_http_chatmaid_wait_topics_sentinel,
                        ngx_str_rbtree_insert_value);
        ngx_queue_init(&ngx_http_chatmaid_wait_topic_queue);
    }

    name.len = NGX_HTTP_CHATMAID_ID_LEN + path->len;
    name.data = ngx_pnalloc(r->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(name.data, conf->account_id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(name.data + NGX_HTTP_CHATMAID_ID_LEN, path->data, path->len);

    topic = (ngx_http_chatmaid_wait_topic_t *)
                ngx_str_rbtree_lookup(&ngx_http_chatmaid_wait_topics, &name,
                                      ngx_crc32_long(name.data, name.len));
    if (topic == NULL) {
        topic = ngx_http_chatmaid_wait_topic_create(waiter, &name);
        if (topic == NULL) {
            return NGX_ERROR;
        }
    }

    waiter->topic = topic;
    waiter->queued = 1;

    ngx_queue_insert_tail(&topic->waiters, &waiter->queue);

    ngx_http_chatmaid_counters_set_waiters(++ngx_http_chatmaid_wait_topic_n);

    return NGX_OK;
}


static ngx_http_chatmaid_wait_topic_t *
ngx_http_chatmaid_wait_topic_create(ngx_http_chatmaid_waiter_t *waiter,
    ngx_str_t *name)
{
    ngx_pool_t                      *pool;
    ngx_http_request_t              *r;
    ngx_http_chatmaid_loc_conf_t    *conf;
    ngx_http_chatmaid_wait_topic_t  *topic;

    r = waiter->flow->request;
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    topic = ngx_pcalloc(pool, sizeof(ngx_http_chatmaid_wait_topic_t));

    if (topic == NULL
        || (topic->sn.str.data = ngx_pstrdup(pool, name)) == NULL
        || ngx_http_chatmaid_notes_id(pool, &conf->account_name,
                                      &waiter->message_id, topic->note_id)
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


/* No note was looked for before the send, so a note that is there already is
 * new. */

ngx_int_t
ngx_http_chatmaid_wait_topic_sent(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = waiter->topic;

    if (topic->seen || topic->poller) {
        return NGX_OK;
    }

    ngx_http_chatmaid_wait_topic_requeue(topic);

    return ngx_http_chatmaid_wait_topic_answered(waiter, &waiter->sent);
}


static void
ngx_http_chatmaid_wait_topic_requeue(ngx_http_chatmaid_wait_topic_t *topic)
{
    topic->asked = ngx_current_msec;

    ngx_queue_remove(&topic->queue);
    ngx_queue_insert_tail(&ngx_http_chatmaid_wait_topic_queue, &topic->queue);
}


ngx_http_chatmaid_wait_topic_turn_e
ngx_http_chatmaid_wait_topic_turn(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_http_chatmaid_flow_t        *flow;
    ngx_http_chatmaid_wait_topic_t  *topic;

    flow = waiter->flow;
    topic = waiter->topic;

    if (topic->failed || ngx_http_chatmaid_wait_topic_too_late(waiter)) {
        ngx_http_chatmaid_wait_topic_tell(waiter);
        return NGX_HTTP_CHATMAID_TURN_FAIL;
    }

    if (ngx_http_chatmaid_wait_topic_reached(waiter)) {
        return NGX_HTTP_CHATMAID_TURN_ANSWER;
    }

    if (topic->poller == NULL && !topic->seen) {
        topic->poller = waiter;
    }

    if (topic->poller == waiter) {
        flow->attempts = ngx_max(flow->attempts, topic->attempts);
        flow->postponed = topic->postponed;
        flow->next_try = topic->next_try;

        return NGX_HTTP_CHATMAID_TURN_POLL;
    }

    return topic->seen ? NGX_HTTP_CHATMAID_TURN_IDLE
                       : NGX_HTTP_CHATMAID_TURN_READ;
}


/* Whether no message is seen yet and the next try comes after the waiter's
 * deadline. */

static ngx_uint_t
ngx_http_chatmaid_wait_topic_too_late(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_msec_int_t                   left;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = waiter->topic;

    if (topic->seen || !topic->postponed) {
        return 0;
    }

    left = (ngx_msec_int_t) (topic->next_try - ngx_current_msec);

    return left > 0 && !ngx_http_chatmaid_retry_fits(waiter->flow, left);
}


static void
ngx_http_chatmaid_wait_topic_tell(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_msec_int_t                   left;
    ngx_http_chatmaid_problem_t     *problem;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = waiter->topic;
    problem = &waiter->flow->reply->problem;

    ngx_http_chatmaid_problem_copy(waiter->flow->request->pool, problem,
                                   &topic->problem);

    left = (ngx_msec_int_t) (topic->next_try - ngx_current_msec);

    if (problem->retry_after && !topic->failed && left > 0) {
        problem->retry_after = (left + 999) / 1000;
    }
}


/* The answer to the first call covers each note that was there before the call.
 * Only a later note is new. */

ngx_int_t
ngx_http_chatmaid_wait_topic_look(ngx_http_chatmaid_wait_topic_t *topic)
{
    ngx_int_t  rc;

    if (topic->looked) {
        return NGX_OK;
    }

    if (topic->looks) {
        return NGX_AGAIN;       /* a poller that has left is looking */
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
    ngx_http_chatmaid_wait_topic_t *topic = look->data;

    topic->looked = 1;
    topic->looks--;

    if (topic->poller) {
        ngx_http_chatmaid_wait_topic_wake(topic->poller);
    }

    ngx_http_chatmaid_wait_topic_release(topic);
}


void
ngx_http_chatmaid_wait_topic_asked(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_uint_t again)
{
    if (!topic->seen && !again) {
        topic->call = ngx_http_chatmaid_account_limits_read(topic->mcf->zone,
                                                            topic->account_id);
    }

    topic->noted = 0;
    topic->permitted = 0;
    topic->skipped = 0;

    ngx_http_chatmaid_wait_topic_requeue(topic);
}


void
ngx_http_chatmaid_wait_topic_ended(ngx_http_chatmaid_wait_topic_t *topic)
{
    ngx_http_chatmaid_account_limits_ended(topic->mcf->zone, topic->account_id,
                                           topic->call);
}


ngx_int_t
ngx_http_chatmaid_wait_topic_answered(ngx_http_chatmaid_waiter_t *waiter,
    ngx_str_t *data)
{
    u_char                          *p;
    ngx_queue_t                     *q;
    ngx_http_request_t              *r;
    ngx_http_chatmaid_waiter_t      *other;
    ngx_http_chatmaid_wait_topic_t  *topic;

    r = waiter->flow->request;
    topic = waiter->topic;

    p = ngx_alloc(data->len, r->connection->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (topic->seen) {
        ngx_free(topic->text.data);
    }

    ngx_memcpy(p, data->data, data->len);

    topic->seen = 1;
    topic->text.data = p;
    topic->text.len = data->len;
    topic->status = ngx_http_chatmaid_message_status(r->pool, data);

    for (q = ngx_queue_head(&topic->waiters);
         q != ngx_queue_sentinel(&topic->waiters);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_waiter_t, queue);

        if (other != waiter && ngx_http_chatmaid_wait_topic_reached(other)) {
            ngx_http_chatmaid_wait_topic_wake(other);
        }
    }

    topic->poller = NULL;

    ngx_http_chatmaid_wait_topic_again(topic);

    return NGX_OK;
}


/* Sets the time of the next poll. */

static void
ngx_http_chatmaid_wait_topic_again(ngx_http_chatmaid_wait_topic_t *topic)
{
    topic->due = ngx_current_msec + topic->step;
    topic->step = ngx_min(topic->step + topic->step / 2,
                          NGX_HTTP_CHATMAID_LAST_STEP);
}


void
ngx_http_chatmaid_wait_topic_skip(ngx_http_chatmaid_wait_topic_t *topic)
{
    ngx_http_chatmaid_account_limits_cancel(topic->mcf->zone, topic->account_id,
                                            topic->call);
    topic->poller = NULL;
    topic->permitted = 0;
    topic->skipped = 1;

    ngx_http_chatmaid_wait_topic_again(topic);
}


/*
 * Chatmaid may fail for a while during a wait; then the next poll asks again.
 * An answer such as "no such message" goes to all waiters.
 */

void
ngx_http_chatmaid_wait_topic_failed(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_http_chatmaid_problem_t     *problem;
    ngx_http_chatmaid_wait_topic_t  *topic;

    problem = &waiter->flow->reply->problem;

    topic = waiter->topic;
    topic->poller = NULL;

    switch (problem->code) {

    case NGX_HTTP_CHATMAID_UPSTREAM_ERROR:
    case NGX_HTTP_CHATMAID_UPSTREAM_INVALID_RESPONSE:
    case NGX_HTTP_CHATMAID_UPSTREAM_TIMEOUT:
    case NGX_HTTP_CHATMAID_RATE_LIMITED:
    case NGX_HTTP_CHATMAID_UNAVAILABLE:

        if (topic->seen) {
            ngx_http_chatmaid_wait_topic_again(topic);
            return;
        }
    }

    ngx_http_chatmaid_problem_copy(topic->pool, &topic->problem, problem);

    topic->failed = 1;

    /* a waiter that comes from now on begins a new topic */
    ngx_rbtree_delete(&ngx_http_chatmaid_wait_topics, &topic->sn.node);

    ngx_http_chatmaid_wait_topic_wake_others(waiter);
}


void
ngx_http_chatmaid_wait_topic_postpone(ngx_http_chatmaid_waiter_t *waiter,
    ngx_uint_t pausing)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = waiter->topic;
    topic->attempts = waiter->flow->attempts;
    topic->postponed = 1;
    topic->next_try = waiter->flow->next_try;

    ngx_http_chatmaid_problem_copy(topic->pool, &topic->problem,
                                   &waiter->flow->reply->problem);

    if (!pausing) {
        topic->poller = NULL;
    }

    ngx_http_chatmaid_wait_topic_wake_others(waiter);
}


static void
ngx_http_chatmaid_wait_topic_wake_others(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_waiter_t      *other;
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = waiter->topic;

    for (q = ngx_queue_head(&topic->waiters);
         q != ngx_queue_sentinel(&topic->waiters);
         q = ngx_queue_next(q))
    {
        other = ngx_queue_data(q, ngx_http_chatmaid_waiter_t, queue);

        if (other != waiter) {
            ngx_http_chatmaid_wait_topic_wake(other);
        }
    }
}


/*
 * The poller has left.  Another waiter takes over if nothing is seen yet, or if
 * a permitted poll has not begun.
 */

static void
ngx_http_chatmaid_wait_topic_pass(ngx_http_chatmaid_wait_topic_t *topic)
{
    topic->poller = NULL;

    if ((topic->seen && !topic->permitted) || topic->failed) {
        return;
    }

    topic->poller = ngx_http_chatmaid_wait_topic_longest(topic);

    if (topic->poller) {
        ngx_http_chatmaid_wait_topic_wake(topic->poller);
    }
}


/*
 * The best poller is the waiter with the latest deadline: a request that is
 * answered while it makes a call keeps its connection until the call has ended.
 */

ngx_http_chatmaid_waiter_t *
ngx_http_chatmaid_wait_topic_longest(ngx_http_chatmaid_wait_topic_t *topic)
{
    ngx_queue_t                 *q;
    ngx_http_chatmaid_waiter_t  *waiter, *longest;

    longest = NULL;

    for (q = ngx_queue_head(&topic->waiters);
         q != ngx_queue_sentinel(&topic->waiters);
         q = ngx_queue_next(q))
    {
        waiter = ngx_queue_data(q, ngx_http_chatmaid_waiter_t, queue);

        if (longest == NULL
            || ngx_http_chatmaid_flow_left(waiter->flow)
               > ngx_http_chatmaid_flow_left(longest->flow))
        {
            longest = waiter;
        }
    }

    return longest;
}


ngx_int_t
ngx_http_chatmaid_wait_topic_text(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_pool_t *pool, ngx_str_t *text)
{
    text->len = topic->text.len;
    text->data = ngx_pstrdup(pool, &topic->text);

    return text->data ? NGX_OK : NGX_ERROR;
}


static ngx_uint_t
ngx_http_chatmaid_wait_topic_reached(ngx_http_chatmaid_waiter_t *waiter)
{
    return waiter->topic->seen && waiter->topic->status >= waiter->until;
}


/* The flow is resumed by a timer, because no flow may run within another. */

void
ngx_http_chatmaid_wait_topic_wake(ngx_http_chatmaid_waiter_t *waiter)
{
    if (!waiter->wake.timer_set) {
        ngx_http_chatmaid_flow_timer(waiter->flow, &waiter->wake,
                                     ngx_http_chatmaid_flow_resume_handler,
                                     waiter->flow, 0);
    }
}


void
ngx_http_chatmaid_wait_topic_unqueue(ngx_http_chatmaid_waiter_t *waiter)
{
    if (waiter->queued) {
        waiter->queued = 0;
        ngx_queue_remove(&waiter->queue);

        ngx_http_chatmaid_counters_set_waiters(
                                             --ngx_http_chatmaid_wait_topic_n);
    }
}


void
ngx_http_chatmaid_wait_topic_leave(ngx_http_chatmaid_waiter_t *waiter)
{
    ngx_http_chatmaid_wait_topic_t  *topic;

    topic = waiter->topic;

    if (waiter->wake.timer_set) {
        ngx_del_timer(&waiter->wake);
    }

    ngx_http_chatmaid_wait_topic_unqueue(waiter);

    if (topic->poller == waiter) {
        ngx_http_chatmaid_wait_topic_pass(topic);
    }

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

    if (topic->seen) {
        ngx_free(topic->text.data);
    }

    ngx_destroy_pool(topic->pool);
}
