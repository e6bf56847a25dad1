
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * How far a message has got.
 */


#ifndef _NGX_HTTP_CHATMAID_MESSAGE_STATUS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_MESSAGE_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* In the order in which a message reaches them.  FAILED is the highest: a
 * failed message goes no further, so every wait for it ends. */

#define NGX_HTTP_CHATMAID_PENDING       1
#define NGX_HTTP_CHATMAID_SENT          2
#define NGX_HTTP_CHATMAID_DELIVERED     3
#define NGX_HTTP_CHATMAID_MESSAGE_READ  4
#define NGX_HTTP_CHATMAID_FAILED        5


/* The status in a message, which is Chatmaid's "data" as JSON text that has
 * been parsed before.  0: the status is none of these. */
ngx_uint_t ngx_http_chatmaid_message_status(ngx_pool_t *pool,
    ngx_str_t *message);


#endif /* _NGX_HTTP_CHATMAID_MESSAGE_STATUS_H_INCLUDED_ */
