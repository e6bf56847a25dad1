
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * nginx's lists of headers: those of a request, or of an answer.
 */


#ifndef _NGX_HTTP_CHATMAID_REQUEST_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_REQUEST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* Returns the first header with this name, or the next one behind "after" if
 * that is not NULL.  "name" must be in lower case.  NULL: there is none. */
ngx_table_elt_t *ngx_http_chatmaid_request_header(ngx_list_part_t *part,
    const char *name, ngx_table_elt_t *after);

/* Adds a header, of which the caller sets all but "next", which is NULL.
 * NULL without memory. */
ngx_table_elt_t *ngx_http_chatmaid_request_push(ngx_list_t *headers);

/* Whether there is a Content-Encoding other than "identity". */
ngx_uint_t ngx_http_chatmaid_request_is_encoded(ngx_list_part_t *part);

/* Whether a Content-Type (NULL: absent) is application/json, with or without
 * parameters. */
ngx_uint_t ngx_http_chatmaid_request_is_json(ngx_table_elt_t *content_type);


#endif /* _NGX_HTTP_CHATMAID_REQUEST_H_INCLUDED_ */
