
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Counts each request to a gateway or webhook location once, when it has ended,
 * whatever became of it.
 */


#ifndef _NGX_HTTP_CHATMAID_COUNT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_COUNT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_handler_pt, in the log phase */
ngx_int_t ngx_http_chatmaid_count_log_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_COUNT_H_INCLUDED_ */
