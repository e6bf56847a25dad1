
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The URL of chatmaid_redis, which is the whole input.  No name is resolved:
 * harness.c lets getaddrinfo() take numbers alone.
 */


#include "harness.h"
#include "ngx_http_chatmaid_redis_url.h"


static void redis_url_check(ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                           *rv;
    ngx_str_t                       text;
    ngx_conf_t                      cf;
    harness_input_t                 in;
    ngx_conf_file_t                 file;
    ngx_http_chatmaid_redis_url_t   url;

    /* a word of nginx's configuration: not empty, and ends in NUL */

    if (size == 0 || size > 1024 || memchr(data, 0, size)) {
        return 0;
    }

    ngx_memzero(&cf, sizeof(ngx_conf_t));
    ngx_memzero(&url, sizeof(url));
    ngx_memzero(&file, sizeof(ngx_conf_file_t));

    cf.cycle = (ngx_cycle_t *) ngx_cycle;
    cf.log = ngx_cycle->log;
    cf.pool = ngx_create_pool(1024, cf.log);
    harness_check(cf.pool != NULL);
    cf.temp_pool = cf.pool;

    file.file.fd = NGX_INVALID_FILE;
    file.line = 1;
    ngx_str_set(&file.file.name, "fuzz.conf");
    cf.conf_file = &file;

    harness_input(&in, cf.pool, data, size);
    text = harness_rest(&in);
    text.data = (u_char *) harness_text(cf.pool, &text);

    rv = ngx_http_chatmaid_redis_url_parse(&cf, &text, &url);

    if (rv == NGX_CONF_OK) {
        harness_input(&in, cf.pool, data, size);
        text = harness_rest(&in);
        redis_url_check(&text, &url);

    } else if (rv != NGX_CONF_ERROR) {
        harness_check(ngx_strlen(rv) > 0);
    }

    ngx_destroy_pool(cf.pool);

    return 0;
}


static void
redis_url_check(ngx_str_t *text, ngx_http_chatmaid_redis_url_t *url)
{
    size_t                           i;
    ngx_uint_t                       n;
    ngx_http_chatmaid_redis_host_t  *host;

    /* what is logged has no user, and no password was taken for one */

    harness_check(url->text.len == 0
                  || memmem(text->data, text->len, url->text.data,
                            url->text.len));
    harness_check(ngx_memcmp(text->data, "unix:", 5) == 0
                  || !ngx_strlchr(url->text.data,
                                  url->text.data + url->text.len, '@'));

    harness_check(url->nhosts >= 1);
    harness_check(url->sentinels == (url->master.len > 0));
    harness_check(!url->cluster || url->db.len == 0);

    for (i = 0; i < url->db.len; i++) {
        harness_check(isdigit(url->db.data[i]));
    }

    for (n = 0; n < url->nhosts; n++) {
        host = &url->hosts[n];

        harness_check(host->name.len > 0);
        harness_check(host->name.data[host->name.len] == '\0');
        harness_check(host->naddrs > 0 || url->sentinels || host->dns);
    }
}
