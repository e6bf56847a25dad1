
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a call sends to Chatmaid: its method, body and headers.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_REQUEST_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_REQUEST_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Gives sr, a new subrequest of the caller's request r, its own method, headers
 * and body in place of those that nginx has copied from r.  It becomes a POST
 * if "body" is not NULL, else a GET.  The bytes of "request_id" and "body" must
 * outlive sr.  NGX_OK; NGX_ERROR: no memory, sr must not be sent. */
ngx_int_t ngx_http_chatmaid_call_request(ngx_http_request_t *r,
    ngx_http_request_t *sr, ngx_str_t *request_id, ngx_str_t *body);


#endif /* _NGX_HTTP_CHATMAID_CALL_REQUEST_H_INCLUDED_ */
