
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_message_status.h"
#include "ngx_http_chatmaid_json_text.h"


ngx_uint_t
ngx_http_chatmaid_message_status(ngx_pool_t *pool, ngx_str_t *message)
{
    ngx_str_t   value, status;
    ngx_uint_t  i;

    static struct {
        ngx_str_t   name;
        ngx_uint_t  status;
    } names[] = {
        { ngx_string("pending"), NGX_HTTP_CHATMAID_PENDING },
        { ngx_string("sent"), NGX_HTTP_CHATMAID_SENT },
        { ngx_string("delivered"), NGX_HTTP_CHATMAID_DELIVERED },
        { ngx_string("read"), NGX_HTTP_CHATMAID_MESSAGE_READ },
        { ngx_string("failed"), NGX_HTTP_CHATMAID_FAILED }
    };

    if (!ngx_http_chatmaid_json_text_member(message, "status", &value)
        || ngx_http_chatmaid_json_text_string(pool, &value,
                                              NGX_HTTP_CHATMAID_JSON_UTF8,
                                              &status)
           != NGX_OK)
    {
        return 0;
    }

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (status.len == names[i].name.len
            && ngx_memcmp(status.data, names[i].name.data, status.len) == 0)
        {
            return names[i].status;
        }
    }

    return 0;
}
