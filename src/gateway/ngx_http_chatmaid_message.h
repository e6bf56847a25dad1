
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A message as callers write it, checked and put into Chatmaid's form.
 */


#ifndef _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_


#include "ngx_http_chatmaid_answer.h"


/* Makes a message (the pool's reference) of a parsed body: aliases are
 * resolved, a default sender is filled in, and idempotencyKey goes to *key,
 * which holds the header's key or is empty.  Members unknown to us stay, for
 * Chatmaid to judge.  NGX_OK; NGX_DECLINED: reply->problem names every fault;
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_message_read(ngx_http_request_t *r,
    ngx_http_chatmaid_reply_t *reply, json_t *body, ngx_str_t *key,
    json_t **message);


#endif /* _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_ */
