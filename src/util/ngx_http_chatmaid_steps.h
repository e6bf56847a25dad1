
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The work on a request, as a table of steps.  A step that has to wait parks
 * the request; when the wait is over, the request continues with the next step.
 */


#ifndef _NGX_HTTP_CHATMAID_STEPS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STEPS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* A step returns NGX_OK to go on, or NGX_AGAIN to park the request.  Any other
 * value ends the run, and the request may have been freed then. */
typedef ngx_int_t (*ngx_http_chatmaid_step_pt)(ngx_http_request_t *r,
    void *data);


typedef struct {
    ngx_http_chatmaid_step_pt   *table;      /* ends with NULL */
    ngx_http_chatmaid_step_pt   *next;
    void                        *data;       /* argument of each step */
    unsigned                     parked:1;
} ngx_http_chatmaid_steps_t;


/* Sets the table and its first step.  "table" and "data" must last as long as
 * the steps run. */
void ngx_http_chatmaid_steps_init(ngx_http_chatmaid_steps_t *steps,
    ngx_http_chatmaid_step_pt *table, void *data);

/* Runs the steps until one does not return NGX_OK, and returns that value;
 * returns NGX_OK at the end of the table. */
ngx_int_t ngx_http_chatmaid_steps_run(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps);

/* Makes this step of the table the next one.  If it is not in the table, an
 * alert is logged, and the next step is one that returns NGX_ERROR. */
void ngx_http_chatmaid_steps_go(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps, ngx_http_chatmaid_step_pt step);

/* Resumes a parked request by calling its write_event_handler, which runs the
 * steps.  For handlers of timers and of Redis replies; a subrequest posts its
 * parent instead.  r may have been freed when this returns. */
void ngx_http_chatmaid_steps_resume(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps);


#endif /* _NGX_HTTP_CHATMAID_STEPS_H_INCLUDED_ */
