
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Webhooks, as nginx's hooks see them: a request is verified before its
 * location's handler runs, and each event is handed on until that handler has
 * answered 2xx.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_handler_pt of the PRECONTENT phase: verifies and hands on. */
ngx_int_t ngx_http_chatmaid_webhook_handler(ngx_http_request_t *r);

/* Before the first byte of an answer, which may be a refusal of nginx's own:
 * settles what was handed on. */
void ngx_http_chatmaid_webhook_header_filter(ngx_http_request_t *r);

/* ngx_http_handler_pt of the LOG phase: the same for a request that ended
 * without an answer. */
ngx_int_t ngx_http_chatmaid_webhook_log_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_ */
