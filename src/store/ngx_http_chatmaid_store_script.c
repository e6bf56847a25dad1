
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_script.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_digits.h"
#include "ngx_http_chatmaid_lua.h"


static u_char *ngx_http_chatmaid_store_script_tagged(u_char *p,
    ngx_http_chatmaid_redis_conf_t *conf, const char *kind,
    ngx_http_chatmaid_claim_t *claim, u_char *id);


/* Each script that reads or writes records begins with record.lua. */
#define ngx_http_chatmaid_store_script(text, lasts)                           \
    { ngx_string(NGX_HTTP_CHATMAID_RECORD_LUA text), lasts, { 0 } }


/* The outcome of a send or a delivery is worth recording even if nobody waits
 * for the reply any more ("lasts").  A claim is not: it would block its record.
 * Nor is an event for a stream: its sender will repeat it. */

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_claim =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_CLAIM_LUA, 0);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_look =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_LOOK_LUA, 0);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_probe =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_PROBE_LUA, 0);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_renew =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_RENEW_LUA, 0);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_finish =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_FINISH_LUA, 1);

ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_mark_ambiguous =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_MARK_AMBIGUOUS_LUA, 1);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_remove =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_REMOVE_LUA, 1);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_add_event =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_ADD_EVENT_LUA, 0);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_stream =
    ngx_http_chatmaid_store_script(NGX_HTTP_CHATMAID_STREAM_LUA, 0);

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_pace =
    { ngx_string(NGX_HTTP_CHATMAID_PACE_LUA), 0, { 0 } };


