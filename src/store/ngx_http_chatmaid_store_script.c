
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_store_script.h"


/* The version of the record; one that a script does not know is left alone. */
#define NGX_HTTP_CHATMAID_RECORD_VERSION  "1"


/*
 * All scripts have KEYS[1], the record, and ARGV: owner, fingerprint, ttl and
 * lease in milliseconds.  Replication by effects (needed after TIME before
 * Redis 7) is asked for first.  A record lives for its ttl, but one in flight
 * at least as long as its lease.
 */

#define NGX_HTTP_CHATMAID_SCRIPT_NOW                                          \
    "redis.replicate_commands() "                                             \
    "local time = redis.call('TIME') "                                        \
    "local now = time[1] * 1000 + math.floor(time[2] / 1000) "

/* Whether the record is there, in flight, and ours. */

#define NGX_HTTP_CHATMAID_SCRIPT_OURS                                         \
    "local r = redis.call('HMGET', KEYS[1], 'version', 'state', 'owner', "    \
    "                     'maybe', 'lease') "                                 \
    "if r[1] ~= '" NGX_HTTP_CHATMAID_RECORD_VERSION "' "                      \
    "or r[2] ~= 'in_flight' or r[3] ~= ARGV[1] then return 0 end "


/*
 * ARGV further: maybe, an owner who has ended (its lease is as good as over),
 * or none, and of a keyless send the window and its number; KEYS[2]: the record
 * of the window before.
 */

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_claim_script = {
    ngx_string(
    NGX_HTTP_CHATMAID_SCRIPT_NOW
    "local key, previous, window = KEYS[1], 0, tonumber(ARGV[7]) "
    "if window > 0 and math.floor(now / window) ~= tonumber(ARGV[8]) then "
    "    return {'clock', now, 0} "
    "end "
    "if KEYS[2] then "
    "    local begun = tonumber(redis.call('HGET', KEYS[2], 'begun')) "
    "    if begun and now - begun < window then "
    "        key, previous = KEYS[2], 1 "
    "    end "
    "end "
    "local r = redis.call('HMGET', key, 'version', 'state', 'fingerprint', "
    "                     'owner', 'maybe', 'lease', 'answer', 'status') "
    "local maybe = ARGV[5] "
    "if r[1] then "
    "    if r[1] ~= '" NGX_HTTP_CHATMAID_RECORD_VERSION "' then "
    "        return {'version', now, previous} "
    "    end "
    "    if r[3] ~= ARGV[2] then return {'reused', now, previous} end "
    "    if r[2] == 'done' then "
    "        return {'done', now, previous, r[7], r[8]} "
    "    end "
    "    if r[2] ~= 'in_flight' or r[4] ~= ARGV[1] then "
    "        if r[2] == 'in_flight' and r[4] ~= ARGV[6] "
    "        and tonumber(r[6]) > now then "
    "            return {'in_flight', now, previous} "
    "        end "
    "        maybe = '1' "
    "    elseif r[5] == '1' then "
    "        maybe = '1' "
    "    end "
    "else "
    "    redis.call('HSET', key, 'begun', string.format('%.0f', now)) "
    "end "
    "redis.call('HSET', key, 'version', "
    "           '" NGX_HTTP_CHATMAID_RECORD_VERSION "', "
    "           'state', 'in_flight', 'fingerprint', ARGV[2], "
    "           'owner', ARGV[1], 'maybe', maybe, "
    "           'lease', string.format('%.0f', now + ARGV[4])) "
    "redis.call('PEXPIRE', key, math.max(ARGV[3], ARGV[4])) "
    "return {'claimed', now, previous, maybe}"),
    { 0 }
};


ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_renew_script = {
    ngx_string(
    NGX_HTTP_CHATMAID_SCRIPT_NOW
    NGX_HTTP_CHATMAID_SCRIPT_OURS
    "redis.call('HSET', KEYS[1], 'lease', "
    "           string.format('%.0f', now + ARGV[4])) "
    "redis.call('PEXPIRE', KEYS[1], math.max(ARGV[3], ARGV[4])) "
    "return 1"),
    { 0 }
};


/* ARGV[5]: Chatmaid's answer; ARGV[6]: its status */

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_finish_script = {
    ngx_string(
    NGX_HTTP_CHATMAID_SCRIPT_NOW
    "local r = redis.call('HMGET', KEYS[1], 'version', 'state', "
    "                     'fingerprint') "
    "if r[1] and (r[1] ~= '" NGX_HTTP_CHATMAID_RECORD_VERSION "' "
    "             or r[2] == 'done' or r[3] ~= ARGV[2]) then "
    "    return 0 "
    "end "
    "if not r[1] then "
    "    redis.call('HSET', KEYS[1], 'begun', string.format('%.0f', now)) "
    "end "
    "redis.call('HDEL', KEYS[1], 'owner', 'lease', 'maybe') "
    "redis.call('HSET', KEYS[1], 'version', "
    "           '" NGX_HTTP_CHATMAID_RECORD_VERSION "', 'state', 'done', "
    "           'fingerprint', ARGV[2], 'answer', ARGV[5], "
    "           'status', ARGV[6]) "
    "redis.call('PEXPIRE', KEYS[1], ARGV[3]) "
    "return 1"),
    { 0 }
};


ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_ambiguous_script = {
    ngx_string(
    NGX_HTTP_CHATMAID_SCRIPT_OURS
    "redis.call('HSET', KEYS[1], 'state', 'ambiguous', 'maybe', '1') "
    "return 1"),
    { 0 }
};


ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_remove_script = {
    ngx_string(
    NGX_HTTP_CHATMAID_SCRIPT_NOW
    NGX_HTTP_CHATMAID_SCRIPT_OURS
    "if r[4] ~= '0' or tonumber(r[5]) <= now then "
    "    redis.call('HSET', KEYS[1], 'state', 'ambiguous', 'maybe', '1') "
    "    return 0 "
    "end "
    "redis.call('DEL', KEYS[1]) "
    "return 1"),
    { 0 }
};


