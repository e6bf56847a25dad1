
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_alarm.h"


#define NGX_HTTP_CHATMAID_ALARM_ZONE_SIZE  65536    /* bytes */

/* The number of alarms that can be raised at once.  Further ones are not
 * logged. */
#define NGX_HTTP_CHATMAID_ALARM_MAX        64

/* For how many milliseconds no request must have met a trouble before it is
 * over.  Some requests may meet it while others don't: without this pause each
 * change would be a log line. */
#define NGX_HTTP_CHATMAID_ALARM_CALM       5000


/* An alarm that is not raised is free for another id. */

typedef struct {
    ngx_http_chatmaid_alarm_id_t        id;
    ngx_uint_t                          is_met;   /* by requests */
    ngx_msec_t                          met;      /* the latest time */
} ngx_http_chatmaid_alarm_t;


/* Indexed by ngx_worker.  A worker that is shutting down has lost its number to
 * a new worker: from then on it raises no alarm and lowers none. */

typedef struct {
    ngx_pid_t                           pid;
    uint64_t                            troubles; /* a bit for each alarm */
} ngx_http_chatmaid_alarm_worker_t;


typedef struct {
    uint64_t                            raised;   /* a bit for each alarm */
    ngx_http_chatmaid_alarm_t           alarms[NGX_HTTP_CHATMAID_ALARM_MAX];
    ngx_http_chatmaid_alarm_worker_t    workers[NGX_MAX_PROCESSES];
} ngx_http_chatmaid_alarm_sh_t;


#define ngx_http_chatmaid_alarm_bit(sh, alarm)                                \
    ((uint64_t) 1 << ((alarm) - (sh)->alarms))


static ngx_int_t ngx_http_chatmaid_alarm_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_http_chatmaid_alarm_worker_t *ngx_http_chatmaid_alarm_lock(
    ngx_shm_zone_t *zone);
static void ngx_http_chatmaid_alarm_unlock(ngx_shm_zone_t *zone);
static ngx_http_chatmaid_alarm_t *ngx_http_chatmaid_alarm_find(
    ngx_http_chatmaid_alarm_sh_t *sh, ngx_http_chatmaid_alarm_id_t id);
static ngx_http_chatmaid_alarm_t *ngx_http_chatmaid_alarm_get(
    ngx_http_chatmaid_alarm_sh_t *sh, ngx_http_chatmaid_alarm_id_t id,
    ngx_uint_t *news);
static ngx_uint_t ngx_http_chatmaid_alarm_count(
    ngx_http_chatmaid_alarm_sh_t *sh, ngx_http_chatmaid_alarm_t *alarm);


/* nginx recognises a zone at a reload by its tag.  The zone of chatmaid_zone
 * has the module itself for its tag, so this zone needs another one. */

static ngx_uint_t  ngx_http_chatmaid_alarm_tag;


ngx_shm_zone_t *
ngx_http_chatmaid_alarm_add(ngx_conf_t *cf)
{
    ngx_str_t        name = ngx_string("ngx_http_chatmaid_alarms");
    ngx_shm_zone_t  *zone;

    zone = ngx_shared_memory_add(cf, &name,
                                 ngx_max(NGX_HTTP_CHATMAID_ALARM_ZONE_SIZE,
                                         8 * ngx_pagesize),
                                 &ngx_http_chatmaid_alarm_tag);
    if (zone) {
        zone->init = ngx_http_chatmaid_alarm_init_zone;
    }

    return zone;
}


static ngx_int_t
ngx_http_chatmaid_alarm_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (data == NULL && zone->shm.exists) {
        data = shpool->data;
    }

    if (data == NULL) {
        data = ngx_slab_calloc(shpool, sizeof(ngx_http_chatmaid_alarm_sh_t));
        if (data == NULL) {
            return NGX_ERROR;
        }

        shpool->data = data;
    }

    zone->data = data;

    return NGX_OK;
}


