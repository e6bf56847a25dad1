
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The scripts that the store runs in Redis, and their arguments.  Each script
 * is one atomic step that is safe to run twice; its .lua file describes it.
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


/* The size of the buffer for ngx_http_chatmaid_store_script_fault(). */
#define NGX_HTTP_CHATMAID_STORE_SCRIPT_FAULT                                  \
    (NGX_HTTP_CHATMAID_ESCAPE_SIZE + sizeof("\"\"") - 1)


/* The keys and arguments ("words") of a script.  It points to the caller's
 * data, which must outlive it, and into itself: so it must not be copied. */

typedef struct {
    ngx_uint_t       n;                /* keys and arguments */
    ngx_uint_t       nkeys;
    const char      *argv[NGX_HTTP_CHATMAID_MAX_WORDS];
    size_t           len[NGX_HTTP_CHATMAID_MAX_WORDS];
    u_char           numbers[NGX_HTTP_CHATMAID_MAX_WORDS][NGX_INT64_LEN];
    u_char           fingerprint[2 * NGX_HTTP_CHATMAID_ID_LEN];
    u_char           owner[2 * NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char           former_owner[2 * NGX_HTTP_CHATMAID_OWNER_LEN];
    u_char           keys[2][NGX_HTTP_CHATMAID_MAX_NAME];
} ngx_http_chatmaid_words_t;


/* What a script calls a state of a record, and the claim's result for it. */

typedef struct {
    ngx_str_t        name;
    ngx_uint_t       result;
    ngx_uint_t       elements;         /* of the reply */
} ngx_http_chatmaid_store_script_state_t;


/* Prepares all scripts; called at configuration if there is a chatmaid_redis.
 * NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_store_script_init(ngx_log_t *log);

/* Begins the words of a script with the key of the claim's record. */
void ngx_http_chatmaid_store_script_begin(ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_claim_t *claim);

/*
 * Add to the words: the key of another record of the claim's kind; any key; a
 * word; a number; the claim's owner; its fingerprint; its lease time and for
 * how long the record is kept in flight (two numbers, in milliseconds).  Keys
 * are put before all other words.  There are at most MAX_WORDS words, with at
 * most two record keys.
 */
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

/* Adds claim->former_owner, or an empty word if it is not known. */
void ngx_http_chatmaid_store_script_former_owner(
    ngx_http_chatmaid_words_t *words, ngx_http_chatmaid_claim_t *claim,
    ngx_uint_t known);

/* Runs a script by ngx_http_chatmaid_redis_script(), and returns its handle.
 * NULL: the command could not be queued, or this worker has no Redis client;
 * the handler won't be called. */
ngx_http_chatmaid_redis_command_t *ngx_http_chatmaid_store_script_run(
    ngx_http_chatmaid_redis_conf_t *conf,
    ngx_http_chatmaid_redis_script_t *script, ngx_http_chatmaid_words_t *words,
    ngx_http_chatmaid_redis_pt handler, void *data);

/* The same for a claim: claim->command becomes the handle, and the handler gets
 * the claim as its data.  NGX_AGAIN, or NGX_DECLINED if the script can't be
 * sent.  Retains the connection until the claim is abandoned, so that a worker
 * that is shutting down keeps it. */
ngx_int_t ngx_http_chatmaid_store_script_run_claim(
    ngx_http_chatmaid_claim_t *claim, ngx_http_chatmaid_redis_script_t *script,
    ngx_http_chatmaid_words_t *words, ngx_http_chatmaid_redis_pt handler);

/* Logs that a script has failed because of a mistake that an operator can fix,
 * such as a key of another type or a missing permission: one line until records
 * are kept again.  The Redis client itself logs that a server does not
 * answer. */
void ngx_http_chatmaid_store_script_log_failed(
    ngx_http_chatmaid_main_conf_t *mcf, ngx_uint_t error, redisReply *reply);

/* Logs that records are kept again, if the log says that they were not. */
void ngx_http_chatmaid_store_script_log_kept(
    ngx_http_chatmaid_main_conf_t *mcf);

/* Returns what a script that returns 0 or 1 has returned, or NGX_ERROR if it
 * has failed or the reply is not of that form. */
ngx_int_t ngx_http_chatmaid_store_script_result(ngx_uint_t error,
    redisReply *reply);

/* Finds in "states", which ends with an empty name, the state that a script has
 * returned as {state, time, ...}.  NULL: the script has failed, or the reply is
 * not of that form. */
ngx_http_chatmaid_store_script_state_t *ngx_http_chatmaid_store_script_state(
    ngx_http_chatmaid_store_script_state_t *states, ngx_uint_t error,
    redisReply *reply);

/* Copies the answer that a script has found to claim->answer, in the pool, and
 * sets claim->result to DONE.  NGX_OK; NGX_ERROR: no memory, and claim->result
 * is NO_STORE. */
ngx_int_t ngx_http_chatmaid_store_script_take_answer(
    ngx_http_chatmaid_claim_t *claim, redisReply *answer);

/* Whether a script that has failed did so because of a mistake that an operator
 * can fix.  With any other "error" the command did not reach a server that is
 * able to serve. */
#define ngx_http_chatmaid_store_script_is_fault(error)                        \
    ((error) == NGX_HTTP_CHATMAID_REDIS_ERROR                                 \
     || (error) == NGX_HTTP_CHATMAID_REDIS_OK)

/* Writes for the log what the server replied to a script for which is_fault()
 * is true: at most ..._STORE_SCRIPT_FAULT bytes.  Returns the end of the
 * text. */
u_char *ngx_http_chatmaid_store_script_fault(u_char *p, ngx_uint_t error,
    redisReply *reply);

/* Writes the name of a key in Redis (prefix, kind, id in hexadecimal), at most
 * NGX_HTTP_CHATMAID_MAX_NAME bytes.  Returns the end of the name. */
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
