
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_wait_poll.h"
#include "ngx_http_chatmaid_account_limits.h"
#include "ngx_http_chatmaid_wait_topic.h"


#define NGX_HTTP_CHATMAID_TICK       100        /* milliseconds */
#define NGX_HTTP_CHATMAID_LOOK       5          /* ticks between looks */
#define NGX_HTTP_CHATMAID_MAX_LOOK   128        /* topics in one look */

/* How long a worker that shuts down waits for the answer to a first read. */
#define NGX_HTTP_CHATMAID_LAST_WAIT  3000       /* milliseconds */


/* The topics of one look for notes. */

typedef struct {
    ngx_http_chatmaid_notes_look_t   look;
    ngx_http_chatmaid_wait_topic_t  *topics[NGX_HTTP_CHATMAID_MAX_LOOK];
    u_char                           ids[NGX_HTTP_CHATMAID_MAX_LOOK]
                                        [NGX_HTTP_CHATMAID_ID_LEN];
    uint64_t                         stamps[NGX_HTTP_CHATMAID_MAX_LOOK][2];
} ngx_http_chatmaid_survey_t;


static void ngx_http_chatmaid_wait_poll_handler(ngx_event_t *ev);
static void ngx_http_chatmaid_wait_poll_start(ngx_uint_t noted);
static ngx_uint_t ngx_http_chatmaid_wait_poll_is_due(
    ngx_http_chatmaid_wait_topic_t *topic, ngx_uint_t noted);
static void ngx_http_chatmaid_wait_poll_hurry(void);
static void ngx_http_chatmaid_wait_poll_survey(void);
static ngx_queue_t *ngx_http_chatmaid_wait_poll_survey_some(ngx_queue_t *q);
static void ngx_http_chatmaid_wait_poll_surveyed(
    ngx_http_chatmaid_notes_look_t *look);
static void ngx_http_chatmaid_wait_poll_notes(
    ngx_http_chatmaid_survey_t *survey, ngx_uint_t place);


/* Of this worker. */

static ngx_event_t  ngx_http_chatmaid_wait_poll_tick;
static ngx_uint_t   ngx_http_chatmaid_wait_poll_ticks;


void
ngx_http_chatmaid_wait_poll_schedule(void)
{
    static ngx_connection_t  dummy;

    if (ngx_http_chatmaid_wait_poll_tick.timer_set) {
        return;
    }

    dummy.fd = (ngx_socket_t) -1;

    ngx_http_chatmaid_wait_poll_tick.handler =
                                           ngx_http_chatmaid_wait_poll_handler;
    ngx_http_chatmaid_wait_poll_tick.data = &dummy;
    ngx_http_chatmaid_wait_poll_tick.log = ngx_cycle->log;

    ngx_add_timer(&ngx_http_chatmaid_wait_poll_tick, NGX_HTTP_CHATMAID_TICK);
}


static void
ngx_http_chatmaid_wait_poll_handler(ngx_event_t *ev)
{
    if (ngx_queue_empty(&ngx_http_chatmaid_wait_topic_queue)) {
        return;
    }

    if (++ngx_http_chatmaid_wait_poll_ticks % NGX_HTTP_CHATMAID_LOOK == 0) {
        ngx_http_chatmaid_wait_poll_survey();
    }

    if (ngx_exiting) {
        ngx_http_chatmaid_wait_poll_hurry();

    } else {
        ngx_http_chatmaid_wait_poll_start(1);
        ngx_http_chatmaid_wait_poll_start(0);
    }

    ngx_http_chatmaid_wait_poll_schedule();
}


/*
 * Where a poll is due and permitted, one of the topic's waiters makes it.
 * Topics with a new note ("noted") come first, then the others; in both groups,
 * the topic whose last call began the longest time ago comes first.
 */

static void
ngx_http_chatmaid_wait_poll_start(ngx_uint_t noted)
{
    u_char                          *refused;
    ngx_uint_t                       call;
    ngx_queue_t                     *q;
    ngx_http_chatmaid_wait_topic_t  *topic;

    refused = NULL;

    for (q = ngx_queue_head(&ngx_http_chatmaid_wait_topic_queue);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_wait_topic_queue);
         q = ngx_queue_next(q))
    {
        topic = ngx_queue_data(q, ngx_http_chatmaid_wait_topic_t, queue);

        if (!ngx_http_chatmaid_wait_poll_is_due(topic, noted)) {
            continue;
        }

        /* if an account is refused, so are all its topics that follow */

        if (refused && ngx_memcmp(refused, topic->account_id,
                                  NGX_HTTP_CHATMAID_ID_LEN)
                       == 0)
        {
            continue;
        }

        call = ngx_http_chatmaid_account_limits_poll(topic->mcf->zone,
                                                     topic->account_id, noted,
                                                     topic->asked);
        if (call == 0) {
            refused = topic->account_id;
            continue;
        }

        topic->call = call;
        topic->permitted = 1;
        topic->poller = ngx_http_chatmaid_wait_topic_longest(topic);

        ngx_http_chatmaid_wait_topic_wake(topic->poller);
    }
}


