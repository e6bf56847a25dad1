
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The GET endpoints that pass on a resource of Chatmaid's.
 */


#ifndef _NGX_HTTP_CHATMAID_READ_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_READ_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* Makes a flow a read of reply->path.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_read_init(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_READ_H_INCLUDED_ */
