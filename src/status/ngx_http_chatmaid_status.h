
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The content handler of chatmaid_status: the metrics as text for Prometheus or
 * as JSON, and a page for a browser.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The content handler.  Returns what the output filter returned, or a status
 * for nginx to answer with. */
ngx_int_t ngx_http_chatmaid_status_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_STATUS_H_INCLUDED_ */
