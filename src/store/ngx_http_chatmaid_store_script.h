
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The scripts that the store runs in Redis, and their arguments.  Each is one
 * atomic step that is safe to run twice; its .lua file tells what it does.
 */


#ifndef _NGX_HTTP_CHATMAID_STORE_SCRIPT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STORE_SCRIPT_H_INCLUDED_


#include "ngx_http_chatmaid_escape.h"
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_store.h"


#define NGX_HTTP_CHATMAID_MAX_WORDS  12


/* The longest name of a key: prefix, kind, hash tag and id. */
#define NGX_HTTP_CHATMAID_MAX_NAME                                            \
    (NGX_HTTP_CHATMAID_REDIS_MAX_PREFIX + sizeof("event:{}") - 1              \
     + NGX_HTTP_CHATMAID_REDIS_MAX_TAG + 2 * NGX_HTTP_CHATMAID_ID_LEN)


/* Unix time in milliseconds: 15 digits, as in record.lua. */
#define NGX_HTTP_CHATMAID_STORE_SCRIPT_MAX_TIME  999999999999999


/* The size of a text that says how a script has failed. */
#define NGX_HTTP_CHATMAID_STORE_SCRIPT_FAULT                                  \
    (NGX_HTTP_CHATMAID_ESCAPE_SIZE + sizeof("\"\"") - 1)


/* A script's keys and arguments.  What they point to must outlive this. */

typedef struct {
    ngx_uint_t       n;
    ngx_uint_t       nkeys;
    const char      *argv[NGX_HTTP_CHATMAID_MAX_WORDS];
    size_t           len[NGX_HTTP_CHATMAID_MAX_WORDS];
    u_char           numbers[NGX_HTTP_CHATMAID_MAX_WORDS][NGX_INT64_LEN];
    u_char           fingerprint[2 * NGX_HTTP_CHATMAID_ID_LEN];
    u_char           owner[2 * NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char           former_owner[2 * NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char           keys[2][NGX_HTTP_CHATMAID_MAX_NAME];
} ngx_http_chatmaid_words_t;


/* What a script calls a state of a record, and the result of the claim. */

typedef struct {
    ngx_str_t        name;
    ngx_uint_t       result;
    ngx_uint_t       elements;         /* of the reply */
} ngx_http_chatmaid_store_script_state_t;


/* At configuration, if there is a chatmaid_redis.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_store_script_init(ngx_log_t *log);

/* Begins the words of a script: the key of the claim's record. */
void ngx_http_chatmaid_store_script_begin(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim);

/* Add to them: the key of another record of the claim's kind, any key, a word,
 * a number, the claim's owner, its fingerprint, the lease time and for how long
 * the record is kept meanwhile.  Keys go before all words. */
void ngx_http_chatmaid_store_script_record(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim, u_char *id);
void ngx_http_chatmaid_store_script_key(ngx_http_chatmaid_words_t *words,
    void *key, size_t len);
void ngx_http_chatmaid_store_script_word(ngx_http_chatmaid_words_t *words,
    void *data, size_t len);
void ngx_http_chatmaid_store_script_number(ngx_http_chatmaid_words_t *words,
    uint64_t number);
void ngx_http_chatmaid_store_script_owner(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim);
void ngx_http_chatmaid_store_script_fingerprint(
    ngx_http_chatmaid_words_t *words, ngx_http_chatmaid_claim_t *claim);
void ngx_http_chatmaid_store_script_lease(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim);

/* Adds the owner that the record had before; an empty word if none is known. */
void ngx_http_chatmaid_store_script_former_owner(
    ngx_http_chatmaid_words_t *words, ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t known);

/* Runs a script as ngx_http_chatmaid_redis_script() does.  NULL also if this
 * worker has no client. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_store_script_run(
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_script_t *script, ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* The same for a claim, whose "command" it becomes: NGX_AGAIN, or NGX_DECLINED
 * if the script can't be sent.  A worker that is shutting down keeps its
 * connection until the claim is abandoned. */
ngx_int_t ngx_http_chatmaid_store_script_run_claim(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_redis_script_t *script,
    ngx_http_chatmaid_words_t *words, ngx_http_chatmaid_redis_pt handler);

/* Logs that a script has failed for a mistake, such as a key of another type or
 * a missing permission: one line until records are kept again.  The client
 * tells of a server that does not answer. */
void ngx_http_chatmaid_store_script_log_failed(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_uint_t error, redisReply *reply);

/* Logs that records are kept again, where they were not. */
void ngx_http_chatmaid_store_script_log_kept(
    ngx_http_chatmaid_main_conf_t *mcf);

/* What a script other than claim.lua returned: 1 or 0.  NGX_ERROR: it has
 * failed, or this is no reply of such a script. */
ngx_int_t ngx_http_chatmaid_store_script_result(ngx_uint_t error,
    redisReply *reply);

/* Which of "states", the last of which has no name, a script has returned as
 * {state, time, ...}.  NULL: it has failed, or this is no such reply. */
ngx_http_chatmaid_store_script_state_t *ngx_http_chatmaid_store_script_state(
    ngx_http_chatmaid_store_script_state_t *states, ngx_uint_t error,
    redisReply *reply);

/* Takes the answer that a script has found as the claim's, which it is done
 * with.  NGX_OK; NGX_ERROR: no memory, which the claim says. */
ngx_int_t ngx_http_chatmaid_store_script_take_answer(
    ngx_http_chatmaid_claim_t *claim, redisReply *answer);

/* Whether a script that has failed did so for a mistake, which an operator can
 * mend: what ended in "error" otherwise did not reach a server that serves. */
#define ngx_http_chatmaid_store_script_is_fault(error)                        \
    ((error) == NGX_HTTP_CHATMAID_REDIS_ERROR                                 \
     || (error) == NGX_HTTP_CHATMAID_REDIS_OK)

/* Writes what the reply to it was, for the log.  Returns the end. */
u_char *ngx_http_chatmaid_store_script_fault(u_char *p, ngx_uint_t error,
    redisReply *reply);

/* Writes the name of a key in Redis (prefix, kind, id in hexadecimal), at most
 * NGX_HTTP_CHATMAID_MAX_NAME bytes.  Returns its end. */
u_char *ngx_http_chatmaid_store_script_name(u_char *p,
    ngx_http_chatmaid_redis_conf_t *conf, const char *kind, u_char *id);


extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_claim;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_look;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_probe;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_renew;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_finish;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_mark_ambiguous;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_remove;
extern ngx_http_chatmaid_redis_script_t
    ngx_http_chatmaid_store_script_add_event;
extern ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_stream;
extern ngx_http_chatmaid_redis_script_t  ngx_http_chatmaid_store_script_pace;


#endif /* _NGX_HTTP_CHATMAID_STORE_SCRIPT_H_INCLUDED_ */
