
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_refusal.h"


static ngx_http_chatmaid_redis_refusal_t  ngx_http_chatmaid_redis_refusals[] = {
    { ngx_string("LOADING"), 0,
      "it still reads its data" },
    { ngx_string("READONLY"), 1,
      "it is a replica, chatmaid_redis needs the master" },
    { ngx_string("MASTERDOWN"), 1,
      "it is a replica, chatmaid_redis needs the master" },
    { ngx_string("NOAUTH"), 1,
      "it wants a password, see password_file" },
    { ngx_string("WRONGPASS"), 1,
      "the user or the password is wrong, see password_file" },
    { ngx_string("DENIED"), 1,
      "its protected mode refuses this host" },
    { ngx_string("NOPERM"), 0,
      "its user may not do that, README has the ACL" },
    { ngx_string("OOM"), 0,
      "its memory is full, see its maxmemory" },
    { ngx_string("MISCONF"), 0,
      "it can't save its data, its own log says why" },
    { ngx_string("NOREPLICAS"), 0,
      "it has too few replicas" },
    { ngx_string("BUSY"), 0,
      "a script of somebody's keeps it busy" },
    { ngx_string("MOVED"), 0,
      "it is a Redis Cluster, which is not followed" },
    { ngx_string("ASK"), 0,
      "it is a Redis Cluster, which is not followed" },
    { ngx_string("CROSSSLOT"), 0,
      "it is a Redis Cluster, which is not followed" },
    { ngx_string("CLUSTERDOWN"), 0,
      "it is a Redis Cluster, which is not followed" },
    { ngx_string("TRYAGAIN"), 0,
      "it is a Redis Cluster, which is not followed" },
    { ngx_null_string, 0, NULL }
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
