
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The module's place in nginx's filter chain.  The filters capture the answers
 * of calls, turn nginx's own error pages into problems, and settle the mark of
 * a webhook's event by the status of its answer.
 */


#ifndef _NGX_HTTP_CHATMAID_FILTER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_FILTER_H_INCLUDED_


/* Installs the filters.  To be called at postconfiguration. */
void ngx_http_chatmaid_filter_init(void);


#endif /* _NGX_HTTP_CHATMAID_FILTER_H_INCLUDED_ */
