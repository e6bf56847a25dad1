
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * POST send.
 */


#ifndef _NGX_HTTP_CHATMAID_SEND_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SEND_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* Makes a flow a send.  NGX_OK; NGX_DECLINED: reply->problem says what is wrong
 * with the query; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_send_init(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_SEND_H_INCLUDED_ */
