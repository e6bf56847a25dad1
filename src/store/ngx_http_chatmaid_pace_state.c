
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_state.h"


ngx_http_chatmaid_pace_state_t *
ngx_http_chatmaid_pace_state_find(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_queue_t                     *q;
    ngx_http_chatmaid_pace_state_t  *state;

    for (q = ngx_queue_head(&zone->sh->paces);
         q != ngx_queue_sentinel(&zone->sh->paces);
         q = ngx_queue_next(q))
    {
        state = ngx_queue_data(q, ngx_http_chatmaid_pace_state_t, queue);

        if (ngx_memcmp(state->id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0) {
            return state;
        }
    }

    return NULL;
}


ngx_http_chatmaid_pace_state_t *
ngx_http_chatmaid_pace_state_get(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_pace_state_t  *state;

    state = ngx_http_chatmaid_pace_state_find(zone, id);

    if (state) {
        return state;
    }

    state = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_SEND,
                                       sizeof(ngx_http_chatmaid_pace_state_t));
    if (state == NULL) {
        return NULL;
    }

    ngx_memzero(state, sizeof(ngx_http_chatmaid_pace_state_t));
    ngx_memcpy(state->id, id, NGX_HTTP_CHATMAID_ID_LEN);

    ngx_queue_init(&state->tickets);
    ngx_queue_insert_tail(&zone->sh->paces, &state->queue);

    return state;
}
