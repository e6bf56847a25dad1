
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_health.h"
#include "ngx_http_chatmaid_counters.h"
#include "ngx_http_chatmaid_escape.h"


/* Milliseconds.  After a timeout or refusal the server counts as away for at
 * least this long.  Otherwise each read that succeeds between two writes that
 * fail would cause two log lines. */
#define NGX_HTTP_CHATMAID_REDIS_HEALTH_CALM  5000


/* Sizes of the parts of a log line that come from the server or from the
 * system. */
#define NGX_HTTP_CHATMAID_REDIS_HEALTH_TEXT                                   \
    (NGX_HTTP_CHATMAID_ESCAPE_SIZE + sizeof(" to SELECT: \"\"") - 1)
#define NGX_HTTP_CHATMAID_REDIS_HEALTH_ERR   128


static void ngx_http_chatmaid_redis_health_set_down(
    ngx_http_chatmaid_redis_health_t *health, ngx_uint_t down);
static void ngx_http_chatmaid_redis_health_count_up(
    ngx_http_chatmaid_redis_health_t *health);
static void ngx_http_chatmaid_redis_health_set_up(
    ngx_http_chatmaid_redis_health_t *health);
static void ngx_http_chatmaid_redis_health_log_away(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble);
static void ngx_http_chatmaid_redis_health_log_back(
    ngx_http_chatmaid_redis_health_t *health);


void
ngx_http_chatmaid_redis_health_init(ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_servers_t *servers, ngx_str_t *name,
    ngx_str_t *thing, ngx_log_t *log)
{
    health->servers = servers;
    health->name = name;
    health->log = log;

    health->alarm = ngx_http_chatmaid_alarm_id("redis", thing);
}


void
ngx_http_chatmaid_redis_health_need(ngx_http_chatmaid_redis_health_t *health)
{
    if (health->counts) {
        return;
    }

    health->counts = 1;
    health->servers->down += health->down;

    if (health->up) {
        ngx_http_chatmaid_redis_health_count_up(health);
    }
}


void
ngx_http_chatmaid_redis_health_ready(ngx_http_chatmaid_redis_health_t *health)
{
    ngx_http_chatmaid_redis_health_count_up(health);

    health->away = 0;

    if (!health->flapping && !health->troubled) {
        ngx_http_chatmaid_redis_health_set_up(health);
    }
}


void
ngx_http_chatmaid_redis_health_lasted(ngx_http_chatmaid_redis_health_t *health)
{
    if (!health->flapping) {
        return;
    }

    health->flapping = 0;

    if (!health->troubled) {
        ngx_http_chatmaid_redis_health_set_up(health);
    }
}


void
ngx_http_chatmaid_redis_health_answered(
    ngx_http_chatmaid_redis_health_t *health)
{
    ngx_http_chatmaid_redis_health_count_up(health);

    if (health->flapping) {
        return;
    }

    if (health->troubled
        && (ngx_msec_int_t) (ngx_current_msec - health->trouble)
           < NGX_HTTP_CHATMAID_REDIS_HEALTH_CALM)
    {
        return;
    }

    if (health->raised) {
        ngx_http_chatmaid_redis_health_set_up(health);
        return;
    }

    ngx_http_chatmaid_redis_health_set_down(health, 0);
    health->troubled = 0;

    /* the worker that met the trouble may get no more requests */

    if (ngx_http_chatmaid_alarm_pass(health->servers->alarms, health->alarm)) {
        ngx_http_chatmaid_redis_health_log_back(health);
    }
}


void
ngx_http_chatmaid_redis_health_troubled(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_health_set_down(health, 1);

    health->trouble = ngx_current_msec;
    health->troubled = 1;

    if (health->counts
        && ngx_http_chatmaid_alarm_meet(health->servers->alarms,
                                        health->alarm))
    {
        ngx_http_chatmaid_redis_health_log_away(health, trouble);
    }
}


void
ngx_http_chatmaid_redis_health_demoted(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    health->troubled = 0;

    ngx_http_chatmaid_redis_health_down(health, trouble);
}


void
ngx_http_chatmaid_redis_health_lost(ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble, ngx_uint_t lasted,
    ngx_uint_t refused)
{
    if (trouble) {
        ngx_http_chatmaid_redis_health_down(health, trouble);
    }

    /* after timeouts alone the next greeting is proof enough */

    health->troubled = refused && health->troubled;
    health->flapping = !lasted;
}


void
ngx_http_chatmaid_redis_health_failed(ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    health->away = 1;
    health->troubled = 0;

    ngx_http_chatmaid_redis_health_down(health, trouble);
}


