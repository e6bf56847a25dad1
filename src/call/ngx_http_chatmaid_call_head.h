
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The head of an answer: its status line and header lines, which nginx logs.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_HEAD_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_HEAD_H_INCLUDED_


#include "ngx_http_chatmaid_call.h"


/* Overwrites the API key in each head that r, the subrequest of the call,
 * receives, before nginx parses and logs it.  To be called once, after
 * create_request and before the first connect. */
void ngx_http_chatmaid_call_head_init(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);


#endif /* _NGX_HTTP_CHATMAID_CALL_HEAD_H_INCLUDED_ */
