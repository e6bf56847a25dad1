
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Writes metrics as text for Prometheus or as JSON.  In JSON a metric is an
 * array of objects, which have the labels of a sample and its "value", or the
 * "count", "sum" and "buckets" of a histogram.
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

    const char    *metric;             /* begun; NULL: none yet */
    ngx_uint_t     samples;            /* of it */

    unsigned       json:1;
    unsigned       failed:1;           /* there was no memory */
} ngx_http_chatmaid_status_writer_t;


typedef struct {
    const char    *name;
    ngx_str_t      value;              /* any bytes */
} ngx_http_chatmaid_status_label_t;


/* Everything else is called between these two.  end() returns NGX_OK, or
 * NGX_ERROR without memory; the text is in the pool. */
void ngx_http_chatmaid_status_writer_init(
    ngx_http_chatmaid_status_writer_t *w, ngx_pool_t *pool, ngx_uint_t json);
ngx_int_t ngx_http_chatmaid_status_writer_end(
    ngx_http_chatmaid_status_writer_t *w);

/* Both texts must outlive the samples it is for. */
void ngx_http_chatmaid_status_writer_label(
    ngx_http_chatmaid_status_label_t *label, const char *name,
    const char *value);

/* Begins a metric; "name" must outlive it.  Its samples follow, with n labels
 * each, or none. */
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

/* A metric that has one sample, or one histogram, without labels. */
void ngx_http_chatmaid_status_writer_gauge(
    ngx_http_chatmaid_status_writer_t *w, const char *name, const char *help,
    uint64_t value);
void ngx_http_chatmaid_status_writer_times(
    ngx_http_chatmaid_status_writer_t *w, const char *name, const char *help,
    ngx_http_chatmaid_histogram_t *histogram);


#endif /* _NGX_HTTP_CHATMAID_STATUS_WRITER_H_INCLUDED_ */
