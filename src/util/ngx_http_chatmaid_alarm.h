
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Alarms: the log tells an operator once when a trouble begins and once when it
 * is over, not for each worker and request.  So all workers of one nginx share
 * the knowledge of what has been logged, and keep it over a reload.
 *
 * Some troubles are a worker's own, such as a lost connection, and that worker
 * knows when they are over: it calls raise() and lower().  Other troubles are
 * met by requests in any worker, such as a stream that takes no events: these
 * call meet() and pass().  An alarm may be used in both ways.
 */


#ifndef _NGX_HTTP_CHATMAID_ALARM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ALARM_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Identifies a trouble. */
typedef uint32_t  ngx_http_chatmaid_alarm_id_t;


/* Adds the shared memory of all alarms, at configuration.  It belongs to the
 * cycle.  NULL: no memory. */
ngx_shm_zone_t *ngx_http_chatmaid_alarm_add(ngx_conf_t *cf);

/* Must be called when a worker starts.  The worker takes the place of the
 * former worker with its number, whose troubles no longer count. */
void ngx_http_chatmaid_alarm_init(ngx_shm_zone_t *zone);

/* Returns the id for a kind of trouble, and for the thing that has it (may be
 * NULL). */
ngx_http_chatmaid_alarm_id_t ngx_http_chatmaid_alarm_id(const char *kind,
    ngx_str_t *thing);

/* Says that this worker has the trouble.  Returns 1 if that must be logged,
 * because the alarm was not raised before; else 0. */
ngx_uint_t ngx_http_chatmaid_alarm_raise(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);

/* Says that this worker certainly does not have the trouble.  Returns 1 if the
 * alarm was raised and no worker has the trouble now: its end must be logged.
 * Else returns 0. */
ngx_uint_t ngx_http_chatmaid_alarm_lower(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);

/* Says that a request has met the trouble.  Returns 1 if that must be logged,
 * because the alarm was not raised before; else 0. */
ngx_uint_t ngx_http_chatmaid_alarm_meet(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);

/* Says that a request has not met the trouble.  Returns 1 if the alarm was
 * raised, no request has met the trouble for five seconds, and no worker has
 * it: its end must be logged.  Else returns 0.  "id" is evaluated only if some
 * alarm is raised, because that is rare. */
#define ngx_http_chatmaid_alarm_pass(zone, id)                                \
    (ngx_http_chatmaid_alarm_is_any(zone)                                     \
     && ngx_http_chatmaid_alarm_pass_one(zone, id))

ngx_uint_t ngx_http_chatmaid_alarm_is_any(ngx_shm_zone_t *zone);
ngx_uint_t ngx_http_chatmaid_alarm_pass_one(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);


#endif /* _NGX_HTTP_CHATMAID_ALARM_H_INCLUDED_ */
