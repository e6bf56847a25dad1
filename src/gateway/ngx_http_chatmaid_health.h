
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * GET health: whether sends are accepted, and what does not work.  Redis is
 * asked; the state of Chatmaid is that of the latest calls.
 */


#ifndef _NGX_HTTP_CHATMAID_HEALTH_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_HEALTH_H_INCLUDED_


#include "ngx_http_chatmaid_flow.h"


/* Makes a flow answer GET health.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_health_init(ngx_http_chatmaid_flow_t *flow);


#endif /* _NGX_HTTP_CHATMAID_HEALTH_H_INCLUDED_ */
