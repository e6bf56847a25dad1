
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What all workers of one nginx share about an account: until when Chatmaid
 * wants no calls, and how many polls there were in the last minute.
 */


#ifndef _NGX_HTTP_CHATMAID_ACCOUNT_LIMITS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ACCOUNT_LIMITS_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The longest that Chatmaid can hold an account back. */
#define NGX_HTTP_CHATMAID_MAX_HOLD   60000      /* milliseconds */

/* An account is known by its id, conf->account_id. */

/* For how many milliseconds from now no call of the account may begin; 0: a
 * call may begin. */
ngx_msec_t ngx_http_chatmaid_account_limits_held(ngx_shm_zone_t *shm_zone,
    u_char *id);

/* Holds the account's calls back for this many milliseconds, at most a minute,
 * unless they are already held back for longer. */
void ngx_http_chatmaid_account_limits_hold(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_msec_t time);

/*
 * Whether a poll may begin now; if so, it is counted.  There are at most 30 in
 * any minute, 20 of them without a note, and none while the account is held
 * back.  Polls with a note come first, then the one whose message was "asked"
 * for longest ago.  Whoever is refused asks again every 100 ms, or gives up.
 * Returns a handle for ngx_http_chatmaid_account_limits_ended(), or 0: it may
 * not begin.
 */
ngx_uint_t ngx_http_chatmaid_account_limits_poll(ngx_shm_zone_t *shm_zone,
    u_char *id, ngx_uint_t noted, ngx_msec_t asked);

/* Counts a read with which a wait begins; it takes the place of a poll.  Reads
 * leave at least five polls a minute, and five more to those with a note.
 * Returns a handle, or 0. */
ngx_uint_t ngx_http_chatmaid_account_limits_read(ngx_shm_zone_t *shm_zone,
    u_char *id);

/* The call with this handle has ended: its minute starts. */
void ngx_http_chatmaid_account_limits_ended(ngx_shm_zone_t *shm_zone,
    u_char *id, ngx_uint_t call);

/* The poll with this handle, just permitted, is not made: it does not count. */
void ngx_http_chatmaid_account_limits_cancel(ngx_shm_zone_t *shm_zone,
    u_char *id, ngx_uint_t call);


#endif /* _NGX_HTTP_CHATMAID_ACCOUNT_LIMITS_H_INCLUDED_ */
