
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_request.h"


ngx_table_elt_t *
ngx_http_chatmaid_request_header(ngx_list_part_t *part, const char *name,
    ngx_table_elt_t *after)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for ( /* void */ ; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (after) {
                if (&h[i] == after) {
                    after = NULL;
                }

                continue;
            }

            /* a module that adds a header may leave lowcase_key unset */

            if (h[i].hash && h[i].key.len == len
                && (h[i].lowcase_key
                    ? ngx_memcmp(h[i].lowcase_key, name, len) == 0
                    : ngx_strncasecmp(h[i].key.data, (u_char *) name, len)
                      == 0))
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


ngx_table_elt_t *
ngx_http_chatmaid_request_push(ngx_list_t *headers)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(headers);

#if (nginx_version >= 1023000)
    if (h) {
        h->next = NULL;
    }
#endif

    return h;
}


ngx_uint_t
ngx_http_chatmaid_request_is_encoded(ngx_list_part_t *part)
{
    ngx_table_elt_t  *h;

    static ngx_str_t   identity = ngx_string("identity");
    static const char  name[] = "content-encoding";

    for (h = ngx_http_chatmaid_request_header(part, name, NULL);
         h;
         h = ngx_http_chatmaid_request_header(part, name, h))
    {
        if (h->value.len
            && (h->value.len != identity.len
                || ngx_strncasecmp(h->value.data, identity.data, identity.len)
                   != 0))
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_chatmaid_request_is_json(ngx_table_elt_t *content_type)
{
    size_t      len;
    ngx_str_t  *type;

    static ngx_str_t  json = ngx_string("application/json");

    if (content_type == NULL) {
        return 0;
    }

    len = json.len;
    type = &content_type->value;

    if (type->len < len
        || (ngx_memcmp(type->data, json.data, len) != 0
            && ngx_strncasecmp(type->data, json.data, len) != 0))
    {
        return 0;
    }

    return type->len == len
           || type->data[len] == ';' || type->data[len] == ' '
           || type->data[len] == '\t';
}
