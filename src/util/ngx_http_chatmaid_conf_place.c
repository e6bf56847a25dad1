
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_conf_place.h"


void
ngx_http_chatmaid_conf_place_set(ngx_conf_file_t *place, ngx_conf_t *cf)
{
    ngx_memzero(place, sizeof(ngx_conf_file_t));

    /* there is no file if the directive is from the command line ("-g") */
    place->file.fd = NGX_INVALID_FILE;

    if (cf->conf_file) {
        place->file.fd = cf->conf_file->file.fd;
        place->file.name = cf->conf_file->file.name;
        place->line = cf->conf_file->line;
    }
}


ngx_conf_t
ngx_http_chatmaid_conf_place_at(ngx_conf_file_t *place, ngx_conf_t *cf)
{
    ngx_conf_t  at;

    at = *cf;
    at.conf_file = place;

    return at;
}


char *
ngx_http_chatmaid_conf_place_shared(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, const char *directive)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%s\" shares the location \"%V\" with "
                       "another content handler", directive, &clcf->name);

    return NGX_CONF_ERROR;
}
