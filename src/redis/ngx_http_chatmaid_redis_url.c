
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_url.h"


#define NGX_HTTP_CHATMAID_REDIS_URL_PORT           6379
#define NGX_HTTP_CHATMAID_REDIS_URL_SENTINEL_PORT  26379


typedef struct {
    ngx_str_t   text;

    unsigned    tls:1;
    unsigned    sentinels:1;
    unsigned    cluster:1;
} ngx_http_chatmaid_redis_scheme_t;


static ngx_http_chatmaid_redis_scheme_t *ngx_http_chatmaid_redis_url_scheme(
    ngx_str_t *text);
static char *ngx_http_chatmaid_redis_url_unix(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url);
static char *ngx_http_chatmaid_redis_url_user(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url);
static char *ngx_http_chatmaid_redis_url_path(ngx_str_t *path,
    ngx_http_chatmaid_redis_url_t *url);
static char *ngx_http_chatmaid_redis_url_db(ngx_str_t *db,
    ngx_http_chatmaid_redis_url_t *url);
static char *ngx_http_chatmaid_redis_url_hosts(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url);
static char *ngx_http_chatmaid_redis_url_host(ngx_conf_t *cf, ngx_str_t *text,
    in_port_t port, ngx_http_chatmaid_redis_host_t *host);
static ngx_int_t ngx_http_chatmaid_redis_url_name(ngx_conf_t *cf,
    ngx_str_t *name, ngx_http_chatmaid_redis_host_t *host);


static ngx_http_chatmaid_redis_scheme_t  ngx_http_chatmaid_redis_schemes[] = {
    { ngx_string("redis://"), 0, 0, 0 },
    { ngx_string("rediss://"), 1, 0, 0 },
    { ngx_string("redis+sentinel://"), 0, 1, 0 },
    { ngx_string("rediss+sentinel://"), 1, 1, 0 },
    { ngx_string("redis+cluster://"), 0, 0, 1 },
    { ngx_string("rediss+cluster://"), 1, 0, 1 },
    { ngx_null_string, 0, 0, 0 }
};


/* redis://[user@]host[:port][/db], rediss://..., unix:/path[:db],
 * redis+sentinel://[user@]host[:port][,host[:port]...]/NAME[/db],
 * redis+cluster://[user@]host[:port][,host[:port]...] */

char *
ngx_http_chatmaid_redis_url_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url)
{
    char                              *rv;
    u_char                            *p, *last;
    ngx_str_t                          rest, path;
    ngx_http_chatmaid_redis_scheme_t  *scheme;

    rest = *text;

    if (rest.len > 5 && ngx_strncmp(rest.data, "unix:", 5) == 0) {
        return ngx_http_chatmaid_redis_url_unix(cf, &rest, url);
    }

    scheme = ngx_http_chatmaid_redis_url_scheme(&rest);

    if (scheme == NULL) {
        return "needs \"redis://\", \"rediss://\", \"redis+sentinel://\", "
               "\"rediss+sentinel://\", \"redis+cluster://\", "
               "\"rediss+cluster://\" or \"unix:\" before the host or path";
    }

    rest.data += scheme->text.len;
    rest.len -= scheme->text.len;

    url->tls = scheme->tls;
    url->sentinels = scheme->sentinels;
    url->cluster = scheme->cluster;

    rv = ngx_http_chatmaid_redis_url_user(cf, &rest, url);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    last = rest.data + rest.len;

    if (ngx_strlchr(rest.data, last, '?') || ngx_strlchr(rest.data, last, '#'))
    {
        return "takes no \"?\" or \"#\" in the URL";
    }

    url->text = rest;

    p = ngx_strlchr(rest.data, last, '/');

    if (p) {
        rest.len = p - rest.data;
        p++;

    } else {
        p = last;
    }

    path.data = p;
    path.len = last - p;

    rv = ngx_http_chatmaid_redis_url_path(&path, url);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_chatmaid_redis_url_hosts(cf, &rest, url);
}


static ngx_http_chatmaid_redis_scheme_t *
ngx_http_chatmaid_redis_url_scheme(ngx_str_t *text)
{
    ngx_http_chatmaid_redis_scheme_t  *scheme;

    for (scheme = ngx_http_chatmaid_redis_schemes; scheme->text.len; scheme++) {

        if (text->len >= scheme->text.len
            && ngx_strncmp(text->data, scheme->text.data, scheme->text.len)
               == 0)
        {
            return scheme;
        }
    }

    return NULL;
}


static char *
ngx_http_chatmaid_redis_url_unix(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url)
{
    char       *rv;
    u_char     *p;
    ngx_str_t   db;

    url->text = *text;

    if (text->data[5] != '/' || (text->len > 6 && text->data[6] == '/')) {
        return "needs an absolute path after \"unix:\"";
    }

    for (p = text->data + text->len - 1; *p != ':'; p--) { /* void */ }

    if (p > text->data + 4) {
        db.data = p + 1;
        db.len = text->data + text->len - db.data;

        if (db.len == 0) {
            return "has an invalid database in the URL";
        }

        rv = ngx_http_chatmaid_redis_url_db(&db, url);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        text->len = p - text->data;
    }

    return ngx_http_chatmaid_redis_url_hosts(cf, text, url);
}


/* Removes "user@" from the text, which begins after the scheme. */

