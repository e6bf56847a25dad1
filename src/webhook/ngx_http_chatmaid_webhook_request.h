
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The state of one webhook request, and what runs its steps.  webhook.c says
 * which steps there are: nothing here names one.
 */


#ifndef _NGX_HTTP_CHATMAID_WEBHOOK_REQUEST_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_WEBHOOK_REQUEST_H_INCLUDED_


#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_webhook_delivery.h"
#include "ngx_http_chatmaid_webhook_event.h"
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_steps.h"
#include "ngx_http_chatmaid_webhook_signature.h"


/* ngx_http_chatmaid_webhook_t.state */

enum {
    NGX_HTTP_CHATMAID_WEBHOOK_RUNNING = 0,   /* its steps run, or are parked */
    NGX_HTTP_CHATMAID_WEBHOOK_READING,       /* nginx reads the body */
    NGX_HTTP_CHATMAID_WEBHOOK_PASSED,        /* it went through all steps */
    NGX_HTTP_CHATMAID_WEBHOOK_ANSWERED       /* by the module itself */
};


/*
 * An internal redirect zeroes r->ctx.  This state has to outlive it, so a
 * cleanup of the request's pool holds it.
 *
 * A step returns NGX_OK, NGX_AGAIN, NGX_DECLINED (refused: reply->problem says
 * how) or NGX_ERROR (our own fault).  Anything else is what the phase handler
 * returns.
 */

typedef struct {
    ngx_http_request_t                    *request;
    ngx_http_chatmaid_reply_t             *reply;       /* while steps run */
    ngx_http_chatmaid_steps_t              steps;
    ngx_uint_t                             state;

    ngx_http_chatmaid_webhook_signature_t  signature;
    ngx_str_t                              body;
    ngx_http_chatmaid_webhook_event_t      event;

    ngx_http_chatmaid_webhook_delivery_t  *delivery;
    ngx_http_chatmaid_redis_command_t     *command;     /* of the inbox */
    ngx_int_t                              added;       /* to the inbox */

    const char                            *result;      /* $chatmaid_webhook */

    unsigned                               authentic:1; /* event is proved */
    unsigned                               handed_on:1; /* at least once */
} ngx_http_chatmaid_webhook_t;


/* Makes the state of a request that will run this table of steps.  NULL: no
 * memory. */
ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_request_create(
    ngx_http_request_t *r, ngx_http_chatmaid_step_pt *table);

/* The state of a request, or of the one that a subrequest belongs to; NULL:
 * there is none. */
ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_request_get(
    ngx_http_request_t *r);

/* Runs the steps that are left.  Returns what a phase handler returns. */
ngx_int_t ngx_http_chatmaid_webhook_request_run(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);

/* For a step to return: answers 200, and nothing is handed on. */
ngx_int_t ngx_http_chatmaid_webhook_request_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_REQUEST_H_INCLUDED_ */
