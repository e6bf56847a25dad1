
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_inbox.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_redis_slot.h"
#include "ngx_http_chatmaid_store_script.h"


static void ngx_http_chatmaid_webhook_inbox_log_refused(
    ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox, ngx_uint_t error,
    redisReply *reply);


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_webhook_inbox_add(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *body, ngx_msec_t ttl,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_claim_t  mark;
    ngx_http_chatmaid_words_t  words;

    /* the mark is the record of a finished delivery; it never had an owner */

    ngx_memzero(&mark, sizeof(ngx_http_chatmaid_claim_t));

    ngx_memcpy(mark.id, event->id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(mark.fingerprint, event->id, NGX_HTTP_CHATMAID_ID_LEN);

    mark.webhook_event = 1;
    mark.mcf = mcf;
    mark.ttl = ttl;
    mark.hash_tag = ngx_http_chatmaid_redis_slot_tag(&inbox->key);

    ngx_http_chatmaid_store_script_begin(&words, &mark);

    ngx_http_chatmaid_store_script_key(&words, inbox->key.data,
                                       inbox->key.len);
    ngx_http_chatmaid_store_script_fingerprint(&words, &mark);
    ngx_http_chatmaid_store_script_number(&words, mark.ttl);
    ngx_http_chatmaid_store_script_number(&words, inbox->maxlen);
    ngx_http_chatmaid_store_script_word(&words, event->name.data,
                                        event->name.len);
    ngx_http_chatmaid_store_script_word(&words, event->message_id.data,
                                        event->message_id.len);
    ngx_http_chatmaid_store_script_word(&words, event->timestamp.data,
                                        event->timestamp.len);
    ngx_http_chatmaid_store_script_word(&words, body->data, body->len);

    return ngx_http_chatmaid_store_script_run(mcf->redis,
                                      &ngx_http_chatmaid_store_script_add_event,
                                      &words, handler, data);
}


ngx_int_t
ngx_http_chatmaid_webhook_inbox_added(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox, ngx_uint_t error,
    redisReply *reply)
{
    ngx_int_t  rc;

    rc = ngx_http_chatmaid_store_script_result(error, reply);

    if (rc == NGX_ERROR) {
        ngx_http_chatmaid_webhook_inbox_log_refused(mcf, inbox, error, reply);
        return NGX_ERROR;
    }

    if (ngx_http_chatmaid_alarm_pass(mcf->alarms,
                          ngx_http_chatmaid_alarm_id("stream", &inbox->key)))
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid stream \"%V\" takes events again",
                      &inbox->key);
    }

    return (rc == 1) ? NGX_OK : NGX_DECLINED;
}


/* Only an error that Redis reports is logged here.  If Redis is away, the Redis
 * client has already logged what that means for streams. */

static void
ngx_http_chatmaid_webhook_inbox_log_refused(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox, ngx_uint_t error,
    redisReply *reply)
{
    u_char  *p, text[NGX_HTTP_CHATMAID_STORE_SCRIPT_FAULT];

    if (ngx_http_chatmaid_store_script_is_fault(error)
        && ngx_http_chatmaid_alarm_meet(mcf->alarms,
                          ngx_http_chatmaid_alarm_id("stream", &inbox->key)))
    {
        p = ngx_http_chatmaid_store_script_fault(text, error, reply);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid stream \"%V\" takes no events, Redis answers "
                      "%*s; meanwhile they are answered 503, and "
                      "Chatmaid sends them again",
                      &inbox->key, (size_t) (p - text), text);
    }
}
