
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_poll.h"
#include "ngx_http_chatmaid_account.h"
#include "ngx_http_chatmaid_topic.h"


#define NGX_HTTP_CHATMAID_TICK       100        /* milliseconds */
#define NGX_HTTP_CHATMAID_LOOK       5          /* ticks between looks */

/* How long a worker that is shutting down waits for a first answer. */
#define NGX_HTTP_CHATMAID_LAST_WAIT  3000       /* milliseconds */


/* All topics that are looked for at once. */

typedef struct {
    ngx_http_chatmaid_look_t     look;
    ngx_http_chatmaid_topic_t  **topics;
    ngx_pool_t                  *pool;
} ngx_http_chatmaid_survey_t;


static void ngx_http_chatmaid_poll_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_poll_start(ngx_uint_t noted);
static ngx_uint_t ngx_http_chatmaid_poll_is_due(
    ngx_http_chatmaid_topic_t *topic, ngx_uint_t noted);
static void ngx_http_chatmaid_poll_hurry(void);
static void ngx_http_chatmaid_poll_survey(void);
static void ngx_http_chatmaid_poll_surveyed(ngx_http_chatmaid_look_t *look);


/* Of this worker. */

static ngx_event_t  ngx_http_chatmaid_poll_tick;
static ngx_uint_t   ngx_http_chatmaid_poll_ticks;
static ngx_uint_t   ngx_http_chatmaid_poll_surveying;


void
ngx_http_chatmaid_poll_schedule(void)
{
    static ngx_connection_t  dummy;

    if (ngx_http_chatmaid_poll_tick.timer_set) {
        return;
    }

    dummy.fd = (ngx_socket_t) -1;

    ngx_http_chatmaid_poll_tick.handler = ngx_http_chatmaid_poll_handler;
    ngx_http_chatmaid_poll_tick.data = &dummy;
    ngx_http_chatmaid_poll_tick.log = ngx_cycle->log;

    ngx_add_timer(&ngx_http_chatmaid_poll_tick, NGX_HTTP_CHATMAID_TICK);
}


static void
ngx_http_chatmaid_poll_handler(ngx_event_t *ev)
{
    if (ngx_queue_empty(&ngx_http_chatmaid_topic_queue)) {
        return;
    }

    if (++ngx_http_chatmaid_poll_ticks % NGX_HTTP_CHATMAID_LOOK == 0) {
        ngx_http_chatmaid_poll_survey();
    }

    if (ngx_exiting) {
        ngx_http_chatmaid_poll_hurry();

    } else {
        ngx_http_chatmaid_poll_start(1);
        ngx_http_chatmaid_poll_start(0);
    }

    ngx_http_chatmaid_poll_schedule();
}


/*
 * Lets one of those who wait ask, where it is time to and allowed: first where
 * something has happened, and the message longest unasked before the others.
 */

static void
ngx_http_chatmaid_poll_start(ngx_uint_t noted)
{
    u_char                     *refused;
    ngx_uint_t                  call;
    ngx_queue_t                *q;
    ngx_http_chatmaid_topic_t  *topic;

    refused = NULL;

    for (q = ngx_queue_head(&ngx_http_chatmaid_topic_queue);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_topic_queue);
         q = ngx_queue_next(q))
    {
        topic = ngx_queue_data(q, ngx_http_chatmaid_topic_t, queue);

        if (!ngx_http_chatmaid_poll_is_due(topic, noted)) {
            continue;
        }

        /* what is refused to one is refused to those after it */

        if (refused && ngx_memcmp(refused, topic->account_id,
                                  NGX_HTTP_CHATMAID_ID_LEN)
                       == 0)
        {
            continue;
        }

        call = ngx_http_chatmaid_account_poll(topic->mcf->zone,
                                              topic->account_id, noted,
                                              topic->asked);
        if (call == 0) {
            refused = topic->account_id;
            continue;
        }

        topic->call = call;
        topic->permitted = 1;
        topic->carrier = ngx_http_chatmaid_topic_longest(topic);

        ngx_http_chatmaid_topic_wake(topic->carrier);
    }
}


static ngx_uint_t
ngx_http_chatmaid_poll_is_due(ngx_http_chatmaid_topic_t *topic,
    ngx_uint_t noted)
{
    if (topic->carrier || topic->failed || topic->text.len == 0
        || ngx_queue_empty(&topic->waiters) || topic->noted != noted)
    {
        return 0;
    }

    return noted || (ngx_msec_int_t) (topic->due - ngx_current_msec) <= 0;
}


