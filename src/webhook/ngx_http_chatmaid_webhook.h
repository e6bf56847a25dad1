
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Webhooks: a request is verified before its location's handler runs, and each
 * event is handed on until that handler has answered 2xx.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_


#include "ngx_http_chatmaid_webhook_delivery.h"
#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_webhook_signature.h"


typedef struct ngx_http_chatmaid_webhook_s  ngx_http_chatmaid_webhook_t;

/* NGX_OK (go on), NGX_AGAIN (parked: a completion resumes with the next step),
 * NGX_DECLINED (refused: ctx->problem says how), NGX_ERROR (our own fault);
 * anything else ends the handler with it. */
typedef ngx_int_t (*ngx_http_chatmaid_webhook_step_pt)(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);


/*
 * What is known of a request.  It outlives internal redirects, which zero
 * r->ctx: a cleanup of the request's pool holds it.
 */

struct ngx_http_chatmaid_webhook_s {
    ngx_http_request_t                    *request;
    ngx_http_chatmaid_ctx_t               *ctx;         /* while steps run */
    ngx_http_chatmaid_webhook_step_pt     *next;

    ngx_http_chatmaid_webhook_signature_t  signature;
    ngx_str_t                              body;
    ngx_http_chatmaid_webhook_event_t      event;

    ngx_http_chatmaid_webhook_delivery_t  *delivery;
    ngx_http_chatmaid_redis_command_t     *command;     /* of a stream */
    ngx_int_t                              added;

    const char                            *result;      /* $chatmaid_webhook */
    ngx_uint_t                             status;      /* answered at last */

    unsigned                               reading:1;   /* its body */
    unsigned                               parked:1;
    unsigned                               authentic:1; /* event is Chatmaid's */
    unsigned                               passed:1;    /* handed on */
    unsigned                               answered:1;  /* refused, a repeat */
};


/* ngx_http_handler_pt of the PRECONTENT phase: verifies and hands on. */
ngx_int_t ngx_http_chatmaid_webhook_handler(ngx_http_request_t *r);

/* The same of the LOG phase: settles what was handed on. */
ngx_int_t ngx_http_chatmaid_webhook_log_handler(ngx_http_request_t *r);

/* Notes what is answered, a refusal of nginx's own included. */
void ngx_http_chatmaid_webhook_header_filter(ngx_http_request_t *r);

/* What is known of a request (or of the one that a subrequest belongs to), or
 * NULL. */
ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_get(
    ngx_http_request_t *r);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_H_INCLUDED_ */