ngx_int_t
ngx_http_chatmaid_store_script_init(ngx_log_t *log)
{
    ngx_uint_t  i;

    static ngx_http_chatmaid_redis_script_t  *scripts[] = {
        &ngx_http_chatmaid_store_script_claim,
        &ngx_http_chatmaid_store_script_look,
        &ngx_http_chatmaid_store_script_probe,
        &ngx_http_chatmaid_store_script_renew,
        &ngx_http_chatmaid_store_script_finish,
        &ngx_http_chatmaid_store_script_mark_ambiguous,
        &ngx_http_chatmaid_store_script_remove,
        &ngx_http_chatmaid_store_script_add_event,
        &ngx_http_chatmaid_store_script_stream,
        &ngx_http_chatmaid_store_script_pace,
        NULL
    };

    for (i = 0; scripts[i]; i++) {
        if (ngx_http_chatmaid_redis_script_init(scripts[i], log) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_chatmaid_store_script_begin(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim)
{
    words->n = 0;
    words->nkeys = 0;

    ngx_http_chatmaid_store_script_record(words, claim,
                                          ngx_http_chatmaid_claim_id(claim));
}


void
ngx_http_chatmaid_store_script_record(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim,
    u_char *id)
{
    u_char                          *p, *key;
    const char                      *kind;
    ngx_http_chatmaid_redis_conf_t  *conf;

    conf = claim->mcf->redis;
    kind = claim->webhook_event ? "event:" : "op:";

    key = words->keys[words->nkeys];

    p = conf->url.cluster
        ? ngx_http_chatmaid_store_script_tagged(key, conf, kind, claim, id)
        : ngx_http_chatmaid_store_script_name(key, conf, kind, id);

    ngx_http_chatmaid_store_script_key(words, key, p - key);
}


/* In a Cluster all keys of a script must have the same hash tag.  The two
 * records of a send without a key use the fingerprint of their message; the
 * mark of a stream's event uses the hash tag of the stream; any other record
 * uses its id. */

static u_char *
ngx_http_chatmaid_store_script_tagged(u_char *p,
    ngx_http_chatmaid_redis_conf_t *conf, const char *kind,
    ngx_http_chatmaid_claim_t *claim, u_char *id)
{
    p = ngx_cpymem(p, conf->prefix.data, conf->prefix.len);
    p = ngx_cpymem(p, kind, ngx_strlen(kind));

    *p++ = '{';

    if (claim->hash_tag.len) {
        p = ngx_cpymem(p, claim->hash_tag.data, claim->hash_tag.len);

    } else if (claim->auto_named) {
        p = ngx_http_chatmaid_digits_hex(p, claim->fingerprint,
                                         NGX_HTTP_CHATMAID_ID_LEN);
    }

    if (claim->hash_tag.len || claim->auto_named) {
        *p++ = '}';
        return ngx_http_chatmaid_digits_hex(p, id, NGX_HTTP_CHATMAID_ID_LEN);
    }

    p = ngx_http_chatmaid_digits_hex(p, id, NGX_HTTP_CHATMAID_ID_LEN);
    *p++ = '}';

    return p;
}


u_char *
ngx_http_chatmaid_store_script_name(u_char *p,
    ngx_http_chatmaid_redis_conf_t *conf, const char *kind, u_char *id)
{
    p = ngx_cpymem(p, conf->prefix.data, conf->prefix.len);
    p = ngx_cpymem(p, kind, ngx_strlen(kind));

    return ngx_http_chatmaid_digits_hex(p, id, NGX_HTTP_CHATMAID_ID_LEN);
}


void
ngx_http_chatmaid_store_script_key(ngx_http_chatmaid_words_t *words, void *key,
    size_t len)
{
    ngx_uint_t  i;

    for (i = words->n; i > words->nkeys; i--) {
        words->argv[i] = words->argv[i - 1];
        words->len[i] = words->len[i - 1];
    }

    words->argv[i] = key;
    words->len[i] = len;

    words->nkeys++;
    words->n++;
}


void
ngx_http_chatmaid_store_script_word(ngx_http_chatmaid_words_t *words,
    void *data, size_t len)
{
    words->argv[words->n] = data;
    words->len[words->n] = len;
    words->n++;
}


void
ngx_http_chatmaid_store_script_number(ngx_http_chatmaid_words_t *words,
    uint64_t number)
{
    u_char  *p, *last;

    p = words->numbers[words->n];
    last = ngx_http_chatmaid_digits_decimal(p, number);

    ngx_http_chatmaid_store_script_word(words, p, last - p);
}


void
ngx_http_chatmaid_store_script_owner(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_digits_hex(words->owner, claim->owner,
                                 NGX_HTTP_CHATMAID_OWNER_LEN);
    ngx_http_chatmaid_store_script_word(words, words->owner,
                                        sizeof(words->owner));
}


void
ngx_http_chatmaid_store_script_fingerprint(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_digits_hex(words->fingerprint, claim->fingerprint,
                                 NGX_HTTP_CHATMAID_ID_LEN);
    ngx_http_chatmaid_store_script_word(words, words->fingerprint,
                                        sizeof(words->fingerprint));
}


/* A record in flight lives at least as long as its lease. */

void
ngx_http_chatmaid_store_script_lease(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_http_chatmaid_store_script_number(words, claim->lease_time);
    ngx_http_chatmaid_store_script_number(words, ngx_max(claim->ttl,
                                                         claim->lease_time));
}


void
ngx_http_chatmaid_store_script_former_owner(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim, ngx_uint_t known)
{
    u_char  *p;

    p = words->former_owner;

    if (known) {
        p = ngx_http_chatmaid_digits_hex(p, claim->former_owner,
                                         NGX_HTTP_CHATMAID_OWNER_LEN);
    }

    ngx_http_chatmaid_store_script_word(words, words->former_owner,
                                        p - words->former_owner);
}


ngx_http_chatmaid_redis_command_t *
ngx_http_chatmaid_store_script_run(ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_script_t *script, ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_redis_pt handler, void *data)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(conf);

    if (redis == NULL) {
        return NULL;
    }

    return ngx_http_chatmaid_redis_script(redis, script, words->nkeys,
                                          words->n, words->argv, words->len,
                                          handler, data);
}


ngx_int_t
ngx_http_chatmaid_store_script_result(ngx_uint_t error, redisReply *reply)
{
    if (error != NGX_HTTP_CHATMAID_REDIS_OK
        || reply->type != REDIS_REPLY_INTEGER
        || (reply->integer != 0 && reply->integer != 1))
    {
        return NGX_ERROR;
    }

    return reply->integer;
}


u_char *
ngx_http_chatmaid_store_script_fault(u_char *p, ngx_uint_t error,
    redisReply *reply)
{
    if (error == NGX_HTTP_CHATMAID_REDIS_OK) {
        return ngx_sprintf(p, "what no script of ours returns");
    }

    *p++ = '"';
    p = ngx_http_chatmaid_escape(p, (u_char *) reply->str, reply->len);
    *p++ = '"';

    return p;
}


ngx_int_t
ngx_http_chatmaid_store_script_run_claim(ngx_http_chatmaid_claim_t *claim,
    ngx_http_chatmaid_redis_script_t *script, ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_redis_pt handler)
{
    ngx_http_chatmaid_redis_t  *redis;

    redis = ngx_http_chatmaid_redis_get(claim->mcf->redis);

    if (redis == NULL) {
        return NGX_DECLINED;
    }

    /* released by abandon(): a worker that is shutting down keeps the
     * connection until its claims are settled */

    if (!claim->retained) {
        claim->retained = 1;
        ngx_http_chatmaid_redis_retain(redis);
    }

    claim->command = ngx_http_chatmaid_store_script_run(claim->mcf->redis,
                                                        script, words, handler,
                                                        claim);

    return claim->command ? NGX_AGAIN : NGX_DECLINED;
}


void
ngx_http_chatmaid_store_script_log_failed(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_uint_t error, redisReply *reply)
{
    u_char  *p, text[NGX_HTTP_CHATMAID_STORE_SCRIPT_FAULT];

    if (ngx_http_chatmaid_store_script_is_fault(error)
        && ngx_http_chatmaid_alarm_meet(mcf->alarms,
                                 ngx_http_chatmaid_alarm_id("records", NULL)))
    {
        p = ngx_http_chatmaid_store_script_fault(text, error, reply);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid redis can't keep records, it answers %*s; "
                      "meanwhile it counts as away",
                      (size_t) (p - text), text);
    }
}


void
ngx_http_chatmaid_store_script_log_kept(ngx_http_chatmaid_main_conf_t *mcf)
{
    if (ngx_http_chatmaid_alarm_pass(mcf->alarms,
                                 ngx_http_chatmaid_alarm_id("records", NULL)))
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "chatmaid redis keeps records again");
    }
}


