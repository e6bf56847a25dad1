
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_account.h"
#include "ngx_http_chatmaid_zone.h"


#define NGX_HTTP_CHATMAID_MAX_HOLD  60000   /* milliseconds */


/* One for each account that was ever held back or polled: there are few. */

typedef struct {
    ngx_queue_t              queue;
    u_char                   id[NGX_HTTP_CHATMAID_ID_LEN];
    ngx_msec_t               held;      /* the time when that ends */
    ngx_uint_t               holding;   /* since "held" may be long ago */
} ngx_http_chatmaid_account_state_t;


static ngx_http_chatmaid_account_state_t *ngx_http_chatmaid_account_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_http_chatmaid_account_state_t *ngx_http_chatmaid_account_get(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
static ngx_msec_t ngx_http_chatmaid_account_left(
    ngx_http_chatmaid_account_state_t *state);


ngx_msec_t
ngx_http_chatmaid_account_held(ngx_shm_zone_t *shm_zone, u_char *id)
{
    ngx_msec_t                          left;
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_find(zone, id);
    left = state ? ngx_http_chatmaid_account_left(state) : 0;

    ngx_http_chatmaid_zone_unlock(zone);

    return left;
}


void
ngx_http_chatmaid_account_hold(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_msec_t time)
{
    ngx_http_chatmaid_zone_t           *zone = shm_zone->data;
    ngx_http_chatmaid_account_state_t  *state;

    time = ngx_min(time, NGX_HTTP_CHATMAID_MAX_HOLD);

    ngx_http_chatmaid_zone_lock(zone);

    state = ngx_http_chatmaid_account_get(zone, id);

    if (state && ngx_http_chatmaid_account_left(state) < time) {
        state->held = ngx_current_msec + time;
        state->holding = 1;
    }

    ngx_http_chatmaid_zone_unlock(zone);
}


static ngx_http_chatmaid_account_state_t *
ngx_http_chatmaid_account_find(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_queue_t                        *q;
    ngx_http_chatmaid_account_state_t  *state;

    for (q = ngx_queue_head(&zone->sh->accounts);
         q != ngx_queue_sentinel(&zone->sh->accounts);
         q = ngx_queue_next(q))
    {
        state = ngx_queue_data(q, ngx_http_chatmaid_account_state_t, queue);

        if (ngx_memcmp(state->id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0) {
            return state;
        }
    }

    return NULL;
}


/* The same, made anew where there is none; NULL: there is no room. */

static ngx_http_chatmaid_account_state_t *
ngx_http_chatmaid_account_get(ngx_http_chatmaid_zone_t *zone, u_char *id)
{
    ngx_http_chatmaid_account_state_t  *state;

    state = ngx_http_chatmaid_account_find(zone, id);

    if (state) {
        return state;
    }

    state = ngx_http_chatmaid_zone_alloc(zone,
                                    sizeof(ngx_http_chatmaid_account_state_t));
    if (state == NULL) {
        return NULL;
    }

    ngx_memzero(state, sizeof(ngx_http_chatmaid_account_state_t));
    ngx_memcpy(state->id, id, NGX_HTTP_CHATMAID_ID_LEN);

    ngx_queue_insert_tail(&zone->sh->accounts, &state->queue);

    return state;
}


static ngx_msec_t
ngx_http_chatmaid_account_left(ngx_http_chatmaid_account_state_t *state)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (state->held - ngx_current_msec);

    if (!state->holding || left <= 0) {
        state->holding = 0;
        return 0;
    }

    return left;
}
