
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a finished call means: Chatmaid's answer, or the problem to answer with.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Judges flow->call.  NGX_OK: *answer is Chatmaid's success envelope, which has
 * "data", and for a send data.id (the pool's reference); NGX_DECLINED:
 * flow->problem, with its outcome. */
ngx_int_t ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, json_t **answer);


#endif /* _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_ */
