
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The metrics, as docs/monitoring.md lists them.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_METRICS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_METRICS_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_status_writer.h"


/* Writes all metrics; in JSON also what only the page shows.  A failure is
 * reported by writer_end(). */
void ngx_http_chatmaid_status_metrics_write(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_STATUS_METRICS_H_INCLUDED_ */
