
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_steps.h"


static ngx_int_t ngx_http_chatmaid_steps_fail(ngx_http_request_t *r,
    void *data);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_steps_failure[] = {
    ngx_http_chatmaid_steps_fail,
    NULL
};


void
ngx_http_chatmaid_steps_init(ngx_http_chatmaid_steps_t *steps,
    ngx_http_chatmaid_step_pt *table, void *data)
{
    steps->table = table;
    steps->next = table;
    steps->data = data;
}


ngx_int_t
ngx_http_chatmaid_steps_run(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps)
{
    ngx_int_t  rc;

    do {
        if (*steps->next == NULL) {
            return NGX_OK;
        }

        rc = (*steps->next++)(r, steps->data);

    } while (rc == NGX_OK);

    /* after any other value the memory of the steps may have been freed */

    if (rc == NGX_AGAIN) {
        steps->parked = 1;
    }

    return rc;
}


void
ngx_http_chatmaid_steps_go(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps, ngx_http_chatmaid_step_pt step)
{
    ngx_http_chatmaid_step_pt  *next;

    for (next = steps->table; *next; next++) {
        if (*next == step) {
            steps->next = next;
            return;
        }
    }

    ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                  "chatmaid step is not in its table");

    steps->next = ngx_http_chatmaid_steps_failure;
}


static ngx_int_t
ngx_http_chatmaid_steps_fail(ngx_http_request_t *r, void *data)
{
    return NGX_ERROR;
}


void
ngx_http_chatmaid_steps_resume(ngx_http_request_t *r,
    ngx_http_chatmaid_steps_t *steps)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    steps->parked = 0;
    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}
