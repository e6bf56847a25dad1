
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A message as callers write it, checked and put into Chatmaid's form.
 */


#ifndef _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Sets flow->message from a parsed body: aliases resolved, default sender filled
 * in, without idempotencyKey, which goes to flow->key (there already, if the
 * header has one).  Members unknown to us stay, for Chatmaid to judge.  NGX_OK;
 * NGX_DECLINED with flow->problem naming every fault; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_message_read(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, json_t *body);


#endif /* _NGX_HTTP_CHATMAID_MESSAGE_H_INCLUDED_ */
