
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the zone holds of each account.  There are few accounts: they are looked
 * for one after the other, with the zone locked.
 */


#ifndef _NGX_HTTP_CHATMAID_ZONE_ACCOUNT_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_ZONE_ACCOUNT_H_INCLUDED_


#include "ngx_http_chatmaid_zone.h"


/* The first member of what is held. */

typedef struct {
    ngx_queue_t  queue;
    u_char       id[NGX_HTTP_CHATMAID_ID_LEN];
} ngx_http_chatmaid_zone_account_t;


/* What this list of the zone holds of the account with this id, or NULL. */
void *ngx_http_chatmaid_zone_account_find(ngx_queue_t *list, u_char *id);

/* Adds "size" bytes, all zeros but for the first member.  The zone owns them.
 * NULL: there is no room. */
void *ngx_http_chatmaid_zone_account_add(ngx_http_chatmaid_zone_t *zone,
    ngx_queue_t *list, u_char *id, size_t size);


#endif /* _NGX_HTTP_CHATMAID_ZONE_ACCOUNT_H_INCLUDED_ */
