
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * Lists in the zone with one element for each account.  There are few accounts,
 * so a list is searched from its beginning.  All functions are called with the
 * zone locked.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_ACCOUNT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_ACCOUNT_H_INCLUDED_


#include "ngx_http_chatmaid_zone.h"


/* The first member of each element. */

typedef struct {
    ngx_queue_t  queue;
    u_char       id[NGX_HTTP_CHATMAID_ID_LEN];
} ngx_http_chatmaid_zone_account_t;


/* Returns the element of the list for the account with this id, or NULL. */
void *ngx_http_chatmaid_zone_account_find(ngx_queue_t *list, u_char *id);

/* Adds an element of "size" bytes, all zeros but for the first member.  The
 * zone owns it, and it is never freed.  NULL: there is no room. */
void *ngx_http_chatmaid_zone_account_add(ngx_http_chatmaid_zone_t *zone,
    ngx_queue_t *list, u_char *id, size_t size);


#endif /* _NGX_HTTP_CHATMAID_ZONE_ACCOUNT_H_INCLUDED_ */
