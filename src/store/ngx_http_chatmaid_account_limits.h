
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What all workers of one nginx share about an account: until when its calls
 * are held back after a 429 from Chatmaid, and how many polls there were in the
 * last minute.
 */


#ifndef _NGX_HTTP_CHATMAID_ACCOUNT_LIMITS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ACCOUNT_LIMITS_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* The longest time for which Chatmaid can hold an account back. */
#define NGX_HTTP_CHATMAID_MAX_HOLD   60000      /* milliseconds */

/* In all functions "id" is the account's id, conf->account_id. */

/* Returns for how many milliseconds from now no call of the account may begin,
 * or 0 if a call may begin. */
ngx_msec_t ngx_http_chatmaid_account_limits_held(ngx_shm_zone_t *shm_zone,
    u_char *id);

/* Holds the account's calls back for "time" milliseconds, at most a minute,
 * unless they are already held back for longer. */
void ngx_http_chatmaid_account_limits_hold(ngx_shm_zone_t *shm_zone, u_char *id,
    ngx_msec_t time);

/*
 * Asks whether a poll may begin now, and counts a poll that may.  There are at
 * most 30 polls in any minute, 20 of them without a note, and none while the
 * account is held back.  Polls with a note ("noted") come first, then the poll
 * whose message was asked for longest ago ("asked", in ngx_current_msec).  A
 * caller that is refused asks again every 100 ms, or gives up.  Returns a
 * handle for ended() or cancel(), or 0 if the poll may not begin.
 */
ngx_uint_t ngx_http_chatmaid_account_limits_poll(ngx_shm_zone_t *shm_zone,
    u_char *id, ngx_uint_t noted, ngx_msec_t asked);

/* Counts a read with which a wait begins: it takes the place of a poll.
 * However many reads there are, ten polls a minute remain, up to five of them
 * without a note.  Returns a handle for ended(), or 0 if the read could not be
 * counted; the read may begin in either case. */
ngx_uint_t ngx_http_chatmaid_account_limits_read(ngx_shm_zone_t *shm_zone,
    u_char *id);

/* Says that the call with this handle has ended: its minute starts now.  A
 * handle of 0 is ignored. */
void ngx_http_chatmaid_account_limits_ended(ngx_shm_zone_t *shm_zone,
    u_char *id, ngx_uint_t call);

/* Says that a poll that was just permitted is not made: it does not count. */
void ngx_http_chatmaid_account_limits_cancel(ngx_shm_zone_t *shm_zone,
    u_char *id, ngx_uint_t call);


#endif /* _NGX_HTTP_CHATMAID_ACCOUNT_LIMITS_H_INCLUDED_ */