/* The worker is shutting down: who waits is answered what there is. */

static void
ngx_http_chatmaid_poll_hurry(void)
{
    ngx_msec_t                  left;
    ngx_queue_t                *q, *w;
    ngx_http_chatmaid_ctx_t    *ctx;
    ngx_http_chatmaid_topic_t  *topic;

    for (q = ngx_queue_head(&ngx_http_chatmaid_topic_queue);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_topic_queue);
         q = ngx_queue_next(q))
    {
        topic = ngx_queue_data(q, ngx_http_chatmaid_topic_t, queue);

        left = topic->text.len ? 0 : NGX_HTTP_CHATMAID_LAST_WAIT;

        for (w = ngx_queue_head(&topic->waiters);
             w != ngx_queue_sentinel(&topic->waiters);
             w = ngx_queue_next(w))
        {
            ctx = ngx_queue_data(w, ngx_http_chatmaid_ctx_t, waiter);

            if (ctx->deadline.timer_set
                && (ngx_msec_int_t) (ctx->deadline.timer.key
                                     - ngx_current_msec)
                   > (ngx_msec_int_t) left)
            {
                ngx_del_timer(&ctx->deadline);
                ngx_add_timer(&ctx->deadline, left);
            }
        }
    }
}


/* Looks for all notes at once. */

static void
ngx_http_chatmaid_poll_survey(void)
{
    ngx_pool_t                     *pool;
    ngx_queue_t                    *q;
    ngx_http_chatmaid_topic_t      *topic;
    ngx_http_chatmaid_survey_t     *survey;
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (ngx_http_chatmaid_poll_surveying) {
        return;
    }

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    survey = ngx_pcalloc(pool, sizeof(ngx_http_chatmaid_survey_t));

    if (survey == NULL
        || (survey->topics = ngx_palloc(pool, ngx_http_chatmaid_topic_count
                                              * sizeof(void *))) == NULL
        || (survey->look.ids = ngx_palloc(pool, ngx_http_chatmaid_topic_count
                                          * NGX_HTTP_CHATMAID_ID_LEN)) == NULL
        || (survey->look.stamps = ngx_palloc(pool,
                                             ngx_http_chatmaid_topic_count
                                             * sizeof(uint64_t))) == NULL)
    {
        ngx_destroy_pool(pool);
        return;
    }

    mcf = NULL;

    for (q = ngx_queue_head(&ngx_http_chatmaid_topic_queue);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_topic_queue);
         q = ngx_queue_next(q))
    {
        topic = ngx_queue_data(q, ngx_http_chatmaid_topic_t, queue);

        if (topic->text.len == 0) {
            continue;           /* its own look may still be under way */
        }

        mcf = topic->mcf;

        survey->topics[survey->look.n] = topic;
        ngx_memcpy(survey->look.ids[survey->look.n], topic->note_id,
                   NGX_HTTP_CHATMAID_ID_LEN);

        topic->looks++;
        survey->look.n++;
    }

    survey->pool = pool;
    survey->look.pool = pool;
    survey->look.handler = ngx_http_chatmaid_poll_surveyed;
    survey->look.data = survey;

    ngx_http_chatmaid_poll_surveying = 1;

    if (mcf == NULL
        || mcf->store->look(mcf->store_data, &survey->look) != NGX_AGAIN)
    {
        ngx_http_chatmaid_poll_surveyed(&survey->look);
    }
}


static void
ngx_http_chatmaid_poll_surveyed(ngx_http_chatmaid_look_t *look)
{
    ngx_http_chatmaid_survey_t *survey = look->data;

    uint64_t                    stamp;
    ngx_uint_t                  i;
    ngx_http_chatmaid_topic_t  *topic;

    ngx_http_chatmaid_poll_surveying = 0;

    for (i = 0; i < look->n; i++) {
        topic = survey->topics[i];
        stamp = look->stamps[i];

        if (stamp && stamp != topic->stamp) {
            topic->stamp = stamp;
            topic->noted = 1;
        }

        topic->looks--;
        ngx_http_chatmaid_topic_release(topic);
    }

    ngx_destroy_pool(survey->pool);
}
