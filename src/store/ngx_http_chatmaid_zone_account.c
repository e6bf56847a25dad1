
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_zone_account.h"


void *
ngx_http_chatmaid_zone_account_find(ngx_queue_t *list, u_char *id)
{
    ngx_queue_t                       *q;
    ngx_http_chatmaid_zone_account_t  *account;

    for (q = ngx_queue_head(list);
         q != ngx_queue_sentinel(list);
         q = ngx_queue_next(q))
    {
        account = ngx_queue_data(q, ngx_http_chatmaid_zone_account_t, queue);

        if (ngx_memcmp(account->id, id, NGX_HTTP_CHATMAID_ID_LEN) == 0) {
            return account;
        }
    }

    return NULL;
}


void *
ngx_http_chatmaid_zone_account_add(ngx_http_chatmaid_zone_t *zone,
    ngx_queue_t *list, u_char *id, size_t size)
{
    ngx_http_chatmaid_zone_account_t  *account;

    account = ngx_http_chatmaid_zone_alloc(zone, NGX_HTTP_CHATMAID_ZONE_SEND,
                                           size);
    if (account == NULL) {
        return NULL;
    }

    ngx_memzero(account, size);
    ngx_memcpy(account->id, id, NGX_HTTP_CHATMAID_ID_LEN);

    ngx_queue_insert_tail(list, &account->queue);

    return account;
}
