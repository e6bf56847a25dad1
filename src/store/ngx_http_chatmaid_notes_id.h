
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What a note about a message is called: it is left when something has happened
 * to the message, and looked for by who waits for that.
 */


#ifndef _NGX_HTTP_CHATMAID_NOTES_ID_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_NOTES_ID_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Writes the id of a message's notes to id[NGX_HTTP_CHATMAID_ID_LEN].  The
 * account is that of chatmaid_account alone: who leaves a note may have no key,
 * and so no environment.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_notes_id(ngx_pool_t *pool, ngx_str_t *account_name,
    ngx_str_t *message_id, u_char *id);


#endif /* _NGX_HTTP_CHATMAID_NOTES_ID_H_INCLUDED_ */
