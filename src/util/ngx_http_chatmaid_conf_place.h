
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Places in the configuration.  What is wrong is often seen only once all of it
 * has been read: the message then says where the cause stands, not where nginx
 * has stopped reading.
 */


#ifndef _NGX_HTTP_CHATMAID_CONF_PLACE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CONF_PLACE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Notes where cf is: the file and the line of the directive or block that is
 * read; nothing else of a place is set. */
void ngx_http_chatmaid_conf_place_set(ngx_conf_file_t *place, ngx_conf_t *cf);

/* A copy of cf for ngx_conf_log_error(), which then names that place. */
ngx_conf_t ngx_http_chatmaid_conf_place_at(ngx_conf_file_t *place,
    ngx_conf_t *cf);

/* Refuses a location that has another content handler than the directive's: the
 * one that comes last would win.  NGX_CONF_ERROR. */
char *ngx_http_chatmaid_conf_place_shared(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, const char *directive);


#endif /* _NGX_HTTP_CHATMAID_CONF_PLACE_H_INCLUDED_ */
