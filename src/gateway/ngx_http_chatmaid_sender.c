
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_sender.h"


ngx_int_t
ngx_http_chatmaid_sender_get(ngx_http_request_t *r,
    ngx_http_chatmaid_sender_t *sender)
{
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    sender->fixed = conf->sender_fixed;

    if (conf->sender == NULL) {
        ngx_str_null(&sender->value);
        return NGX_OK;
    }

    return ngx_http_complex_value(r, conf->sender, &sender->value);
}


/* A fixed sender is empty if its variable had no value: then nobody may
 * send. */

ngx_uint_t
ngx_http_chatmaid_sender_permits(ngx_http_chatmaid_sender_t *sender,
    ngx_uint_t same)
{
    return !sender->fixed || (sender->value.len && same);
}


ngx_int_t
ngx_http_chatmaid_sender_deny(ngx_pool_t *pool,
    ngx_http_chatmaid_problem_t *problem)
{
    return ngx_http_chatmaid_problem_set(pool, problem,
                                         NGX_HTTP_CHATMAID_SENDER_DENIED,
                                         "callers of this location may not "
                                         "name another sender");
}
