
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The internal location that a chatmaid_gateway names and through which
 * Chatmaid is reached.  It is found and checked once the configuration has been
 * read.
 */


#ifndef _NGX_HTTP_CHATMAID_INTERNAL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_INTERNAL_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Finds the internal location of each gateway, and refuses a location in which
 * every call would fail, or would be refused to protect the key.  api_key.c
 * checks each call again, because a rewrite, an "if" or a variable takes effect
 * only then.  NGX_OK; NGX_ERROR after a message. */
ngx_int_t ngx_http_chatmaid_internal_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_CHATMAID_INTERNAL_H_INCLUDED_ */
