
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Finds out from the configuration of nginx's rewrite module what that module
 * does in a location.
 */


#ifndef _NGX_HTTP_CHATMAID_REWRITE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REWRITE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Whether the location or server with this configuration contains a "return"
 * outside any "if".  0 also if that can't be known. */
ngx_uint_t ngx_http_chatmaid_rewrite_returns(ngx_conf_t *cf, void **loc_conf);

/* Warns if there is such a "return" in the location of the directive, or in its
 * server: then nginx answers before the directive takes effect. */
void ngx_http_chatmaid_rewrite_warn(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, const char *directive);


#endif /* _NGX_HTTP_CHATMAID_REWRITE_H_INCLUDED_ */
