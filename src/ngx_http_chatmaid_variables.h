
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The $chatmaid_... variables.
 */


#ifndef _NGX_HTTP_CHATMAID_VARIABLES_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_VARIABLES_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Adds the variables.  To be called at preconfiguration.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_variables_add(ngx_conf_t *cf);


#endif /* _NGX_HTTP_CHATMAID_VARIABLES_H_INCLUDED_ */
