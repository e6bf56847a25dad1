
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * nginx's own errors in a gateway or webhook location (413, deny, auth_basic,
 * limit_req): its HTML page becomes a problem, its status and headers stay.
 */


#ifndef _NGX_HTTP_CHATMAID_ERROR_PAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ERROR_PAGE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_handler_pt: keeps the status that an error_page brought here. */
ngx_int_t ngx_http_chatmaid_error_page_rewrite_handler(ngx_http_request_t *r);

/* Whether the answer is a page of nginx's that becomes a problem. */
ngx_uint_t ngx_http_chatmaid_error_page_is_ours(ngx_http_request_t *r);

/* Makes such a page a problem, and leaves all other answers alone.  NGX_OK;
 * NGX_ERROR without memory. */
ngx_int_t ngx_http_chatmaid_error_page_header_filter(ngx_http_request_t *r);

/* Consumes the page and returns the problem; other chains are returned as they
 * are. */
ngx_chain_t *ngx_http_chatmaid_error_page_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


#endif /* _NGX_HTTP_CHATMAID_ERROR_PAGE_H_INCLUDED_ */
