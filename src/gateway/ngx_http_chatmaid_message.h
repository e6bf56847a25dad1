
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A message as callers write it, checked and put into Chatmaid's form.
 */


#ifndef _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_


#include "ngx_http_chatmaid_answer.h"


/*
 * Reads the request's body as a message.  "text", in r->pool, is what is sent
 * to Chatmaid, but without an idempotencyKey: it has Chatmaid's names, sorted
 * members, and a default sender if the caller names none.  Unknown members are
 * left in it for Chatmaid to judge.  "fingerprint", 32 bytes, is equal for
 * equal messages.  "key" holds the header's key or is empty; if it is empty,
 * the key in the body is copied to it.
 *
 * NGX_OK; NGX_DECLINED: reply->problem names every fault; NGX_ERROR.
 */

ngx_int_t ngx_http_chatmaid_message_read(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, ngx_str_t *key, ngx_str_t *text,
    u_char *fingerprint);


#endif /* _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_ */
