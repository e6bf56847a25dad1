
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The page that chatmaid_status shows to a browser.  It is always the same, and
 * fetches what it shows as JSON.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_PAGE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_PAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* At configuration. */
void ngx_http_chatmaid_status_page_init(void);

extern ngx_str_t  ngx_http_chatmaid_status_page;

/* For Content-Security-Policy: the page's own style and script may be used, and
 * its own location may be asked; nothing else. */
extern ngx_str_t  ngx_http_chatmaid_status_page_policy;


#endif /* _NGX_HTTP_CHATMAID_STATUS_PAGE_H_INCLUDED_ */
