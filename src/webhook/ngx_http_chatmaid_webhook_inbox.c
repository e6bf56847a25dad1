
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_inbox.h"
#include "ngx_http_chatmaid_store_script.h"


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_webhook_inbox_add(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox,
    ngx_http_chatmaid_webhook_event_t *event, ngx_str_t *body, ngx_msec_t ttl,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_claim_t  mark;
    ngx_http_chatmaid_words_t  words;

    /* the record of a delivery that is done; it never had an owner */

    ngx_memzero(&mark, sizeof(ngx_http_chatmaid_claim_t));

    ngx_memcpy(mark.id, event->id, NGX_HTTP_CHATMAID_ID_LEN);
    ngx_memcpy(mark.fingerprint, event->id, NGX_HTTP_CHATMAID_ID_LEN);

    mark.webhook_event = 1;
    mark.mcf = mcf;
    mark.ttl = ttl;

    ngx_http_chatmaid_store_script_begin(&words, &mark);

    ngx_http_chatmaid_store_script_key(&words, inbox->key.data,
                                       inbox->key.len);
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
ngx_http_chatmaid_webhook_inbox_added(ngx_uint_t error, redisReply *reply)
{
    switch (ngx_http_chatmaid_store_script_result(error, reply)) {

    case 1:
        return NGX_OK;

    case 0:
        return NGX_DECLINED;

    default:
        ngx_http_chatmaid_store_script_log_error(error, reply);
        return NGX_ERROR;
    }
}