ngx_http_chatmaid_store_script_state_t *
ngx_http_chatmaid_store_script_state(
    ngx_http_chatmaid_store_script_state_t *states, ngx_uint_t error,
    redisReply *reply)
{
    redisReply                              **element;
    ngx_http_chatmaid_store_script_state_t   *state;

    if (error != NGX_HTTP_CHATMAID_REDIS_OK
        || reply->type != REDIS_REPLY_ARRAY || reply->elements < 2)
    {
        return NULL;
    }

    element = reply->element;

    if (element[0]->type != REDIS_REPLY_STRING
        || element[1]->type != REDIS_REPLY_INTEGER
        || element[1]->integer < 0
        || element[1]->integer > NGX_HTTP_CHATMAID_STORE_SCRIPT_MAX_TIME)
    {
        return NULL;
    }

    for (state = states; state->name.len; state++) {
        if (element[0]->len == state->name.len
            && ngx_memcmp(element[0]->str, state->name.data, state->name.len)
               == 0)
        {
            return (reply->elements == state->elements) ? state : NULL;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_chatmaid_store_script_take_answer(ngx_http_chatmaid_claim_t *claim,
    redisReply *answer)
{
    claim->answer.len = answer->len;
    claim->answer.data = ngx_pnalloc(claim->pool, answer->len);

    if (claim->answer.data == NULL) {
        claim->result = NGX_HTTP_CHATMAID_NO_STORE;
        claim->reason = "there is no memory";
        return NGX_ERROR;
    }

    ngx_memcpy(claim->answer.data, answer->str, answer->len);

    claim->result = NGX_HTTP_CHATMAID_DONE;

    return NGX_OK;
}