void
ngx_http_chatmaid_alarm_init(ngx_shm_zone_t *zone)
{
    ngx_slab_pool_t                   *shpool;
    ngx_http_chatmaid_alarm_sh_t      *sh;
    ngx_http_chatmaid_alarm_worker_t  *worker;

    /* not in the cache manager, whose ngx_worker is a worker's number too */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    sh = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    worker = &sh->workers[ngx_worker];

    ngx_shmtx_lock(&shpool->mutex);

    worker->pid = ngx_pid;
    worker->troubles = 0;

    ngx_shmtx_unlock(&shpool->mutex);
}


ngx_http_chatmaid_alarm_id_t
ngx_http_chatmaid_alarm_id(const char *kind, ngx_str_t *thing)
{
    uint32_t  crc;

    ngx_crc32_init(crc);
    ngx_crc32_update(&crc, (u_char *) kind, ngx_strlen(kind));

    if (thing) {
        ngx_crc32_update(&crc, thing->data, thing->len);
    }

    ngx_crc32_final(crc);

    return crc;
}


ngx_uint_t
ngx_http_chatmaid_alarm_raise(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id)
{
    ngx_uint_t                         news;
    ngx_http_chatmaid_alarm_t         *alarm;
    ngx_http_chatmaid_alarm_sh_t      *sh;
    ngx_http_chatmaid_alarm_worker_t  *worker;

    sh = zone->data;
    news = 0;

    worker = ngx_http_chatmaid_alarm_lock(zone);

    if (worker) {
        alarm = ngx_http_chatmaid_alarm_get(sh, id, &news);

        if (alarm) {
            worker->troubles |= ngx_http_chatmaid_alarm_bit(sh, alarm);
        }
    }

    ngx_http_chatmaid_alarm_unlock(zone);

    return news;
}


ngx_uint_t
ngx_http_chatmaid_alarm_lower(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id)
{
    ngx_uint_t                         news;
    ngx_http_chatmaid_alarm_t         *alarm;
    ngx_http_chatmaid_alarm_sh_t      *sh;
    ngx_http_chatmaid_alarm_worker_t  *worker;

    sh = zone->data;
    news = 0;

    worker = ngx_http_chatmaid_alarm_lock(zone);
    alarm = ngx_http_chatmaid_alarm_find(sh, id);

    if (worker && alarm) {
        worker->troubles &= ~ngx_http_chatmaid_alarm_bit(sh, alarm);

        if (ngx_http_chatmaid_alarm_count(sh, alarm) == 0) {
            sh->raised &= ~ngx_http_chatmaid_alarm_bit(sh, alarm);
            news = 1;
        }
    }

    ngx_http_chatmaid_alarm_unlock(zone);

    return news;
}


ngx_uint_t
ngx_http_chatmaid_alarm_meet(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id)
{
    ngx_uint_t                  news;
    ngx_http_chatmaid_alarm_t  *alarm;

    news = 0;

    if (ngx_http_chatmaid_alarm_lock(zone)) {
        alarm = ngx_http_chatmaid_alarm_get(zone->data, id, &news);

        if (alarm) {
            alarm->is_met = 1;
            alarm->met = ngx_current_msec;
        }
    }

    ngx_http_chatmaid_alarm_unlock(zone);

    return news;
}


/* Reads without the lock. */

ngx_uint_t
ngx_http_chatmaid_alarm_is_any(ngx_shm_zone_t *zone)
{
    ngx_http_chatmaid_alarm_sh_t  *sh = zone->data;

    return sh->raised != 0;
}


