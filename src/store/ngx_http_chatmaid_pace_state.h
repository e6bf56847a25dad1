
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The pace of an account in the zone: which calls wait, and which places this
 * nginx has.  Only pace_queue and pace_places use it, with the zone locked.
 */


#ifndef _NGX_HTTP_CHATMAID_PACE_STATE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_PACE_STATE_H_INCLUDED_


#include "ngx_http_chatmaid_zone_account.h"


/* There is one for each account with a pace.  Times are in ngx_current_msec. */

typedef struct {
    ngx_http_chatmaid_zone_account_t  account;

    ngx_queue_t       tickets;     /* in the order in which they go */
    ngx_uint_t        waiting;     /* the number of tickets */
    uint64_t          number;      /* of the latest ticket */
    uint64_t          round;       /* of the send that went last */

    int64_t           clock;       /* this nginx's own, in microseconds */

    ngx_uint_t        free;        /* places that are free since free_at */
    ngx_msec_t        free_at;
    ngx_msec_t        taken_at;    /* if "taken": when that place is free */
    uint64_t          shared;      /* the shared clock after these places */
    ngx_msec_t        refused_at;  /* if "refused": no place before this time */
    ngx_msec_t        held_at;     /* if "held": no place before this time */
    ngx_msec_t        asked_until; /* if "asked": the latest time of a reply */
    ngx_uint_t        expected;    /* calls that may follow */

    unsigned          taken:1;     /* one place ahead of its time */
    unsigned          refused:1;   /* the next place was too far away */
    unsigned          held:1;      /* by a 429 */
    unsigned          asked:1;     /* a worker is taking places */
} ngx_http_chatmaid_pace_state_t;


/* The milliseconds until this time; not positive if it has passed. */
#define ngx_http_chatmaid_pace_state_left(time)                               \
    ((ngx_msec_int_t) ((time) - ngx_current_msec))


/* Return the state of the account with this id.  If there is none, find()
 * returns NULL; get() creates it, and returns NULL if there is no room. */
ngx_http_chatmaid_pace_state_t *ngx_http_chatmaid_pace_state_find(
    ngx_http_chatmaid_zone_t *zone, u_char *id);
ngx_http_chatmaid_pace_state_t *ngx_http_chatmaid_pace_state_get(
    ngx_http_chatmaid_zone_t *zone, u_char *id);


#endif /* _NGX_HTTP_CHATMAID_PACE_STATE_H_INCLUDED_ */
