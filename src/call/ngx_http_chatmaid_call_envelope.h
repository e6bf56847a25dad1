
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The envelope of Chatmaid's answers, {"success": …, "data": …}, as ranges of
 * its bytes.  A member that is there twice means its last value, as in
 * JavaScript.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_ENVELOPE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_ENVELOPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t  text;             /* without white space around it */
    ngx_str_t  data;             /* empty: there is none, as there is no */
    ngx_str_t  pagination;
    ngx_str_t  id;               /* data.id, if it is a string: what it has
                                  * between its quotes, escapes too */
    unsigned   failed:1;         /* "success" is false */
} ngx_http_chatmaid_call_envelope_t;


/* Reads an answer, any JSON text.  NGX_OK; NGX_DECLINED: it is not JSON;
 * NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_call_envelope_read(ngx_pool_t *pool,
    ngx_str_t *answer, ngx_http_chatmaid_call_envelope_t *envelope);


#endif /* _NGX_HTTP_CHATMAID_CALL_ENVELOPE_H_INCLUDED_ */
