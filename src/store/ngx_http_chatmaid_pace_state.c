
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_state.h"


ngx_http_chatmaid_pace_state_t *
ngx_http_chatmaid_pace_state_find(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    return ngx_http_chatmaid_zone_account_find(&zone->sh->paces, id);
}


ngx_http_chatmaid_pace_state_t *
ngx_http_chatmaid_pace_state_get(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_pace_state_t  *state;

    state = ngx_http_chatmaid_pace_state_find(zone, id);

    if (state) {
        return state;
    }

    state = ngx_http_chatmaid_zone_account_add(zone, &zone->sh->paces, id,
                                       sizeof(ngx_http_chatmaid_pace_state_t));
    if (state) {
        ngx_queue_init(&state->tickets);
    }

    return state;
}
