
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_zone_conf.h"
#include "ngx_http_chatmaid_secret_file.h"
#include "ngx_http_chatmaid_zone.h"


char *
ngx_http_chatmaid_zone_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_main_conf_t  *mcf = conf;

    u_char     *colon;
    ssize_t     size;
    ngx_str_t  *value, name, text;

    if (mcf->zone) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    name = value[1];

    colon = ngx_strlchr(name.data, name.data + name.len, ':');

    if (colon == NULL || colon == name.data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_zone\" needs NAME:SIZE, not \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    text.data = colon + 1;
    text.len = name.data + name.len - text.data;
    name.len = colon - name.data;

    size = ngx_parse_size(&text);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_zone\" needs a size of at least %uzk, "
                           "not \"%V\"", 8 * ngx_pagesize / 1024, &text);
        return NGX_CONF_ERROR;
    }

    mcf->zone = ngx_http_chatmaid_zone_add(cf, &name, size);

    return mcf->zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


void
ngx_http_chatmaid_zone_conf_warn(ngx_conf_t *cf)
{
    ngx_uint_t                      i;
    ngx_shm_zone_t                 *old, *zone;
    ngx_list_part_t                *part;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);

    if (mcf->redis) {
        return;
    }

    zone = mcf->zone;

    /* at a reload: the zones of the configuration that is still running */

    part = &cf->cycle->old_cycle->shared_memory.part;
    old = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            old = part->elts;
            i = 0;
        }

        if (old[i].tag != zone->tag
            || (old[i].shm.size == zone->shm.size
                && old[i].shm.name.len == zone->shm.name.len
                && ngx_strncmp(old[i].shm.name.data, zone->shm.name.data,
                               zone->shm.name.len)
                   == 0))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"chatmaid_zone\" changes from \"%V\" of %uzk to \"%V\" "
                      "of %uzk: its records are lost, and without a "
                      "\"chatmaid_redis\" a retry of a message sent before "
                      "may send it again", &old[i].shm.name,
                      old[i].shm.size / 1024, &zone->shm.name,
                      zone->shm.size / 1024);
        return;
    }
}
