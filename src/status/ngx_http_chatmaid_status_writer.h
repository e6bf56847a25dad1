
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Writes metrics as text for Prometheus or as JSON.  In JSON a metric is an
 * array of objects.  Each has the labels of one sample and its "value", or the
 * "count", "sum" and "buckets" of one histogram.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_WRITER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_WRITER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_chatmaid_counters.h"


typedef struct {
    ngx_pool_t    *pool;
    ngx_chain_t   *out;                /* the text */
    ngx_chain_t   *last;               /* its last part, or NULL */
    off_t          size;

    const char    *metric;             /* the current one; NULL: none yet */
    ngx_uint_t     samples;            /* written of this metric */

    unsigned       json:1;
    unsigned       failed:1;           /* there was no memory */
} ngx_http_chatmaid_status_writer_t;


typedef struct {
    const char    *name;
    ngx_str_t      value;              /* any bytes */
} ngx_http_chatmaid_status_label_t;


/* init() must be called first, and end() last.  The text, w->out, is in the
 * pool.  end() returns NGX_OK, or NGX_ERROR if memory was missing for any part
 * of it. */
void ngx_http_chatmaid_status_writer_init(
    ngx_http_chatmaid_status_writer_t *w, ngx_pool_t *pool, ngx_uint_t json);
ngx_int_t ngx_http_chatmaid_status_writer_end(
    ngx_http_chatmaid_status_writer_t *w);

/* Sets a label.  Both strings must live until the last sample with this label
 * has been written. */
void ngx_http_chatmaid_status_writer_label(
    ngx_http_chatmaid_status_label_t *label, const char *name,
    const char *value);

/* metric() begins a metric; "name" must live until its last sample, and JSON
 * needs no "type" and "help".  The metric's samples follow, each with n labels.
 * msec() writes milliseconds as seconds. */
void ngx_http_chatmaid_status_writer_metric(
    ngx_http_chatmaid_status_writer_t *w, const char *name, const char *type,
    const char *help);
void ngx_http_chatmaid_status_writer_sample(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, uint64_t value);
void ngx_http_chatmaid_status_writer_msec(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, uint64_t msec);
void ngx_http_chatmaid_status_writer_histogram(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n,
    ngx_http_chatmaid_histogram_t *histogram);

/* Write a whole metric without labels: one sample, or one histogram. */
void ngx_http_chatmaid_status_writer_gauge(
    ngx_http_chatmaid_status_writer_t *w, const char *name, const char *help,
    uint64_t value);
void ngx_http_chatmaid_status_writer_times(
    ngx_http_chatmaid_status_writer_t *w, const char *name, const char *help,
    ngx_http_chatmaid_histogram_t *histogram);


#endif /* _NGX_HTTP_CHATMAID_STATUS_WRITER_H_INCLUDED_ */
