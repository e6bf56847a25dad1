
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The pace of an account in the zone: which calls wait and which places there
 * are.  For pace_queue and pace_places, with the zone locked.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_STATE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_STATE_H_INCLUDED_


#include "ngx_http_chatmaid_zone_account.h"


/* One for each account with a pace.  Times are ngx_current_msec. */

typedef struct {
    ngx_http_chatmaid_zone_account_t  account;

    ngx_queue_t       tickets;     /* the next one to go first */
    ngx_uint_t        waiting;
    uint64_t          number;      /* the latest one */
    uint64_t          round;       /* of the send that went last */

    int64_t           clock;       /* this nginx's own, in microseconds */

    ngx_uint_t        free;        /* places, since free_at */
    ngx_msec_t        free_at;
    ngx_msec_t        taken_at;    /* when "taken", the place after these */
    uint64_t          shared;      /* the shared clock behind all these */
    ngx_msec_t        refused_at;  /* when "refused", there is none before */
    ngx_msec_t        held_at;     /* when "held", no place before this time */
    ngx_msec_t        asked_until; /* when "asked" */
    ngx_uint_t        expected;    /* calls that may follow */

    unsigned          taken:1;
    unsigned          refused:1;
    unsigned          held:1;
    unsigned          asked:1;
} ngx_http_chatmaid_pace_state_t;


/* Milliseconds until this time; negative: it has passed. */
#define ngx_http_chatmaid_pace_state_left(time)                               \
    ((ngx_msec_int_t) ((time) - ngx_current_msec))


/* The state of the account with this id.  NULL: there is none, or, of get(),
 * there is no room to make one. */
ngx_http_chatmaid_pace_state_t *ngx_http_chatmaid_pace_state_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
ngx_http_chatmaid_pace_state_t *ngx_http_chatmaid_pace_state_get(
    ngx_http_chatmaid_zone_t *zone, u_char *id);


#endif /* _NGX_HTTP_CHATMAID_PACE_STATE_H_INCLUDED_ */
