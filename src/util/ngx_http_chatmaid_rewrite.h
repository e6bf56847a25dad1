
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What nginx's rewrite module does in a location, as far as its configuration
 * shows it.
 */


#ifndef _NGX_HTTP_CHATMAID_REWRITE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REWRITE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Whether a "return" outside of any "if" stands in the location, or in the
 * server, that has this configuration.  0 also where it can't be known. */
ngx_uint_t ngx_http_chatmaid_rewrite_returns(ngx_conf_t *cf, void **loc_conf);

/* Warns of such a "return" in the location, or in its server, in which the
 * directive stands: nginx would answer before that has seen the request. */
void ngx_http_chatmaid_rewrite_warn(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, const char *directive);


#endif /* _NGX_HTTP_CHATMAID_REWRITE_H_INCLUDED_ */
