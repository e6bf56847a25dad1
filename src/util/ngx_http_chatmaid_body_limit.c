
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_body_limit.h"


static ngx_uint_t ngx_http_chatmaid_body_limit_is_lifted(
    ngx_http_request_t *r);


/* nginx does not check the size of a body that is to be discarded. */

ngx_int_t
ngx_http_chatmaid_body_limit_lift_handler(ngx_http_request_t *r)
{
    if (ngx_http_chatmaid_body_limit_is_lifted(r)) {
        r->discard_body = 1;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_chatmaid_body_limit_restore_handler(ngx_http_request_t *r)
{
    if (ngx_http_chatmaid_body_limit_is_lifted(r)) {
        r->discard_body = r->parent->discard_body;
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_http_chatmaid_body_limit_is_lifted(ngx_http_request_t *r)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    if (r == r->main) {
        return 0;
    }

    conf = ngx_http_get_module_loc_conf(r->parent, ngx_http_chatmaid_module);

    return conf->gateway || conf->webhook;
}
