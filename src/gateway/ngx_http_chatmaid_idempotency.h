
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What makes two sends the same: the operation key, the fingerprint of the
 * message, and the key, made of both, by which Chatmaid deduplicates.
 * docs/protocol.md has the exact bytes: changing them is a breaking change.
 */


#ifndef _NGX_HTTP_CHATMAID_IDEMPOTENCY_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_IDEMPOTENCY_H_INCLUDED_


#include "ngx_http_chatmaid_problem.h"
#include "ngx_http_chatmaid_store.h"


/* The operation of a send. */

typedef struct {
    ngx_str_t                    key;        /* empty until there is one */
    ngx_str_t                    key_scope;  /* name space of the key */
    ngx_str_t                    previous_key;   /* of the window before */
    ngx_http_chatmaid_claim_t   *claim;
    unsigned                     keyless:1;  /* the caller gave no key */
} ngx_http_chatmaid_idempotency_t;


/* Sets "key" to the value of the Idempotency-Key header without quotes, which
 * lives as long as the request; to an empty string if there is no such header.
 * NGX_OK; NGX_DECLINED: *reason says what is wrong, as below; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_header(ngx_http_request_t *r,
    ngx_str_t *key, const char **reason);

/* Returns what is wrong with an operation key, for example "must not be empty"
 * (a static string), or NULL. */
const char *ngx_http_chatmaid_idempotency_check(ngx_str_t *key);

/* Sets "scope" to the caller's chatmaid_idempotency_scope, the name space of
 * its keys; leaves it as it is if that is not configured.  NGX_OK;
 * NGX_DECLINED: the scope is empty for this caller, and the problem says so;
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_scope(ngx_http_request_t *r,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *scope);

/* Names the operation of the message whose fingerprint is in the claim: writes
 * the record's id and ttl to the claim, and makes the key of a keyless send.
 * NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_name(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation);

/* To be called after a claim: gives a keyless send the key of the window that
 * its record belongs to. */
void ngx_http_chatmaid_idempotency_claimed(
    ngx_http_chatmaid_idempotency_t *operation);

/* The key that is sent to Chatmaid, made of account, scope, operation key and
 * fingerprint: 64 hex digits in r->pool.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_idempotency_derive(ngx_http_request_t *r,
    ngx_http_chatmaid_idempotency_t *operation, ngx_str_t *key);


#endif /* _NGX_HTTP_CHATMAID_IDEMPOTENCY_H_INCLUDED_ */
