
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * One try to reach Chatmaid: a background subrequest to the internal location,
 * whose answer is captured instead of sent to the caller.
 */


#ifndef _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_


#include "ngx_http_chatmaid.h"


#define NGX_HTTP_CHATMAID_MAX_ANSWER  (4 * 1024 * 1024)

/* Stands for the internal location's name; no target begins with it. */
#define NGX_HTTP_CHATMAID_MARK        '#'


struct ngx_http_chatmaid_call_s {
    ngx_http_chatmaid_flow_t       *flow;      /* the flow it belongs to */
    ngx_http_chatmaid_loc_conf_t  *conf;     /* of the flow's location */
    ngx_http_chatmaid_gateway_t   *gateway;
    ngx_http_request_t            *request;  /* NULL when it is done */
    ngx_http_upstream_t           *upstream; /* that got the key; NULL: none */
    ngx_uint_t                     state;    /* its first upstream state */

    ngx_str_t                      path;
    ngx_str_t                      answer;   /* the body captured so far */
    size_t                         size;     /* bytes allocated for it */
    ngx_uint_t                     status;   /* Chatmaid's; 0: no answer */
    ngx_int_t                      rc;       /* nginx's, when done */

    const char                    *refused;  /* why nothing was sent, or NULL */

    unsigned                       aimed:1;  /* the subrequest has its target */
    unsigned                       whole:1;
    unsigned                       overflow:1;  /* larger than we take */
    unsigned                       aborted:1;  /* by us: that or no memory */
    unsigned                       not_upstream:1;  /* answered by something else */
};


/* Starts a call of the flow's path, a POST where there is a body (which must
 * outlive the call), and stores it in flow->call.  NGX_AGAIN: the flow is to be
 * parked, and resumed when the call is done; NGX_ERROR: nothing was started. */
ngx_int_t ngx_http_chatmaid_call_start(ngx_http_request_t *r,
    ngx_http_chatmaid_flow_t *flow, ngx_str_t *body);

/* Passes on a wake-up of the caller's connection to a subrequest that waits for
 * it, as one delayed by limit_req does.  "call" may be NULL. */
void ngx_http_chatmaid_call_wake(ngx_http_chatmaid_call_t *call);

/* Whether no byte of a finished call can have arrived at any peer. */
ngx_uint_t ngx_http_chatmaid_call_not_sent(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);

/* The call whose subrequest r is, or NULL. */
ngx_http_chatmaid_call_t *ngx_http_chatmaid_call_get(ngx_http_request_t *r);

/* The capture, called for such an r: nothing of it goes further. */
ngx_int_t ngx_http_chatmaid_call_header_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call);
ngx_int_t ngx_http_chatmaid_call_body_filter(ngx_http_request_t *r,
    ngx_http_chatmaid_call_t *call, ngx_chain_t *in);

/* ngx_http_handler_pt: gives the subrequest its real target. */
ngx_int_t ngx_http_chatmaid_call_precontent_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_CALL_H_INCLUDED_ */
