
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_escape.h"


u_char *
ngx_http_chatmaid_escape(u_char *dst, const u_char *text, size_t len)
{
    const u_char  *last;

    last = text + ngx_min(len, NGX_HTTP_CHATMAID_ESCAPE_MAX);

    for ( /* void */ ; text < last; text++) {

        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\') {
            dst = ngx_sprintf(dst, "\\x%02Xd", (u_int) *text);

        } else {
            *dst++ = *text;
        }
    }

    return dst;
}