static char *
ngx_http_chatmaid_redis_url_user(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url)
{
    u_char  *p, *at, *last, *src, *dst;

    last = text->data + text->len;
    at = NULL;

    for (p = text->data; p < last; p++) {
        if (*p == '@') {
            at = p;
        }
    }

    if (at == NULL) {
        return NGX_CONF_OK;
    }

    /* A password may contain any character unescaped, even "/". */

    if (ngx_strlchr(text->data, at, ':') || ngx_strlchr(text->data, at, '/')) {
        return "must not have a password in the URL: use \"password_file=\"";
    }

    url->user.data = ngx_pnalloc(cf->pool, at - text->data);
    if (url->user.data == NULL) {
        return NGX_CONF_ERROR;
    }

    src = text->data;
    dst = url->user.data;
    ngx_unescape_uri(&dst, &src, at - text->data, 0);
    url->user.len = dst - url->user.data;

    if (url->user.len == 0) {
        return "has an empty user in the URL";
    }

    text->data = at + 1;
    text->len = last - text->data;

    return NGX_CONF_OK;
}


/* NAME[/db] with Sentinels, else [db]. */

static char *
ngx_http_chatmaid_redis_url_path(ngx_str_t *path,
    ngx_http_chatmaid_redis_url_t *url)
{
    u_char  *p, *last;

    if (!url->sentinels) {
        return ngx_http_chatmaid_redis_url_db(path, url);
    }

    last = path->data + path->len;
    p = ngx_strlchr(path->data, last, '/');

    url->master.data = path->data;
    url->master.len = (p ? p : last) - path->data;

    path->data = p ? p + 1 : last;
    path->len = last - path->data;

    if (url->master.len == 0) {
        return "needs the name of the master behind the Sentinels in the URL, "
               "as in \"redis+sentinel://HOST/NAME\"";
    }

    /* the characters that a Sentinel's own configuration accepts */

    for (p = url->master.data; p < url->master.data + url->master.len; p++) {

        if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'z')
            && !(*p >= 'A' && *p <= 'Z') && *p != '.' && *p != '-'
            && *p != '_')
        {
            return "has an invalid name of the master in the URL: letters, "
                   "digits, \".\", \"-\" and \"_\" may be in it";
        }
    }

    return ngx_http_chatmaid_redis_url_db(path, url);
}


static char *
ngx_http_chatmaid_redis_url_db(ngx_str_t *db,
    ngx_http_chatmaid_redis_url_t *url)
{
    ngx_int_t  n;

    if (db->len == 0) {
        return NGX_CONF_OK;
    }

    n = ngx_atoi(db->data, db->len);

    if (n == NGX_ERROR || n > (ngx_int_t) NGX_MAX_INT32_VALUE) {
        return "has an invalid database in the URL";
    }

    /* A new connection uses database 0; SELECT would need a permission. */

    if (n > 0) {
        url->db = *db;
    }

    if (n > 0 && url->cluster) {
        return "has a database in the URL, but a Redis Cluster has 0 alone";
    }

    return NGX_CONF_OK;
}


/* One host, or with Sentinels or a Cluster one or more, separated by commas. */

static char *
ngx_http_chatmaid_redis_url_hosts(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_redis_url_t *url)
{
    char        *rv;
    u_char      *p, *last;
    in_port_t    port;
    ngx_str_t    one;
    ngx_uint_t   n;

    last = text->data + text->len;
    n = 1;

    if (text->len <= 5 || ngx_strncmp(text->data, "unix:", 5) != 0) {
        for (p = text->data; p < last; p++) {
            n += (*p == ',');
        }
    }

    if (n > 1 && !url->sentinels && !url->cluster) {
        return "has several hosts in the URL, as only \"redis+sentinel://\" "
               "and \"redis+cluster://\" may";
    }

    url->hosts = ngx_pcalloc(cf->pool,
                             n * sizeof(ngx_http_chatmaid_redis_host_t));
    if (url->hosts == NULL) {
        return NGX_CONF_ERROR;
    }

    port = url->sentinels ? NGX_HTTP_CHATMAID_REDIS_URL_SENTINEL_PORT
                          : NGX_HTTP_CHATMAID_REDIS_URL_PORT;
    one = *text;

    while (url->nhosts < n) {
        one.len = last - one.data;

        if (n > 1) {
            p = ngx_strlchr(one.data, last, ',');
            one.len = (p ? p : last) - one.data;

            if (one.len == 0) {
                return "has an empty host among those of its URL";
            }
        }

        rv = ngx_http_chatmaid_redis_url_host(cf, &one, port,
                                              &url->hosts[url->nhosts++]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        one.data += one.len + 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_url_host(ngx_conf_t *cf, ngx_str_t *text,
    in_port_t port, ngx_http_chatmaid_redis_host_t *host)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *text;
    u.default_port = port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_redis\": %s in \"%V\"",
                           u.err ? u.err : "out of memory", text);
        return NGX_CONF_ERROR;
    }

    if (u.naddrs == 0) {
        return "has no host in the URL";
    }

    host->addrs = u.addrs;
    host->naddrs = u.naddrs;
    host->port = u.port;

    return (ngx_http_chatmaid_redis_url_name(cf, &u.host, host) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_redis_url_name(ngx_conf_t *cf, ngx_str_t *name,
    ngx_http_chatmaid_redis_host_t *host)
{
    ngx_int_t   rc;
    ngx_str_t   bare;
    ngx_addr_t  addr;

    bare = *name;

    if (bare.len > 2 && bare.data[0] == '[') {
        bare.data++;
        bare.len -= 2;
    }

    host->name.len = bare.len;
    host->name.data = ngx_pnalloc(cf->pool, bare.len + 1);
    if (host->name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_cpystrn(host->name.data, bare.data, bare.len + 1);

    if (host->addrs[0].sockaddr->sa_family == AF_UNIX) {
        return NGX_OK;
    }

    rc = ngx_parse_addr(cf->pool, &addr, host->name.data, host->name.len);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    host->dns = (rc == NGX_DECLINED);

    return NGX_OK;
}
