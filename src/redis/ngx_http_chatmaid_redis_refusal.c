
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_refusal.h"


static ngx_http_chatmaid_redis_refusal_t  ngx_http_chatmaid_redis_refusals[] = {
    { ngx_string("LOADING"), 0, 0 },
    { ngx_string("READONLY"), 1, 0 },        /* a failover: it is a replica */
    { ngx_string("MASTERDOWN"), 1, 0 },
    { ngx_string("NOAUTH"), 1, 0 },          /* AUTH may help */
    { ngx_string("WRONGPASS"), 1, 0 },
    { ngx_string("NOPERM"), 0, 0 },
    { ngx_string("OOM"), 0, 0 },
    { ngx_string("MISCONF"), 0, 0 },
    { ngx_string("NOREPLICAS"), 0, 0 },
    { ngx_string("BUSY"), 0, 0 },
    { ngx_string("MOVED"), 0, 1 },
    { ngx_string("ASK"), 0, 1 },
    { ngx_string("CROSSSLOT"), 0, 1 },
    { ngx_string("CLUSTERDOWN"), 0, 1 },
    { ngx_string("TRYAGAIN"), 0, 1 },
    { ngx_null_string, 0, 0 }
};


ngx_http_chatmaid_redis_refusal_t *
ngx_http_chatmaid_redis_refusal_find(ngx_str_t *error)
{
    u_char                             *p;
    ngx_str_t                           text;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    static ngx_str_t  wrapped = ngx_string("ERR Error running script ");

    text = *error;

    /* before Redis 7, what a command of a script met is within the text */

    if (text.len > wrapped.len
        && ngx_strncmp(text.data, wrapped.data, wrapped.len) == 0)
    {
        p = ngx_strnstr(text.data, ": -", text.len);

        if (p) {
            text.len -= p + 3 - text.data;
            text.data = p + 3;
        }
    }

    for (refusal = ngx_http_chatmaid_redis_refusals;
         refusal->code.len;
         refusal++)
    {
        if (text.len >= refusal->code.len
            && ngx_strncmp(text.data, refusal->code.data, refusal->code.len)
               == 0
            && (text.len == refusal->code.len
                || text.data[refusal->code.len] == ' '))
        {
            return refusal;
        }
    }

    return NULL;
}
