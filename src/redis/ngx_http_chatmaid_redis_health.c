
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_health.h"
#include "ngx_http_chatmaid_escape.h"


/* After a timeout or refusal the server counts as away for at least so long:
 * else a read that works between two writes that don't would make two lines in
 * the log each time. */
#define NGX_HTTP_CHATMAID_REDIS_HEALTH_CALM  5000


static void ngx_http_chatmaid_redis_health_up(
    ngx_http_chatmaid_redis_health_t *health);


void
ngx_http_chatmaid_redis_health_init(ngx_http_chatmaid_redis_health_t *health,
    ngx_http_chatmaid_redis_address_t *address, ngx_log_t *log)
{
    health->address = address;
    health->log = log;
}


void
ngx_http_chatmaid_redis_health_ready(ngx_http_chatmaid_redis_health_t *health)
{
    health->away = 0;

    if (!health->flapping && !health->troubled) {
        ngx_http_chatmaid_redis_health_up(health);
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
        ngx_http_chatmaid_redis_health_up(health);
    }
}


void
ngx_http_chatmaid_redis_health_answered(
    ngx_http_chatmaid_redis_health_t *health)
{
    if (health->up || health->flapping) {
        return;
    }

    if (health->troubled
        && (ngx_msec_int_t) (ngx_current_msec - health->trouble)
           < NGX_HTTP_CHATMAID_REDIS_HEALTH_CALM)
    {
        return;
    }

    ngx_http_chatmaid_redis_health_up(health);
}


void
ngx_http_chatmaid_redis_health_troubled(
    ngx_http_chatmaid_redis_health_t *health, const char *reason,
    ngx_str_t *text)
{
    health->trouble = ngx_current_msec;
    health->troubled = 1;

    ngx_http_chatmaid_redis_health_down(health, 0, reason, text);
}


void
ngx_http_chatmaid_redis_health_lost(ngx_http_chatmaid_redis_health_t *health,
    ngx_err_t err, const char *reason, ngx_uint_t lasted, ngx_uint_t refused)
{
    if (reason) {
        ngx_http_chatmaid_redis_health_down(health, err, reason, NULL);
    }

    /* after a timeout alone the next PING says enough */

    health->troubled = refused;
    health->flapping = !lasted;
}


void
ngx_http_chatmaid_redis_health_failed(ngx_http_chatmaid_redis_health_t *health,
    ngx_err_t err, const char *reason)
{
    health->away = 1;
    health->troubled = 0;

    ngx_http_chatmaid_redis_health_down(health, err, reason, NULL);
}


void
ngx_http_chatmaid_redis_health_away(ngx_http_chatmaid_redis_health_t *health,
    const char *reason)
{
    health->away = 1;

    if (reason) {
        ngx_http_chatmaid_redis_health_down(health, 0, reason, NULL);
    }
}


void
ngx_http_chatmaid_redis_health_down(ngx_http_chatmaid_redis_health_t *health,
    ngx_err_t err, const char *reason, ngx_str_t *text)
{
    u_char  *p, quoted[NGX_HTTP_CHATMAID_ESCAPE_SIZE + sizeof(" \"\"") - 1];

    health->up = 0;

    if (health->noted) {
        return;
    }

    health->noted = 1;

    p = quoted;

    if (text) {
        *p++ = ' ';
        *p++ = '"';
        p = ngx_http_chatmaid_escape(p, text->data, text->len);
        *p++ = '"';
    }

    ngx_log_error(NGX_LOG_NOTICE, health->log, err,
                  "chatmaid redis \"%V\" is away: %s%*s",
                  &health->address->current->name, reason,
                  (size_t) (p - quoted), quoted);
}


static void
ngx_http_chatmaid_redis_health_up(ngx_http_chatmaid_redis_health_t *health)
{
    health->up = 1;
    health->troubled = 0;

    if (!health->noted) {
        return;
    }

    health->noted = 0;

    ngx_log_error(NGX_LOG_NOTICE, health->log, 0,
                  "chatmaid redis \"%V\" is back",
                  &health->address->current->name);
}
