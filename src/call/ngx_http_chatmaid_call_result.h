
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a finished call means: Chatmaid's answer, or the problem to answer with.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_


#include "ngx_http_chatmaid.h"


/* Judges flow->call.  NGX_OK: "answer" is Chatmaid's success envelope, a part of
 * flow->call->answer, which has "data", and for a send data.id (of a read on the
 * native face it is not set); NGX_DECLINED: reply->problem, with its outcome. */
ngx_int_t ngx_http_chatmaid_call_result(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *answer);


#endif /* _NGX_HTTP_CHATMAID_CALL_RESULT_H_INCLUDED_ */