void
ngx_http_chatmaid_redis_health_away(ngx_http_chatmaid_redis_health_t *health)
{
    health->away = 1;
}


void
ngx_http_chatmaid_redis_health_gone(ngx_http_chatmaid_redis_health_t *health)
{
    if (!health->counts) {
        return;
    }

    health->servers->down -= health->down;
    health->counts = 0;
    health->raised = 0;

    if (health->down && health->servers->down == 0) {
        ngx_http_chatmaid_counters_connected(1);
    }

    /* requests may have met the trouble too */

    if (ngx_http_chatmaid_alarm_lower(health->servers->alarms, health->alarm)) {
        ngx_log_error(NGX_LOG_ERR, health->log, 0,
                      "chatmaid redis \"%V\" is back at other nodes, which "
                      "have its slots now", health->name);
    }
}


void
ngx_http_chatmaid_redis_health_down(ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    ngx_http_chatmaid_redis_health_set_down(health, 1);

    if (health->raised || !health->counts) {
        return;
    }

    health->raised = 1;

    if (ngx_http_chatmaid_alarm_raise(health->servers->alarms, health->alarm)) {
        ngx_http_chatmaid_redis_health_log_away(health, trouble);
    }
}


/* Sets the flags "up" and "down", and counts the servers that are down. */

static void
ngx_http_chatmaid_redis_health_set_down(
    ngx_http_chatmaid_redis_health_t *health, ngx_uint_t down)
{
    if (health->counts) {
        health->servers->down += down;
        health->servers->down -= health->down;

        if (down) {
            ngx_http_chatmaid_counters_connected(0);
        }
    }

    health->up = !down;
    health->down = down;
}


/* The server answers.  That counts for chatmaid_redis_connected only if no
 * other server that is needed is down. */

static void
ngx_http_chatmaid_redis_health_count_up(
    ngx_http_chatmaid_redis_health_t *health)
{
    if (health->counts && health->servers->down <= health->down) {
        ngx_http_chatmaid_counters_connected(1);
    }
}


static void
ngx_http_chatmaid_redis_health_set_up(ngx_http_chatmaid_redis_health_t *health)
{
    ngx_uint_t       news;
    ngx_shm_zone_t  *alarms;

    if (health->up) {
        return;
    }

    alarms = health->servers->alarms;

    /* the first greeting of a new worker says nothing of what others meet */

    news = health->raised
           ? ngx_http_chatmaid_alarm_lower(alarms, health->alarm)
           : ngx_http_chatmaid_alarm_pass(alarms, health->alarm);

    ngx_http_chatmaid_redis_health_set_down(health, 0);
    health->raised = 0;
    health->troubled = 0;

    if (news) {
        ngx_http_chatmaid_redis_health_log_back(health);
    }
}


/* "chatmaid redis "host:port" is away: it answers to AUTH: "WRONGPASS": the
 * password is wrong; meanwhile ..." */

static void
ngx_http_chatmaid_redis_health_log_away(
    ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_trouble_t *trouble)
{
    u_char  *p, *e;
    u_char   text[NGX_HTTP_CHATMAID_REDIS_HEALTH_TEXT];
    u_char   err[NGX_HTTP_CHATMAID_REDIS_HEALTH_ERR];

    p = text;
    e = err;

    if (trouble->command.len) {
        p = ngx_sprintf(p, " to %V:", &trouble->command);
    }

    if (trouble->text.len) {
        *p++ = ' ';
        *p++ = '"';
        p = ngx_http_chatmaid_escape(p, trouble->text.data, trouble->text.len);
        *p++ = '"';
    }

    if (trouble->err) {
        e = ngx_sprintf(e, " (%d: ", trouble->err);
        e = ngx_strerror(trouble->err, e, err + sizeof(err) - 1 - e);
        *e++ = ')';
    }

    ngx_log_error(NGX_LOG_ERR, health->log, 0,
                  "chatmaid redis \"%V\" is away: %s%*s%*s%s%s; meanwhile %s",
                  health->name, trouble->reason,
                  (size_t) (p - text), text, (size_t) (e - err), err,
                  trouble->advice ? ": " : "",
                  trouble->advice ? trouble->advice : "",
                  health->servers->meanwhile);
}


static void
ngx_http_chatmaid_redis_health_log_back(
    ngx_http_chatmaid_redis_health_t *health)
{
    ngx_log_error(NGX_LOG_ERR, health->log, 0,
                  "chatmaid redis \"%V\" is back, its records count again",
                  health->name);
}
