
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Notes in Redis: a key each, "note:" and the id, whose value is the stamp.
 */


#ifndef _NGX_HTTP_CHATMAID_NOTES_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_NOTES_H_INCLUDED_


#include "ngx_http_chatmaid_store.h"


/* note() and look() of ngx_http_chatmaid_store_redis. */
void ngx_http_chatmaid_notes_leave(void *store, u_char *id, uint64_t stamp);
ngx_int_t ngx_http_chatmaid_notes_look(void *store,
    ngx_http_chatmaid_look_t *look);


#endif /* _NGX_HTTP_CHATMAID_NOTES_H_INCLUDED_ */
