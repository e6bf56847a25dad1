
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Escapes bytes from outside for a log line, so that nobody can forge a line,
 * and cuts them, so that no line becomes too long.
 */


#ifndef _NGX_HTTP_CHATMAID_ESCAPE_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ESCAPE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CHATMAID_ESCAPE_MAX   128      /* bytes of a text */
#define NGX_HTTP_CHATMAID_ESCAPE_SIZE  (NGX_HTTP_CHATMAID_ESCAPE_MAX * 4)


/* Writes at most the first ESCAPE_MAX bytes of "text" to "dst", which needs
 * ESCAPE_SIZE bytes.  Quotes, backslashes, control characters and bytes that
 * are not ASCII become \xHH.  Returns the end of what it has written. */
u_char *ngx_http_chatmaid_escape(u_char *dst, const u_char *text, size_t len);


#endif /* _NGX_HTTP_CHATMAID_ESCAPE_H_INCLUDED_ */