ngx_uint_t
ngx_http_chatmaid_alarm_pass_one(ngx_shm_zone_t *zone,
    ngx_http_chatmaid_alarm_id_t id)
{
    ngx_uint_t                     news;
    ngx_http_chatmaid_alarm_t     *alarm;
    ngx_http_chatmaid_alarm_sh_t  *sh;

    sh = zone->data;
    news = 0;

    if (ngx_http_chatmaid_alarm_lock(zone)) {
        alarm = ngx_http_chatmaid_alarm_find(sh, id);

        if (alarm
            && ngx_http_chatmaid_alarm_count(sh, alarm) == 0
            && (!alarm->is_met
                || (ngx_msec_int_t) (ngx_current_msec - alarm->met)
                   >= NGX_HTTP_CHATMAID_ALARM_CALM))
        {
            sh->raised &= ~ngx_http_chatmaid_alarm_bit(sh, alarm);
            news = 1;
        }
    }

    ngx_http_chatmaid_alarm_unlock(zone);

    return news;
}


/* Locks the zone in any case.  NULL: another worker has this worker's number
 * now. */

static ngx_http_chatmaid_alarm_worker_t *
ngx_http_chatmaid_alarm_lock(ngx_shm_zone_t *zone)
{
    ngx_slab_pool_t                   *shpool;
    ngx_http_chatmaid_alarm_sh_t      *sh;
    ngx_http_chatmaid_alarm_worker_t  *worker;

    sh = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    worker = &sh->workers[ngx_worker];

    ngx_shmtx_lock(&shpool->mutex);

    return (worker->pid == ngx_pid) ? worker : NULL;
}


static void
ngx_http_chatmaid_alarm_unlock(ngx_shm_zone_t *zone)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    ngx_shmtx_unlock(&shpool->mutex);
}


/* Returns the alarm if it is raised, else NULL. */

static ngx_http_chatmaid_alarm_t *
ngx_http_chatmaid_alarm_find(ngx_http_chatmaid_alarm_sh_t *sh,
    ngx_http_chatmaid_alarm_id_t id)
{
    ngx_uint_t                  i;
    ngx_http_chatmaid_alarm_t  *alarm;

    for (i = 0; i < NGX_HTTP_CHATMAID_ALARM_MAX; i++) {
        alarm = &sh->alarms[i];

        if ((sh->raised & ngx_http_chatmaid_alarm_bit(sh, alarm))
            && alarm->id == id)
        {
            return alarm;
        }
    }

    return NULL;
}


/* The same, but raises the alarm if it is not raised, and sets *news then.
 * NULL: too many alarms are raised. */

static ngx_http_chatmaid_alarm_t *
ngx_http_chatmaid_alarm_get(ngx_http_chatmaid_alarm_sh_t *sh,
    ngx_http_chatmaid_alarm_id_t id, ngx_uint_t *news)
{
    ngx_uint_t                  i;
    ngx_http_chatmaid_alarm_t  *alarm;

    alarm = ngx_http_chatmaid_alarm_find(sh, id);

    if (alarm) {
        return alarm;
    }

    for (i = 0; i < NGX_HTTP_CHATMAID_ALARM_MAX; i++) {
        alarm = &sh->alarms[i];

        if (!(sh->raised & ngx_http_chatmaid_alarm_bit(sh, alarm))) {
            sh->raised |= ngx_http_chatmaid_alarm_bit(sh, alarm);
            alarm->id = id;
            alarm->is_met = 0;
            *news = 1;

            return alarm;
        }
    }

    return NULL;
}


/* Counts the workers of this configuration that have the trouble. */

static ngx_uint_t
ngx_http_chatmaid_alarm_count(ngx_http_chatmaid_alarm_sh_t *sh,
    ngx_http_chatmaid_alarm_t *alarm)
{
    uint64_t          bit;
    ngx_int_t         i;
    ngx_uint_t        n;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                           ngx_core_module);
    bit = ngx_http_chatmaid_alarm_bit(sh, alarm);
    n = 0;

    for (i = 0; i < ccf->worker_processes && i < NGX_MAX_PROCESSES; i++) {
        n += ((sh->workers[i].troubles & bit) != 0);
    }

    return n;
}
