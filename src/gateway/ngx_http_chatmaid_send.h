
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * POST send.
 */


#ifndef _NGX_HTTP_CHATMAID_SEND_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_SEND_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The steps of a send whose body has been read, ended by NULL. */
extern ngx_http_chatmaid_flow_step_pt  ngx_http_chatmaid_send_steps[];


#endif /* _NGX_HTTP_CHATMAID_SEND_H_INCLUDED_ */
