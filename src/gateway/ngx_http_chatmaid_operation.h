
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * GET operations/KEY: what has become of a send, by its operation key.
 */


#ifndef _NGX_HTTP_CHATMAID_OPERATION_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_OPERATION_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* Makes a flow such a question about flow->id.  NGX_OK; NGX_DECLINED: see
 * reply->problem; NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_operation_init(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_OPERATION_H_INCLUDED_ */
