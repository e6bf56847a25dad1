
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_notes_id.h"
#include "ngx_http_chatmaid_crypto.h"


ngx_int_t
ngx_http_chatmaid_notes_id(ngx_pool_t *pool, ngx_str_t *account_name,
    ngx_str_t *message_id, u_char *id)
{
    ngx_str_t  fields[3];

    ngx_str_set(&fields[0], "chatmaid-note-1");
    fields[1] = *account_name;
    fields[2] = *message_id;

    return ngx_http_chatmaid_crypto_sha256_fields(pool, fields, 3, id);
}
