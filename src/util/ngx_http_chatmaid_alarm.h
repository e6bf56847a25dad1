
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Troubles that an operator is told of once: when one begins and when it is
 * over, not for each worker and request.  So the workers of an nginx share what
 * the log already says, over a reload too.
 *
 * A worker has some troubles for itself, and knows when they are over, as that
 * of its connection: raise() and lower().  Others are met by requests in any
 * worker, as that of a stream: meet() and pass().  An alarm may have both.
 */


#ifndef _NGX_HTTP_CHATMAID_ALARM_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ALARM_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Names a trouble. */
typedef uint32_t  ngx_http_chatmaid_alarm_id_t;


/* At configuration: the shared memory of all alarms.  NULL: no memory. */
ngx_shm_zone_t *ngx_http_chatmaid_alarm_add(ngx_conf_t *cf);

/* When a worker starts: it takes the place of the worker before it, if there
 * was one, together with that worker's troubles. */
void ngx_http_chatmaid_alarm_init(ngx_shm_zone_t *zone);

/* The id of a kind of trouble, and of the thing that has it, or NULL. */
ngx_http_chatmaid_alarm_id_t ngx_http_chatmaid_alarm_id(const char *kind,
    ngx_str_t *thing);

/* This worker has the trouble.  Returns 1 if that is news, else 0. */
ngx_uint_t ngx_http_chatmaid_alarm_raise(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);

/* This worker certainly does not have it.  Returns 1 if it was the last that
 * had it, or has taken the place of the last; else 0. */
ngx_uint_t ngx_http_chatmaid_alarm_lower(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);

/* A request has met the trouble.  Returns 1 if that is news, else 0. */
ngx_uint_t ngx_http_chatmaid_alarm_meet(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);

/* A request has not met it.  Returns 1 if none has for five seconds, no worker
 * has it, and that is news; else 0.  Hardly ever is there any trouble: only
 * then "id" is evaluated. */
#define ngx_http_chatmaid_alarm_pass(zone, id)                                \
    (ngx_http_chatmaid_alarm_is_any(zone)                                     \
     && ngx_http_chatmaid_alarm_pass_one(zone, id))

ngx_uint_t ngx_http_chatmaid_alarm_is_any(ngx_shm_zone_t *zone);
ngx_uint_t ngx_http_chatmaid_alarm_pass_one(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id);


#endif /* _NGX_HTTP_CHATMAID_ALARM_H_INCLUDED_ */
