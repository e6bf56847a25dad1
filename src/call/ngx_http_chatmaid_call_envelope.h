
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The envelope of Chatmaid's answers, {"success": …, "data": …}: its parts
 * are ranges of the answer's bytes.  If a member is repeated, the last value
 * counts, as in JavaScript.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_ENVELOPE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_ENVELOPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_str_t  text;             /* all of it, without white space around */
    ngx_str_t  data;             /* or empty */
    ngx_str_t  pagination;       /* or empty */
    ngx_str_t  id;               /* data.id if it is a string, without quotes
                                  * but with its escapes; or empty */
    unsigned   failed:1;         /* "success" is false */
} ngx_http_chatmaid_call_envelope_t;


/* Reads an answer, which may be any JSON value.  The parts point into it.
 * NGX_OK; NGX_DECLINED: it is not JSON; NGX_ERROR: no memory. */
ngx_int_t ngx_http_chatmaid_call_envelope_read(ngx_pool_t *pool,
    ngx_str_t *answer, ngx_http_chatmaid_call_envelope_t *envelope);


#endif /* _NGX_HTTP_CHATMAID_CALL_ENVELOPE_H_INCLUDED_ */
