
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * nginx's own errors in a gateway or webhook location (413, deny, auth_basic,
 * limit_req): nginx's HTML page is replaced with a problem; the status and the
 * headers stay.
 */


#ifndef _NGX_HTTP_CHATMAID_ERROR_PAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ERROR_PAGE_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The handler of the REWRITE phase: keeps the status of the error for which an
 * error_page has led here.  NGX_DECLINED: go on;
 * NGX_HTTP_INTERNAL_SERVER_ERROR. */
ngx_int_t ngx_http_chatmaid_error_page_rewrite_handler(ngx_http_request_t *r);

/* Whether the answer is an error page of nginx that is to be replaced. */
ngx_uint_t ngx_http_chatmaid_error_page_is_ours(ngx_http_request_t *r);

/* Prepares the problem that replaces such a page, and sets the headers for it;
 * leaves the body of all other answers alone.  NGX_OK; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_error_page_header_filter(ngx_http_request_t *r);

/* Consumes such a page and returns the problem in its place; returns any other
 * chain as it is. */
ngx_chain_t *ngx_http_chatmaid_error_page_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);


#endif /* _NGX_HTTP_CHATMAID_ERROR_PAGE_H_INCLUDED_ */
