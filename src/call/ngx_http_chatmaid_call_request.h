
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a call sends to Chatmaid: its method, body and headers.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_REQUEST_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_REQUEST_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Makes the subrequest sr of the caller's request r a request of its own: a
 * POST if there is a body, else a GET.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_call_request(ngx_http_request_t *r,
    ngx_http_request_t *sr, ngx_str_t *request_id, ngx_str_t *body);


#endif /* _NGX_HTTP_CHATMAID_CALL_REQUEST_H_INCLUDED_ */
