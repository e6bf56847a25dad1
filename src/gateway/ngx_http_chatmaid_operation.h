
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * GET operations/KEY: what has become of the send with this operation key.
 */


#ifndef _NGX_HTTP_CHATMAID_OPERATION_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_OPERATION_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* Makes a flow look up the record of the operation key in flow->id.  NGX_OK;
 * NGX_DECLINED: reply->problem says why the key or the caller is refused;
 * NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_operation_init(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_OPERATION_H_INCLUDED_ */
