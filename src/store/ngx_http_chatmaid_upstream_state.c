
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_upstream_state.h"
#include "ngx_http_chatmaid_zone.h"


/* There is one for each upstream that was ever called.  They are few. */

typedef struct {
    ngx_queue_t                          queue;
    ngx_http_chatmaid_upstream_state_e   state;
    in_port_t                            port;
    size_t                               len;
    u_char                               host[1];
} ngx_http_chatmaid_upstream_state_t;


static ngx_http_chatmaid_upstream_state_t *
    ngx_http_chatmaid_upstream_state_find(ngx_http_chatmaid_zone_t *zone,
    ngx_http_upstream_srv_conf_t *upstream);
static void ngx_http_chatmaid_upstream_state_add(
    ngx_http_chatmaid_zone_t *zone, ngx_http_upstream_srv_conf_t *upstream,
    ngx_http_chatmaid_upstream_state_e state);


ngx_http_chatmaid_upstream_state_e
ngx_http_chatmaid_upstream_state_get(ngx_shm_zone_t *shm_zone,
    ngx_http_upstream_srv_conf_t *upstream)
{
    ngx_http_chatmaid_zone_t            *zone = shm_zone->data;
    ngx_http_chatmaid_upstream_state_t  *us;
    ngx_http_chatmaid_upstream_state_e   state;

    ngx_http_chatmaid_zone_lock(zone);

    us = ngx_http_chatmaid_upstream_state_find(zone, upstream);
    state = us ? us->state : NGX_HTTP_CHATMAID_UPSTREAM_UNKNOWN;

    ngx_http_chatmaid_zone_unlock(zone);

    return state;
}


void
ngx_http_chatmaid_upstream_state_set(ngx_shm_zone_t *shm_zone,
    ngx_http_upstream_srv_conf_t *upstream,
    ngx_http_chatmaid_upstream_state_e state)
{
    ngx_http_chatmaid_zone_t            *zone = shm_zone->data;
    ngx_http_chatmaid_upstream_state_t  *us;

    ngx_http_chatmaid_zone_lock(zone);

    us = ngx_http_chatmaid_upstream_state_find(zone, upstream);

    if (us) {
        us->state = state;

    } else {
        ngx_http_chatmaid_upstream_state_add(zone, upstream, state);
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static ngx_http_chatmaid_upstream_state_t *
ngx_http_chatmaid_upstream_state_find(ngx_http_chatmaid_zone_t *zone,
    ngx_http_upstream_srv_conf_t *upstream)
{
    ngx_queue_t                         *q;
    ngx_http_chatmaid_upstream_state_t  *us;

    for (q = ngx_queue_head(&zone->sh->upstreams);
         q != ngx_queue_sentinel(&zone->sh->upstreams);
         q = ngx_queue_next(q))
    {
        us = ngx_queue_data(q, ngx_http_chatmaid_upstream_state_t, queue);

        if (us->port == upstream->port && us->len == upstream->host.len
            && ngx_memcmp(us->host, upstream->host.data, us->len) == 0)
        {
            return us;
        }
    }

    return NULL;
}


/* Does nothing if the zone is full: then the state is not known. */

static void
ngx_http_chatmaid_upstream_state_add(ngx_http_chatmaid_zone_t *zone,
    ngx_http_upstream_srv_conf_t *upstream,
    ngx_http_chatmaid_upstream_state_e state)
{
    ngx_http_chatmaid_upstream_state_t  *us;

    us = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_SEND,
                            offsetof(ngx_http_chatmaid_upstream_state_t, host)
                            + upstream->host.len);
    if (us == NULL) {
        return;
    }

    us->state = state;
    us->port = upstream->port;
    us->len = upstream->host.len;
    ngx_memcpy(us->host, upstream->host.data, us->len);

    ngx_queue_insert_tail(&zone->sh->upstreams, &us->queue);
}
