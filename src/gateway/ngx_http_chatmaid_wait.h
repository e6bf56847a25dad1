
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * GET messages/ID?wait=: answered when the message has got so far.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* Takes "wait" and "until" out of the query of messages/ID.  If they ask for a
 * wait, the flow becomes one.  NGX_OK; NGX_DECLINED: reply->problem says what
 * is wrong; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_wait_init(ngx_http_chatmaid_flow_t *flow,
    ngx_str_t *id, ngx_str_t *args);


#endif /* _NGX_HTTP_CHATMAID_WAIT_H_INCLUDED_ */
