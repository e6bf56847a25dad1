
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The state of one webhook request, and the functions that run its steps.  The
 * table of steps is in webhook.c; nothing here depends on it.
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
    NGX_HTTP_CHATMAID_WEBHOOK_RUNNING = 0,   /* steps run, or are parked */
    NGX_HTTP_CHATMAID_WEBHOOK_READING,       /* nginx reads the body */
    NGX_HTTP_CHATMAID_WEBHOOK_PASSED,        /* all steps returned NGX_OK */
    NGX_HTTP_CHATMAID_WEBHOOK_ANSWERED       /* by the module itself */
};


/*
 * nginx zeroes r->ctx on an internal redirect.  This state has to outlive the
 * redirect, so it is kept in a cleanup of the request's pool.
 *
 * A step returns NGX_OK (go on), NGX_AGAIN (parked), NGX_DECLINED (the webhook
 * is refused, reply->problem says why) or NGX_ERROR (an internal error).  Any
 * other value ends the steps, and the phase handler returns it; the request may
 * have been freed then.
 */

typedef struct {
    ngx_http_request_t                    *request;
    ngx_http_chatmaid_reply_t             *reply;       /* set by run() */
    ngx_http_chatmaid_steps_t              steps;
    ngx_uint_t                             state;

    ngx_http_chatmaid_webhook_signature_t  signature;
    ngx_str_t                              body;
    ngx_http_chatmaid_webhook_event_t      event;

    ngx_http_chatmaid_webhook_delivery_t  *delivery;
    ngx_http_chatmaid_redis_command_t     *command;     /* pending: inbox */
    ngx_int_t                              added;       /* inbox_added() */

    const char                            *result;      /* $chatmaid_webhook */

    unsigned                               authentic:1; /* event is verified */
    unsigned                               handed_on:1; /* at least once */
} ngx_http_chatmaid_webhook_t;


/* Creates the state of a request that will run this table of steps; it lives as
 * long as the request's pool.  NULL: no memory. */
ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_request_create(
    ngx_http_request_t *r, ngx_http_chatmaid_step_pt *table);

/* The state of a request, or of a subrequest's main request; NULL: there is
 * none. */
ngx_http_chatmaid_webhook_t *ngx_http_chatmaid_webhook_request_get(
    ngx_http_request_t *r);

/* Runs the remaining steps, and answers if one has refused or failed.  Returns
 * what the phase handler is to return. */
ngx_int_t ngx_http_chatmaid_webhook_request_run(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh);

/* Answers 200 in place of the location's handler.  "result" becomes the value
 * of $chatmaid_webhook.  Returns NGX_DONE, for a step to return; the request
 * may have been freed. */
ngx_int_t ngx_http_chatmaid_webhook_request_acknowledge(ngx_http_request_t *r,
    ngx_http_chatmaid_webhook_t *wh, const char *result);


#endif /* _NGX_HTTP_CHATMAID_WEBHOOK_REQUEST_H_INCLUDED_ */
