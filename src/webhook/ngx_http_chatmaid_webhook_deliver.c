
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_deliver.h"
#include "ngx_http_chatmaid_webhook_inbox.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_notes.h"


#define NGX_HTTP_CHATMAID_WEBHOOK_RETRY_AFTER  5   /* seconds */


static void ngx_http_chatmaid_webhook_deliver_add_handler(void *data,
    ngx_uint_t error, redisReply *reply);
static void ngx_http_chatmaid_webhook_deliver_claim_handler(void *data);
static ngx_int_t ngx_http_chatmaid_webhook_deliver_busy(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_uint_t code, const char *detail);


/* The message has changed.  The note makes requests that wait for the message
 * read it at once. */

ngx_int_t
ngx_http_chatmaid_webhook_deliver_note(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    u_char                          id[NGX_HTTP_CHATMAID_ID_LEN];
    uint64_t                        stamp;
    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (wh->event.message_id.len == 0
        || !ngx_http_chatmaid_webhook_event_of_message(&wh->event))
    {
        return NGX_OK;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    if (!ngx_http_chatmaid_notes_wanted(mcf)) {
        return NGX_OK;
    }

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (ngx_http_chatmaid_notes_id(r->pool, &conf->account_name,
                                   &wh->event.message_id, id)
        != NGX_OK
        || ngx_http_chatmaid_crypto_random(r->connection->log,
                                           (u_char *) &stamp, sizeof(stamp))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_notes_leave(mcf, id, stamp ? stamp : 1);

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_webhook_deliver_add(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_inbox == NULL) {
        return NGX_OK;
    }

    ngx_http_chatmaid_facts_store_asked(wh->reply->facts);

    wh->command = ngx_http_chatmaid_webhook_inbox_add(mcf,
                               conf->webhook_inbox, &wh->event, &wh->body,
                               conf->webhook_dedup,
                               ngx_http_chatmaid_webhook_deliver_add_handler,
                               wh);

    return wh->command ? NGX_AGAIN : NGX_ERROR;
}


static void
ngx_http_chatmaid_webhook_deliver_add_handler(void *data, ngx_uint_t error,
    redisReply *reply)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(wh->request, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(wh->request, ngx_http_chatmaid_module);

    wh->command = NULL;
    wh->added = ngx_http_chatmaid_webhook_inbox_added(mcf, conf->webhook_inbox,
                                                      error, reply);

    ngx_http_chatmaid_steps_resume(wh->request, &wh->steps);
}


ngx_int_t
ngx_http_chatmaid_webhook_deliver_added(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_inbox == NULL) {
        return NGX_OK;
    }

    ngx_http_chatmaid_facts_store_answered(wh->reply->facts,
                                           (wh->added == NGX_ERROR)
                                           ? NGX_HTTP_CHATMAID_STORE_NONE
                                           : NGX_HTTP_CHATMAID_STORE_REDIS);
    switch (wh->added) {

    case NGX_OK:
        return ngx_http_chatmaid_webhook_request_acknowledge(r, wh,
                                                             "verified");

    case NGX_DECLINED:
        return ngx_http_chatmaid_webhook_request_acknowledge(r, wh,
                                                             "duplicate");
    }

    return ngx_http_chatmaid_webhook_deliver_busy(r, wh,
                                          NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                          "Redis did not take the event");
}


/* If no store answers, the event is not refused: it is handed on without a
 * mark. */

ngx_int_t
ngx_http_chatmaid_webhook_deliver_claim(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_loc_conf_t   *conf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);
    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_dedup == 0) {
        return NGX_OK;
    }

    wh->delivery = ngx_http_chatmaid_webhook_delivery_create(mcf,
                                                         wh->event.id,
                                                         conf->webhook_dedup);
    if (wh->delivery == NULL) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_facts_store_asked(wh->reply->facts);

    return ngx_http_chatmaid_webhook_delivery_ask(wh->delivery,
                             ngx_http_chatmaid_webhook_deliver_claim_handler,
                             wh);
}


static void
ngx_http_chatmaid_webhook_deliver_claim_handler(void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_http_chatmaid_steps_resume(wh->request, &wh->steps);
}


ngx_int_t
ngx_http_chatmaid_webhook_deliver_claimed(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_webhook_t  *wh = data;

    ngx_uint_t                             result;
    const char                            *reason;
    ngx_http_chatmaid_loc_conf_t          *conf;
    ngx_http_chatmaid_webhook_delivery_t  *delivery;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->webhook_dedup == 0) {
        return NGX_OK;
    }

    delivery = wh->delivery;
    result = delivery->lease.claim.result;

    ngx_http_chatmaid_facts_store_answered(wh->reply->facts,
                                           delivery->lease.claim.store);

    if (result == NGX_HTTP_CHATMAID_CLAIMED) {
        ngx_http_chatmaid_lease_begin(&delivery->lease);
        return NGX_OK;
    }

    reason = delivery->lease.claim.reason;

    wh->delivery = NULL;
    ngx_http_chatmaid_webhook_delivery_abandon(delivery);

    switch (result) {

    case NGX_HTTP_CHATMAID_DONE:
        return ngx_http_chatmaid_webhook_request_acknowledge(r, wh,
                                                             "duplicate");

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
        return ngx_http_chatmaid_webhook_deliver_busy(r, wh,
                                         NGX_HTTP_CHATMAID_DELIVERY_IN_FLIGHT,
                                         "the event is being delivered");
    }

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "chatmaid webhook is handed on without a mark, %s",
                  reason ? reason : "the store does not say");

    return NGX_OK;
}


/* Refuses the webhook for now: the sender is asked to try again soon. */

static ngx_int_t
ngx_http_chatmaid_webhook_deliver_busy(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, ngx_uint_t code, const char *detail)
{
    ngx_http_chatmaid_problem_set(r->pool, &wh->reply->problem, code, "%s",
                                  detail);
    wh->reply->problem.retry_after = NGX_HTTP_CHATMAID_WEBHOOK_RETRY_AFTER;

    return NGX_DECLINED;
}
