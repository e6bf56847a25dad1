
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The page that chatmaid_status shows to a browser.  The page itself never
 * changes; it fetches the numbers as JSON.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_PAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_PAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Writes the policy below; called when the directive is read. */
void ngx_http_chatmaid_status_page_init(void);

extern ngx_str_t  ngx_http_chatmaid_status_page;

/* The value of Content-Security-Policy: only the page's own style and script
 * may be used, and only its own server may be asked. */
extern ngx_str_t  ngx_http_chatmaid_status_page_policy;


#endif /* _NGX_HTTP_CHATMAID_STATUS_PAGE_H_INCLUDED_ */
