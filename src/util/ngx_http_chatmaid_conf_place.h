
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Places in the configuration.  An error is often found only after the whole
 * configuration has been read: the message must then name the file and line of
 * its cause, not the place where nginx has stopped reading.
 */


#ifndef _NGX_HTTP_CHATMAID_CONF_PLACE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CONF_PLACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Sets *place to the file and line that cf is reading; its other members are
 * zero. */
void ngx_http_chatmaid_conf_place_set(ngx_conf_file_t *place, ngx_conf_t *cf);

/* Returns a copy of cf for ngx_conf_log_error(), which then names that place.
 * "place" must last as long as the copy. */
ngx_conf_t ngx_http_chatmaid_conf_place_at(ngx_conf_file_t *place,
    ngx_conf_t *cf);

/* Logs that the location of the directive has another content handler too, and
 * returns NGX_CONF_ERROR.  nginx itself would use the handler that was set
 * last. */
char *ngx_http_chatmaid_conf_place_shared(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, const char *directive);


#endif /* _NGX_HTTP_CHATMAID_CONF_PLACE_H_INCLUDED_ */
