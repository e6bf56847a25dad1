
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the metrics and the page show about each account.
 */


#ifndef _NGX_HTTP_CHATMAID_STATUS_ACCOUNTS_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_STATUS_ACCOUNTS_H_INCLUDED_


#include "ngx_http_chatmaid.h"
#include "ngx_http_chatmaid_status_writer.h"


/* Writes the metrics of all accounts. */
void ngx_http_chatmaid_status_accounts_write(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);

/* For the page: writes the pace of each account that has one, and how many of
 * the account's calls wait. */
void ngx_http_chatmaid_status_accounts_paces(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);


#endif /* _NGX_HTTP_CHATMAID_STATUS_ACCOUNTS_H_INCLUDED_ */
