
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The content handler of chatmaid_status: what was counted, for Prometheus, as
 * JSON, or as a page for a browser.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_handler_pt */
ngx_int_t ngx_http_chatmaid_status_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_STATUS_H_INCLUDED_ */
