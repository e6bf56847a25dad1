
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The GET endpoints.
 */


#ifndef _NGX_HTTP_CHATMAID_READ_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_READ_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The steps of a read, ended by NULL. */
extern ngx_http_chatmaid_flow_step_pt  ngx_http_chatmaid_read_steps[];


#endif /* _NGX_HTTP_CHATMAID_READ_H_INCLUDED_ */
