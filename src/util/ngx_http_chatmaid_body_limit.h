
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * client_max_body_size of a gateway or webhook location holds for the whole
 * request: nginx checks the body's size anew for each subrequest, which has the
 * limit of its own location (an internal one, or that of auth_request).
 */


#ifndef _NGX_HTTP_CHATMAID_BODY_LIMIT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_BODY_LIMIT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* ngx_http_handler_pt, before nginx looks for a subrequest's location, where it
 * checks the size, and after it; "rewrite ... last" looks for another one. */
ngx_int_t ngx_http_chatmaid_body_limit_lift_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_chatmaid_body_limit_restore_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_BODY_LIMIT_H_INCLUDED_ */
