
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The entry points for webhooks.  A request is verified before the content
 * handler of its location runs.  An event is handed on to that handler at each
 * attempt of the sender until the handler has answered 2xx.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The handler of the PRECONTENT phase.  NGX_DECLINED: the location handles the
 * request, which is verified or is no webhook; NGX_DONE: the request is waiting
 * or has been answered; else a status for nginx to answer with. */
ngx_int_t ngx_http_chatmaid_webhook_handler(ngx_http_request_t *r);

/* Called before the first byte of an answer, which may be a refusal of nginx's
 * own: settles the delivery of the event by the status of the answer. */
void ngx_http_chatmaid_webhook_header_filter(ngx_http_request_t *r);

/* The handler of the LOG phase: settles the delivery as failed if the request
 * ended without an answer.  Returns NGX_OK. */
ngx_int_t ngx_http_chatmaid_webhook_log_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_ */
