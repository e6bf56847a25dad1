
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Makes the client_max_body_size of a gateway or webhook location the limit for
 * the whole request.  nginx would check the size of the body again for each
 * subrequest, with the limit of that subrequest's location: the internal
 * location, or one of auth_request.
 */


#ifndef _NGX_HTTP_CHATMAID_BODY_LIMIT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_BODY_LIMIT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Phase handlers (ngx_http_handler_pt), which always return NGX_DECLINED.
 * nginx checks the size when it looks for the location of a subrequest, again
 * after "rewrite ... last": lift() runs before that, and restore() when the
 * location is final. */
ngx_int_t ngx_http_chatmaid_body_limit_lift_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_chatmaid_body_limit_restore_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_BODY_LIMIT_H_INCLUDED_ */
