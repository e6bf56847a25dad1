
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_account_limits.h"


/* A pause is random between 0 and a limit ("full jitter"), so that calls that
 * failed together are not tried again together.  The limit doubles with each
 * try, from the first one to the last. */

#define NGX_HTTP_CHATMAID_RETRY_FIRST_PAUSE  250    /* milliseconds */
#define NGX_HTTP_CHATMAID_RETRY_LAST_PAUSE   8000

/* The most by which a pause is longer than Chatmaid asks for. */
#define NGX_HTTP_CHATMAID_RETRY_JITTER       1000   /* milliseconds */


static ngx_uint_t ngx_http_chatmaid_retry_is_clocked(
    ngx_http_chatmaid_flow_t *flow);
static void ngx_http_chatmaid_retry_pace_handler(void *data);
static ngx_int_t ngx_http_chatmaid_retry_limited(
    ngx_http_chatmaid_flow_t *flow, ngx_msec_t time, const char *detail);
static ngx_int_t ngx_http_chatmaid_retry_postpone(
    ngx_http_chatmaid_flow_t *flow, ngx_msec_t time);
static ngx_int_t ngx_http_chatmaid_retry_wait(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);
static ngx_msec_t ngx_http_chatmaid_retry_jitter(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time);
static ngx_msec_t ngx_http_chatmaid_retry_time(ngx_http_chatmaid_flow_t *flow);


ngx_int_t
ngx_http_chatmaid_retry_held(ngx_http_chatmaid_flow_t *flow, ngx_msec_t *left)
{
    ngx_msec_int_t                  own;
    ngx_http_request_t             *r;
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    r = flow->request;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    *left = ngx_http_chatmaid_account_limits_held(mcf->zone, conf->account_id);

    if (flow->postponed) {
        own = (ngx_msec_int_t) (flow->next_try - ngx_current_msec);
        *left = ngx_max(*left, (ngx_msec_t) ngx_max(own, 0));
    }

    if (*left == 0 || ngx_http_chatmaid_retry_fits(flow, *left)) {
        return NGX_OK;
    }

    return ngx_http_chatmaid_retry_limited(flow, *left,
                                          "Chatmaid's rate limit was reached");
}


static ngx_int_t
ngx_http_chatmaid_retry_limited(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time, const char *detail)
{
    ngx_http_chatmaid_problem_t  *problem;

    problem = &flow->reply->problem;

    ngx_http_chatmaid_problem_set(flow->request->pool, problem,
                                  NGX_HTTP_CHATMAID_RATE_LIMITED, "%s", detail);

    problem->retry_after = ngx_max((time + 999) / 1000, 1);

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_chatmaid_retry_hold(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t   rc;
    ngx_msec_t  left;

    if (flow->has_place || flow->pace.waiting || flow->pace.called) {
        return ngx_http_chatmaid_retry_place(flow);
    }

    rc = ngx_http_chatmaid_retry_held(flow, &left);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_chatmaid_retry_is_clocked(flow)) {
        return ngx_http_chatmaid_retry_place(flow);
    }

    if (left == 0) {
        return NGX_OK;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, flow->request->connection->log, 0,
                   "chatmaid account held back for %M", left);

    return ngx_http_chatmaid_retry_wait(flow,
                                   ngx_http_chatmaid_retry_jitter(flow, left));
}


/* Whether the account's clock alone decides when the call may begin.  It does
 * not during a pause of the call's own.  After a 429 there is no such pause,
 * because the clock knows for how long the account is held back. */

static ngx_uint_t
ngx_http_chatmaid_retry_is_clocked(ngx_http_chatmaid_flow_t *flow)
{
    return ngx_http_chatmaid_call_pace_is_set(flow->request)
           && (!flow->postponed || flow->reply->problem.limited
               || (ngx_msec_int_t) (flow->next_try - ngx_current_msec) <= 0);
}


/* A further try goes before other calls: its call has had its turn already. */

ngx_int_t
ngx_http_chatmaid_retry_place(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t                              rc;
    ngx_msec_int_t                         left;
    ngx_http_chatmaid_facts_t             *facts;
    ngx_http_chatmaid_call_pace_waiter_t  *pace;

    if (flow->has_place
        || !ngx_http_chatmaid_call_pace_is_set(flow->request))
    {
        return NGX_OK;
    }

    pace = &flow->pace;
    facts = flow->reply->facts;

    pace->handler = ngx_http_chatmaid_retry_pace_handler;
    pace->data = flow;
    pace->ticket.again = (flow->attempts > 0);

    left = ngx_http_chatmaid_flow_left(flow);

    rc = ngx_http_chatmaid_call_pace_wait(flow->request, pace, flow->kind,
                                          ngx_max(left, 0));

    if (rc == NGX_AGAIN || rc == NGX_ERROR) {
        return rc;
    }

    facts->paced = 1;
    facts->pace_time += ngx_current_msec - pace->began;

    if (rc == NGX_OK) {
        flow->has_place = 1;
        return NGX_OK;
    }

    return ngx_http_chatmaid_retry_limited(flow, pace->time,
                                 "the account's pace leaves no place in time");
}


