
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * When this worker's topics are asked for again: after some time, and when
 * webhooks leave notes, as far as the account may be polled.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_POLL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_POLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Watches over the topics from now on, as long as there are any. */
void ngx_http_chatmaid_wait_poll_schedule(void);


#endif /* _NGX_HTTP_CHATMAID_WAIT_POLL_H_INCLUDED_ */
