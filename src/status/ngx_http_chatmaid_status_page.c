
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status_page.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_page.h"


#define NGX_HTTP_CHATMAID_STATUS_PAGE_HASH                                    \
    ngx_base64_encoded_length(NGX_HTTP_CHATMAID_SHA256_LEN)


static void ngx_http_chatmaid_status_page_hash(ngx_str_t *text, u_char *hash);


/* The style and the script are hashed for the policy.  A browser hashes exactly
 * what is between the tags. */

static ngx_str_t  ngx_http_chatmaid_status_page_css =
    ngx_string(NGX_HTTP_CHATMAID_PAGE_CSS);

static ngx_str_t  ngx_http_chatmaid_status_page_js =
    ngx_string(NGX_HTTP_CHATMAID_PAGE_JS);

ngx_str_t  ngx_http_chatmaid_status_page = ngx_string(
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>Chatmaid gateway</title>\n"
    "<link rel=\"icon\" href=\"data:,\">\n"
    "<style>" NGX_HTTP_CHATMAID_PAGE_CSS "</style>\n"
    "</head>\n"
    "<body>\n"
    NGX_HTTP_CHATMAID_PAGE_HTML
    "<script>" NGX_HTTP_CHATMAID_PAGE_JS "</script>\n"
    "</body>\n"
    "</html>\n");

static u_char  ngx_http_chatmaid_status_page_policy_text[512];

ngx_str_t  ngx_http_chatmaid_status_page_policy = {
    0, ngx_http_chatmaid_status_page_policy_text
};


/* The text is the same for every configuration, so it does no harm to write it
 * again. */

void
ngx_http_chatmaid_status_page_init(void)
{
    u_char  css[NGX_HTTP_CHATMAID_STATUS_PAGE_HASH];
    u_char  js[NGX_HTTP_CHATMAID_STATUS_PAGE_HASH];
    u_char  *p;

    ngx_http_chatmaid_status_page_hash(&ngx_http_chatmaid_status_page_css, css);
    ngx_http_chatmaid_status_page_hash(&ngx_http_chatmaid_status_page_js, js);

    p = ngx_sprintf(ngx_http_chatmaid_status_page_policy_text,
                    "default-src 'none'; style-src 'sha256-%*s'; "
                    "script-src 'sha256-%*s'; connect-src 'self'; "
                    "img-src data:; base-uri 'none'; form-action 'none'; "
                    "frame-ancestors 'none'",
                    sizeof(css), css, sizeof(js), js);

    ngx_http_chatmaid_status_page_policy.len =
                             p - ngx_http_chatmaid_status_page_policy_text;
}


static void
ngx_http_chatmaid_status_page_hash(ngx_str_t *text, u_char *hash)
{
    u_char     md[NGX_HTTP_CHATMAID_SHA256_LEN];
    ngx_str_t  from, to;

    ngx_http_chatmaid_crypto_sha256(text, md);

    from.data = md;
    from.len = sizeof(md);
    to.data = hash;

    ngx_encode_base64(&to, &from);
}
