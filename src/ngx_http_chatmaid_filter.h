
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The module's place in nginx's filter chain: it captures the answers of calls,
 * makes problems of nginx's own error pages, and notes what the sender of a
 * webhook is answered.
 */


#ifndef _NGX_HTTP_CHATMAID_FILTER_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_FILTER_H_INCLUDED_


/* At postconfiguration. */
void ngx_http_chatmaid_filter_init(void);


#endif /* _NGX_HTTP_CHATMAID_FILTER_H_INCLUDED_ */