static ngx_uint_t
ngx_http_chatmaid_wait_poll_is_due(ngx_http_chatmaid_wait_topic_t *topic,
    ngx_uint_t noted)
{
    if (topic->poller || topic->failed || !topic->seen
        || ngx_queue_empty(&topic->waiters) || topic->noted != noted)
    {
        return 0;
    }

    /* a note does not hurry a poll that found no place in the pace */

    return (noted && !topic->skipped)
           || (ngx_msec_int_t) (topic->due - ngx_current_msec) <= 0;
}


/* The worker shuts down: waiters are answered with what is known. */

static void
ngx_http_chatmaid_wait_poll_hurry(void)
{
    ngx_msec_t                       left;
    ngx_queue_t                     *q, *w;
    ngx_http_chatmaid_waiter_t      *waiter;
    ngx_http_chatmaid_wait_topic_t  *topic;

    for (q = ngx_queue_head(&ngx_http_chatmaid_wait_topic_queue);
         q != ngx_queue_sentinel(&ngx_http_chatmaid_wait_topic_queue);
         q = ngx_queue_next(q))
    {
        topic = ngx_queue_data(q, ngx_http_chatmaid_wait_topic_t, queue);

        left = topic->seen ? 0 : NGX_HTTP_CHATMAID_LAST_WAIT;

        for (w = ngx_queue_head(&topic->waiters);
             w != ngx_queue_sentinel(&topic->waiters);
             w = ngx_queue_next(w))
        {
            waiter = ngx_queue_data(w, ngx_http_chatmaid_waiter_t, queue);

            ngx_http_chatmaid_flow_hurry(waiter->flow, left);
        }
    }
}


/* Looks for the notes of all topics. */

static void
ngx_http_chatmaid_wait_poll_survey(void)
{
    ngx_queue_t  *q;

    q = ngx_queue_head(&ngx_http_chatmaid_wait_topic_queue);

    while (q != ngx_queue_sentinel(&ngx_http_chatmaid_wait_topic_queue)) {
        q = ngx_http_chatmaid_wait_poll_survey_some(q);
    }
}


/* Looks for the notes of as many topics as one look takes, from q on.  Returns
 * the next topic. */

static ngx_queue_t *
ngx_http_chatmaid_wait_poll_survey_some(ngx_queue_t *q)
{
    ngx_uint_t                       n;
    ngx_pool_t                      *pool;
    ngx_http_chatmaid_survey_t      *survey;
    ngx_http_chatmaid_main_conf_t   *mcf;
    ngx_http_chatmaid_wait_topic_t  *topic;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return ngx_queue_sentinel(&ngx_http_chatmaid_wait_topic_queue);
    }

    survey = ngx_palloc(pool, sizeof(ngx_http_chatmaid_survey_t));
    if (survey == NULL) {
        ngx_destroy_pool(pool);
        return ngx_queue_sentinel(&ngx_http_chatmaid_wait_topic_queue);
    }

    n = 0;
    mcf = NULL;

    for ( /* void */ ;
         q != ngx_queue_sentinel(&ngx_http_chatmaid_wait_topic_queue)
             && n < NGX_HTTP_CHATMAID_MAX_LOOK;
         q = ngx_queue_next(q))
    {
        topic = ngx_queue_data(q, ngx_http_chatmaid_wait_topic_t, queue);

        if (!topic->seen) {
            continue;           /* its own look may still be under way */
        }

        mcf = topic->mcf;

        survey->topics[n] = topic;
        ngx_memcpy(survey->ids[n], topic->note_id, NGX_HTTP_CHATMAID_ID_LEN);

        topic->looks++;
        n++;
    }

    survey->look.n = n;
    survey->look.ids = survey->ids;
    survey->look.stamps = survey->stamps;
    survey->look.pool = pool;
    survey->look.insist = 1;
    survey->look.handler = ngx_http_chatmaid_wait_poll_surveyed;
    survey->look.data = survey;

    if (n && ngx_http_chatmaid_notes_look(mcf, &survey->look) == NGX_AGAIN) {

        /* the notes in the zone need not wait for Redis */
        ngx_http_chatmaid_wait_poll_notes(survey, 0);

    } else {
        ngx_http_chatmaid_wait_poll_surveyed(&survey->look);
    }

    return q;
}


static void
ngx_http_chatmaid_wait_poll_surveyed(ngx_http_chatmaid_notes_look_t *look)
{
    ngx_http_chatmaid_survey_t *survey = look->data;

    ngx_uint_t                  i;

    ngx_http_chatmaid_wait_poll_notes(survey, 0);
    ngx_http_chatmaid_wait_poll_notes(survey, 1);

    for (i = 0; i < look->n; i++) {
        survey->topics[i]->looks--;
        ngx_http_chatmaid_wait_topic_release(survey->topics[i]);
    }

    ngx_destroy_pool(look->pool);
}


/* The same note comes to the zone and to Redis, but not at the same time: a
 * stamp that was seen in either place is not new. */

static void
ngx_http_chatmaid_wait_poll_notes(ngx_http_chatmaid_survey_t *survey,
    ngx_uint_t place)
{
    uint64_t                         stamp;
    ngx_uint_t                       i;
    ngx_http_chatmaid_wait_topic_t  *topic;

    for (i = 0; i < survey->look.n; i++) {

        topic = survey->topics[i];
        stamp = survey->stamps[i][place];

        if (stamp == 0) {
            continue;
        }

        if (stamp != topic->stamps[0] && stamp != topic->stamps[1]) {
            topic->noted = 1;
        }

        topic->stamps[place] = stamp;
    }
}
