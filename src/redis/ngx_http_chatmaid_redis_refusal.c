
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_refusal.h"


static ngx_str_t ngx_http_chatmaid_redis_refusal_code(ngx_str_t text);


static ngx_http_chatmaid_redis_refusal_t  ngx_http_chatmaid_redis_refusals[] = {
    { ngx_string("LOADING"), 0, 0,
      "it still reads its data" },
    { ngx_string("READONLY"), 1, 1,
      "it is a replica, chatmaid_redis needs the master" },
    { ngx_string("MASTERDOWN"), 1, 1,
      "it is a replica, chatmaid_redis needs the master" },
    { ngx_string("NOAUTH"), 1, 0,
      "it wants a password, see password_file" },
    { ngx_string("WRONGPASS"), 1, 0,
      "the user or the password is wrong, see password_file" },
    { ngx_string("DENIED"), 1, 0,
      "its protected mode refuses this host" },
    { ngx_string("NOPERM"), 0, 0,
      "its user may not do that, docs/redis.md has the ACL" },
    { ngx_string("OOM"), 0, 0,
      "its memory is full, see its maxmemory" },
    { ngx_string("MISCONF"), 0, 0,
      "it can't save its data, its own log says why" },
    { ngx_string("NOREPLICAS"), 0, 0,
      "it has too few replicas" },
    { ngx_string("BUSY"), 0, 0,
      "a script of somebody's keeps it busy" },
    { ngx_string("MOVED"), 0, 0,
      "another node of its Redis Cluster has the slot, see "
      "redis+cluster://" },
    { ngx_string("ASK"), 0, 0,
      "another node of its Redis Cluster has the slot, see "
      "redis+cluster://" },
    { ngx_string("CROSSSLOT"), 0, 0,
      "it is a node of a Redis Cluster, see redis+cluster://" },
    { ngx_string("CLUSTERDOWN"), 0, 0,
      "some of the slots of its Redis Cluster have no master" },
    { ngx_string("TRYAGAIN"), 0, 0,
      "a slot of its Redis Cluster is being moved" },
    { ngx_null_string, 0, 0, NULL }
};


/* How Redis 6 and 7.0, then 7.2 and later, say that a script's user may not run
 * one of its commands. */

static char  *ngx_http_chatmaid_redis_refusal_script_noperm[] = {
    "The user executing the script ",
    "ACL failure in script",
    NULL
};


ngx_http_chatmaid_redis_refusal_t *
ngx_http_chatmaid_redis_refusal_find(ngx_str_t *error)
{
    ngx_str_t                           code;
    ngx_http_chatmaid_redis_refusal_t  *refusal;

    code = ngx_http_chatmaid_redis_refusal_code(*error);

    for (refusal = ngx_http_chatmaid_redis_refusals;
         refusal->code.len;
         refusal++)
    {
        if (code.len == refusal->code.len
            && ngx_strncmp(code.data, refusal->code.data, code.len) == 0)
        {
            return refusal;
        }
    }

    return NULL;
}


/* Returns the first word of an error, or the corresponding word if the error
 * occurred in a script. */

static ngx_str_t
ngx_http_chatmaid_redis_refusal_code(ngx_str_t text)
{
    char    **said;
    u_char   *p;

    static ngx_str_t  err = ngx_string("ERR ");
    static ngx_str_t  wrapped = ngx_string("ERR Error running script ");
    static ngx_str_t  noperm = ngx_string("NOPERM");

    if (text.len > err.len
        && ngx_strncmp(text.data, err.data, err.len) == 0)
    {
        for (said = ngx_http_chatmaid_redis_refusal_script_noperm;
             *said;
             said++)
        {
            if (ngx_strnstr(text.data, *said, text.len)) {
                return noperm;
            }
        }
    }

    /* before Redis 7, the text contains the error of a command in a script */

    if (text.len > wrapped.len
        && ngx_strncmp(text.data, wrapped.data, wrapped.len) == 0)
    {
        p = ngx_strnstr(text.data, ": -", text.len);

        if (p) {
            text.len -= p + 3 - text.data;
            text.data = p + 3;
        }
    }

    p = ngx_strlchr(text.data, text.data + text.len, ' ');

    if (p) {
        text.len = p - text.data;
    }

    return text;
}