/* The flow is resumed by a timer, because no flow may run within another. */

static void
ngx_http_chatmaid_retry_pace_handler(void *data)
{
    ngx_http_chatmaid_flow_t *flow = data;

    (void) ngx_http_chatmaid_retry_wait(flow, 0);
}


ngx_int_t
ngx_http_chatmaid_retry_pause(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t                       rc;
    ngx_msec_t                      time;
    ngx_http_request_t             *r;
    ngx_http_chatmaid_problem_t    *problem;
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    r = flow->request;
    problem = &flow->reply->problem;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    flow->postponed = 0;

    if (flow->call->result == NGX_HTTP_CHATMAID_CALL_KEPT_CLOSED) {

        /* this does not count as a try: the call is made again at once */

        flow->attempts--;
        flow->kept_closed++;
        flow->has_place = ngx_http_chatmaid_call_pace_is_set(flow->request);

        return ngx_http_chatmaid_retry_postpone(flow, 0);
    }

    if (!problem->retryable) {
        return NGX_DECLINED;
    }

    time = ngx_http_chatmaid_retry_time(flow);

    if (problem->limited) {
        ngx_http_chatmaid_account_limits_hold(mcf->zone, conf->account_id,
                                              time);

        if (ngx_http_chatmaid_call_pace_is_set(r)) {
            ngx_http_chatmaid_call_pace_hold(r,
                              ngx_min(time, NGX_HTTP_CHATMAID_MAX_HOLD));
        }
    }

    if (flow->single || flow->attempts > (ngx_uint_t) conf->retries) {
        return NGX_DECLINED;
    }

    rc = ngx_http_chatmaid_retry_postpone(flow, time);

    if (rc == NGX_AGAIN) {
        ngx_http_chatmaid_counters_add(NGX_HTTP_CHATMAID_COUNT_RETRY
                                       + flow->call->outcome);
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_retry_postpone(ngx_http_chatmaid_flow_t *flow,
    ngx_msec_t time)
{
    flow->postponed = 1;
    flow->next_try = ngx_current_msec + time;

    if (!ngx_http_chatmaid_retry_fits(flow, time)) {
        return NGX_DECLINED;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, flow->request->connection->log, 0,
                   "chatmaid call failed after %ui tries, next one in %M",
                   flow->attempts, time);

    if (ngx_http_chatmaid_retry_is_clocked(flow)) {
        time = 0;

    } else if (flow->reply->problem.retry_after) {
        time = ngx_http_chatmaid_retry_jitter(flow, time);
    }

    return ngx_http_chatmaid_retry_wait(flow, time);
}


static ngx_int_t
ngx_http_chatmaid_retry_wait(ngx_http_chatmaid_flow_t *flow, ngx_msec_t time)
{
    ngx_http_chatmaid_flow_timer(flow, &flow->pause,
                                 ngx_http_chatmaid_flow_resume_handler, flow,
                                 time);
    return NGX_AGAIN;
}


/* Adds up to 25 % jitter, at most 1 s.  Without it all calls that wait for the
 * same moment would begin at once. */

static ngx_msec_t
ngx_http_chatmaid_retry_jitter(ngx_http_chatmaid_flow_t *flow, ngx_msec_t time)
{
    ngx_msec_t  more;

    more = ngx_min(time / 4, NGX_HTTP_CHATMAID_RETRY_JITTER);
    more = ngx_random() % (more + 1);

    return ngx_http_chatmaid_retry_fits(flow, time + more) ? time + more : time;
}


/* The pause that Chatmaid asks for, else exponential backoff. */

static ngx_msec_t
ngx_http_chatmaid_retry_time(ngx_http_chatmaid_flow_t *flow)
{
    ngx_uint_t  i;
    ngx_msec_t  longest;

    if (flow->reply->problem.retry_after) {
        return (ngx_msec_t) flow->reply->problem.retry_after * 1000;
    }

    longest = NGX_HTTP_CHATMAID_RETRY_FIRST_PAUSE;

    for (i = 1; i < flow->attempts; i++) {
        longest = ngx_min(2 * longest, NGX_HTTP_CHATMAID_RETRY_LAST_PAUSE);
    }

    return ngx_random() % (longest + 1);
}


ngx_uint_t
ngx_http_chatmaid_retry_fits(ngx_http_chatmaid_flow_t *flow, ngx_msec_t time)
{
    ngx_msec_int_t  left;

    if (flow->answered) {
        return 0;               /* the deadline has passed */
    }

    left = ngx_http_chatmaid_flow_left(flow);

    return left > 0 && time < (ngx_msec_t) left;
}
