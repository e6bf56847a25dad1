
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_request.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_counters.h"


static void ngx_http_chatmaid_webhook_request_cleanup(void *data);
static void ngx_http_chatmaid_webhook_request_judge(
    ngx_http_chatmaid_webhook_t *wh, const char *result);
static ngx_int_t ngx_http_chatmaid_webhook_request_refuse(
    ngx_http_request_t *r, ngx_http_chatmaid_webhook_t *wh, ngx_int_t rc);


ngx_http_chatmaid_webhook_t *
ngx_http_chatmaid_webhook_request_create(ngx_http_request_t *r,
    ngx_http_chatmaid_step_pt *table)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_chatmaid_webhook_t  *wh;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_chatmaid_webhook_t));
    if (cln == NULL) {
        return NULL;
    }

    wh = cln->data;
    ngx_memzero(wh, sizeof(ngx_http_chatmaid_webhook_t));

    wh->request = r;

    ngx_http_chatmaid_steps_init(&wh->steps, table, wh);

    cln->handler = ngx_http_chatmaid_webhook_request_cleanup;

    return wh;
}


ngx_http_chatmaid_webhook_t *
ngx_http_chatmaid_webhook_request_get(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->main->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_chatmaid_webhook_request_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


static void
ngx_http_chatmaid_webhook_request_cleanup(void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(wh->request, ngx_http_chatmaid_module);

    if (wh->command) {
        ngx_http_chatmaid_redis_cancel(ngx_http_chatmaid_redis_get(mcf->redis),
                                       wh->command);
    }

    if (wh->delivery) {
        ngx_http_chatmaid_webhook_delivery_abandon(wh->delivery);
    }
}


ngx_int_t
ngx_http_chatmaid_webhook_request_run(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh)
{
    ngx_int_t  rc;

    wh->reply = ngx_http_chatmaid_answer_get_reply(r);

    if (wh->reply == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_chatmaid_steps_run(r, &wh->steps);

    switch (rc) {

    case NGX_OK:
        wh->state = NGX_HTTP_CHATMAID_WEBHOOK_PASSED;
        wh->handed_on = 1;
        ngx_http_chatmaid_webhook_request_judge(wh, "verified");
        return NGX_DECLINED;

    case NGX_AGAIN:
        /* the whole request has arrived: the delivery goes on even if the
         * sender leaves */
        r->read_event_handler = ngx_http_block_reading;
        return NGX_DONE;

    case NGX_DECLINED:
    case NGX_ERROR:
        wh->state = NGX_HTTP_CHATMAID_WEBHOOK_ANSWERED;
        ngx_http_finalize_request(r,
                       ngx_http_chatmaid_webhook_request_refuse(r, wh, rc));
        return NGX_DONE;
    }

    return rc;                      /* the request may have been freed */
}


/* Sets the result of the request.  The first time, the age of the event is
 * counted if its signature, which covers the time, has been verified. */

static void
ngx_http_chatmaid_webhook_request_judge(ngx_http_chatmaid_webhook_t *wh,
    const char *result)
{
    int64_t      age;
    ngx_time_t  *tp;

    if (wh->result == NULL && wh->authentic) {
        tp = ngx_timeofday();
        age = (tp->sec - wh->signature.time) * 1000 + tp->msec;

        ngx_http_chatmaid_counters_observe(
                                     &ngx_http_chatmaid_counters->webhook_age,
                                     (ngx_msec_t) ngx_max(age, 0));
    }

    wh->result = result;
}


/* Returns what the output filter returned. */

static ngx_int_t
ngx_http_chatmaid_webhook_request_refuse(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_int_t rc)
{
    if (rc == NGX_ERROR) {
        ngx_http_chatmaid_webhook_request_judge(wh,
                             ngx_http_chatmaid_problem_name(
                                           NGX_HTTP_CHATMAID_INTERNAL_ERROR));

        return ngx_http_chatmaid_answer_failure(r, wh->reply, rc);
    }

    ngx_http_chatmaid_webhook_request_judge(wh,
                      ngx_http_chatmaid_problem_name(wh->reply->problem.code));

    /* the detail is the module's own text: it holds no byte of the request */

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "chatmaid webhook refused: %s, %V", wh->result,
                  &wh->reply->problem.detail);

    return ngx_http_chatmaid_answer_problem(r, wh->reply);
}


ngx_int_t
ngx_http_chatmaid_webhook_request_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result)
{
    ngx_http_chatmaid_webhook_request_judge(wh, result);
    wh->state = NGX_HTTP_CHATMAID_WEBHOOK_ANSWERED;

    ngx_http_finalize_request(r, ngx_http_chatmaid_answer_empty(r, wh->reply));

    return NGX_DONE;
}
