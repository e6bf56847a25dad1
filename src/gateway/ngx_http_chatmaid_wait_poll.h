
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Decides when this worker asks for the message of a topic again: after some
 * time, or when a webhook has left a note, as often as the account's limits
 * permit.
 */


#ifndef _NGX_HTTP_CHATMAID_WAIT_POLL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WAIT_POLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Starts the timer that does this for all topics, if it is not running.  The
 * timer ends when there are no more topics. */
void ngx_http_chatmaid_wait_poll_schedule(void);


#endif /* _NGX_HTTP_CHATMAID_WAIT_POLL_H_INCLUDED_ */