/*
 * A webhook's event to a stream, and its mark that it has been.  KEYS[2]: the
 * stream; ARGV[3]: the mark's ttl, 0: none; ARGV further: the longest that the
 * stream may be (about; 0: any), event, message ID, timestamp, body.  An error
 * ends the script before it leaves a mark.
 */

ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_stream_script = {
    ngx_string(
    NGX_HTTP_CHATMAID_SCRIPT_NOW
    "local marked, state = ARGV[3] ~= '0', {} "
    "if marked then "
    "    state = redis.call('HMGET', KEYS[1], 'version', 'state') "
    "    if state[1] == '" NGX_HTTP_CHATMAID_RECORD_VERSION "' "
    "    and state[2] == 'done' then return 0 end "
    "    marked = not state[1] "
    "             or state[1] == '" NGX_HTTP_CHATMAID_RECORD_VERSION "' "
    "end "
    "local words = {'XADD', KEYS[2]} "
    "if ARGV[5] ~= '0' then "
    "    words[3], words[4], words[5] = 'MAXLEN', '~', ARGV[5] "
    "end "
    "for _, word in ipairs({'*', 'event', ARGV[6], 'message_id', ARGV[7], "
    "                       'timestamp', ARGV[8], "
    "                       'received', string.format('%.0f', now), "
    "                       'body', ARGV[9]}) do "
    "    words[#words + 1] = word "
    "end "
    "redis.call(unpack(words)) "
    "if marked then "
    "    redis.call('HDEL', KEYS[1], 'owner', 'lease', 'maybe') "
    "    redis.call('HSET', KEYS[1], 'version', "
    "               '" NGX_HTTP_CHATMAID_RECORD_VERSION "', 'state', 'done', "
    "               'begun', string.format('%.0f', now), "
    "               'fingerprint', ARGV[2], 'answer', '', 'status', '200') "
    "    redis.call('PEXPIRE', KEYS[1], ARGV[3]) "
    "end "
    "return 1"),
    { 0 }
};


ngx_int_t
ngx_http_chatmaid_store_script_init(ngx_log_t *log)
{
    ngx_uint_t  i;

    static ngx_http_chatmaid_redis_script_t  *scripts[] = {
        &ngx_http_chatmaid_claim_script,
        &ngx_http_chatmaid_renew_script,
        &ngx_http_chatmaid_finish_script,
        &ngx_http_chatmaid_ambiguous_script,
        &ngx_http_chatmaid_remove_script,
        &ngx_http_chatmaid_stream_script,
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

    ngx_hex_dump(words->owner, claim->owner, NGX_HTTP_CHATMAID_OWNER_LEN);
    ngx_http_chatmaid_store_script_word(words, words->owner, sizeof(words->owner));

    ngx_hex_dump(words->fingerprint, claim->fingerprint,
                 NGX_HTTP_CHATMAID_ID_LEN);
    ngx_http_chatmaid_store_script_word(words, words->fingerprint,
                                        sizeof(words->fingerprint));

    ngx_http_chatmaid_store_script_number(words, claim->ttl);
    ngx_http_chatmaid_store_script_number(words, claim->lease_time);
}


void
ngx_http_chatmaid_store_script_record(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim,
    u_char *id)
{
    u_char  *p, *key;

    key = words->keys[words->nkeys];
    p = ngx_http_chatmaid_store_script_name(key, claim->mcf->redis,
                                            claim->webhook_event ? "event:" : "op:", id);

    ngx_http_chatmaid_store_script_key(words, key, p - key);
}


u_char *
ngx_http_chatmaid_store_script_name(u_char *p, ngx_http_chatmaid_redis_conf_t *conf,
    const char *kind, u_char *id)
{
    p = ngx_cpymem(p, conf->prefix.data, conf->prefix.len);
    p = ngx_cpymem(p, kind, ngx_strlen(kind));

    return ngx_hex_dump(p, id, NGX_HTTP_CHATMAID_ID_LEN);
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
ngx_http_chatmaid_store_script_word(ngx_http_chatmaid_words_t *words, void *data,
    size_t len)
{
    words->argv[words->n] = data;
    words->len[words->n] = len;
    words->n++;
}


void
ngx_http_chatmaid_store_script_number(ngx_http_chatmaid_words_t *words,
    int64_t number)
{
    u_char  *p;

    p = words->numbers[words->n];

    ngx_http_chatmaid_store_script_word(words, p, ngx_sprintf(p, "%L", number) - p);
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
