
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a request does, as a table of steps.  A step that has to wait parks the
 * request; when what it waited for is there, the request goes on with the next
 * step.
 */


#ifndef _NGX_HTTP_CHATMAID_STEPS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STEPS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* NGX_OK: go on.  NGX_AGAIN: parked.  With any other value the run ends, and
 * the request may be gone. */
typedef ngx_int_t (*ngx_http_chatmaid_step_pt)(ngx_http_request_t *r,
    void *data);


typedef struct {
    ngx_http_chatmaid_step_pt   *table;      /* ended by NULL */
    ngx_http_chatmaid_step_pt   *next;
    void                        *data;       /* for the steps */
    unsigned                     parked:1;
} ngx_http_chatmaid_steps_t;


/* Begins a table. */
void ngx_http_chatmaid_steps_init(ngx_http_chatmaid_steps_t *steps,
    ngx_http_chatmaid_step_pt *table, void *data);

/* Runs the steps until one does not return NGX_OK, and returns what it
 * returned; NGX_OK at the end of the table. */
ngx_int_t ngx_http_chatmaid_steps_run(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps);

/* Goes on with this step of the table.  A step that is not in the table is an
 * alert, and the next run returns NGX_ERROR. */
void ngx_http_chatmaid_steps_go(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps, ngx_http_chatmaid_step_pt step);

/* Resumes a parked request by its write_event_handler, which runs the steps.
 * For an event of our own; a subrequest posts its parent instead.  r may be
 * gone after it. */
void ngx_http_chatmaid_steps_resume(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps);


#endif /* _NGX_HTTP_CHATMAID_STEPS_H_INCLUDED_ */
