
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_secret_file.h"
#include <openssl/crypto.h>


#define NGX_HTTP_CHATMAID_REDIS_CONF_PORT     6379
#define NGX_HTTP_CHATMAID_REDIS_CONF_TIMEOUT  250


/* The parameters as they were written; data is NULL where one was not. */

typedef struct {
    ngx_str_t  password_file;
    ngx_str_t  timeout;
    ngx_str_t  prefix;
    ngx_str_t  fallback;
    ngx_str_t  ca_file;
    ngx_str_t  verify;
} ngx_http_chatmaid_redis_args_t;


typedef struct {
    ngx_str_t  name;
    size_t     offset;
} ngx_http_chatmaid_redis_param_t;


static char *ngx_http_chatmaid_redis_conf_args(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args);
static char *ngx_http_chatmaid_redis_conf_unknown(ngx_conf_t *cf,
    ngx_str_t *value);
static char *ngx_http_chatmaid_redis_conf_url(ngx_conf_t *cf, ngx_str_t url,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_uint_t *tls);
static char *ngx_http_chatmaid_redis_conf_user(ngx_conf_t *cf, ngx_str_t *url,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_unix(ngx_conf_t *cf, ngx_str_t url,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_db(ngx_str_t *db,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_resolve(ngx_conf_t *cf,
    ngx_str_t *url, ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_values(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_prefix(
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_password(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_tls(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static ngx_uint_t ngx_http_chatmaid_redis_conf_is(ngx_str_t *value,
    const char *text);


static ngx_http_chatmaid_redis_param_t  ngx_http_chatmaid_redis_params[] = {
    { ngx_string("password_file="),
      offsetof(ngx_http_chatmaid_redis_args_t, password_file) },
    { ngx_string("timeout="),
      offsetof(ngx_http_chatmaid_redis_args_t, timeout) },
    { ngx_string("prefix="),
      offsetof(ngx_http_chatmaid_redis_args_t, prefix) },
    { ngx_string("fallback="),
      offsetof(ngx_http_chatmaid_redis_args_t, fallback) },
    { ngx_string("ca_file="),
      offsetof(ngx_http_chatmaid_redis_args_t, ca_file) },
    { ngx_string("verify="),
      offsetof(ngx_http_chatmaid_redis_args_t, verify) },
    { ngx_null_string, 0 }
};


char *
ngx_http_chatmaid_redis_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_chatmaid_main_conf_t  *mcf = conf;

    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       tls;
    ngx_http_chatmaid_redis_args_t   args;
    ngx_http_chatmaid_redis_conf_t  *rcf;

    if (mcf->redis) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    rcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_redis_conf_t));
    if (rcf == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->redis = rcf;
    value = cf->args->elts;
    tls = 0;

    rv = ngx_http_chatmaid_redis_conf_args(cf, &args);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_conf_url(cf, value[1], rcf, &tls);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_conf_values(cf, &args, rcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_conf_password(cf, cmd, &args, rcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (tls) {
        return ngx_http_chatmaid_redis_conf_tls(cf, &args, rcf);
    }

    if (args.ca_file.data || args.verify.data) {
        return "has parameters for TLS without \"rediss://\"";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_conf_args(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args)
{
    ngx_str_t                        *value, *arg;
    ngx_uint_t                        i;
    ngx_http_chatmaid_redis_param_t  *param;

    ngx_memzero(args, sizeof(ngx_http_chatmaid_redis_args_t));
    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        for (param = ngx_http_chatmaid_redis_params; param->name.len; param++) {

            if (value[i].len >= param->name.len
                && ngx_strncmp(value[i].data, param->name.data,
                               param->name.len)
                   == 0)
            {
                break;
            }
        }

        if (param->name.len == 0) {
            return ngx_http_chatmaid_redis_conf_unknown(cf, &value[i]);
        }

        arg = (ngx_str_t *) ((u_char *) args + param->offset);

        if (arg->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"chatmaid_redis\": duplicate parameter "
                               "\"%V\"", &param->name);
            return NGX_CONF_ERROR;
        }

        arg->len = value[i].len - param->name.len;
        arg->data = value[i].data + param->name.len;
    }

    return NGX_CONF_OK;
}


/* Prints only what is before "=": all else may be a password. */

static char *
ngx_http_chatmaid_redis_conf_unknown(ngx_conf_t *cf, ngx_str_t *value)
{
    u_char  *p;

    p = ngx_strlchr(value->data, value->data + value->len, '=');

    if (p) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_redis\": invalid parameter \"%*s\"",
                           (size_t) (p - value->data), value->data);
        return NGX_CONF_ERROR;
    }

    return "takes parameters of the form \"name=value\" behind the URL";
}


/* redis://[user@]host[:port][/db], rediss://..., unix:/path[:db] */

static char *
ngx_http_chatmaid_redis_conf_url(ngx_conf_t *cf, ngx_str_t url,
    ngx_http_chatmaid_redis_conf_t *conf, ngx_uint_t *tls)
{
    char       *rv;
    u_char     *p, *last;
    ngx_str_t   db;

    if (url.len > 5 && ngx_strncmp(url.data, "unix:", 5) == 0) {
        return ngx_http_chatmaid_redis_conf_unix(cf, url, conf);
    }

    if (url.len >= 8 && ngx_strncmp(url.data, "redis://", 8) == 0) {
        url.data += 8;
        url.len -= 8;

    } else if (url.len >= 9 && ngx_strncmp(url.data, "rediss://", 9) == 0) {
        url.data += 9;
        url.len -= 9;
        *tls = 1;

    } else {
        return "needs \"redis://\", \"rediss://\" or \"unix:\" before the host "
               "or path";
    }

    rv = ngx_http_chatmaid_redis_conf_user(cf, &url, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    last = url.data + url.len;

    if (ngx_strlchr(url.data, last, '?') || ngx_strlchr(url.data, last, '#')) {
        return "takes no \"?\" or \"#\" in the URL";
    }

    p = ngx_strlchr(url.data, last, '/');

    if (p) {
        url.len = p - url.data;
        db.data = p + 1;
        db.len = last - db.data;

        rv = ngx_http_chatmaid_redis_conf_db(&db, conf);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return ngx_http_chatmaid_redis_conf_resolve(cf, &url, conf);
}


/* Takes "user@" off the URL, which begins behind the scheme. */

static char *
ngx_http_chatmaid_redis_conf_user(ngx_conf_t *cf, ngx_str_t *url,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    u_char  *p, *at, *last, *src, *dst;

    last = url->data + url->len;
    at = NULL;

    for (p = url->data; p < last; p++) {
        if (*p == '@') {
            at = p;
        }
    }

    if (at == NULL) {
        return NGX_CONF_OK;
    }

    /* A password may hold anything, unescaped: be it "/". */

    if (ngx_strlchr(url->data, at, ':') || ngx_strlchr(url->data, at, '/')) {
        return "must not have a password in the URL: use \"password_file=\"";
    }

    conf->user.data = ngx_pnalloc(cf->pool, at - url->data);
    if (conf->user.data == NULL) {
        return NGX_CONF_ERROR;
    }

    src = url->data;
    dst = conf->user.data;
    ngx_unescape_uri(&dst, &src, at - url->data, 0);
    conf->user.len = dst - conf->user.data;

    if (conf->user.len == 0) {
        return "has an empty user in the URL";
    }

    url->data = at + 1;
    url->len = last - url->data;

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_conf_unix(ngx_conf_t *cf, ngx_str_t url,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    char       *rv;
    u_char     *p;
    ngx_str_t   db;

    if (url.data[5] != '/' || (url.len > 6 && url.data[6] == '/')) {
        return "needs an absolute path after \"unix:\"";
    }

    for (p = url.data + url.len - 1; *p != ':'; p--) { /* void */ }

    if (p > url.data + 4) {
        db.data = p + 1;
        db.len = url.data + url.len - db.data;

        if (db.len == 0) {
            return "has an invalid database in the URL";
        }

        rv = ngx_http_chatmaid_redis_conf_db(&db, conf);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        url.len = p - url.data;
    }

    return ngx_http_chatmaid_redis_conf_resolve(cf, &url, conf);
}


static char *
ngx_http_chatmaid_redis_conf_db(ngx_str_t *db,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_int_t  n;

    if (db->len == 0) {
        return NGX_CONF_OK;
    }

    n = ngx_atoi(db->data, db->len);

    if (n == NGX_ERROR || n > (ngx_int_t) NGX_MAX_INT32_VALUE) {
        return "has an invalid database in the URL";
    }

    /* A new connection is in 0, and SELECT would need a permission. */

    if (n > 0) {
        conf->db = *db;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_conf_resolve(ngx_conf_t *cf, ngx_str_t *url,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *url;
    u.default_port = NGX_HTTP_CHATMAID_REDIS_CONF_PORT;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_redis\": %s in \"%V\"",
                           u.err ? u.err : "out of memory", url);
        return NGX_CONF_ERROR;
    }

    if (u.naddrs == 0) {
        return "has no host in the URL";
    }

    conf->addrs = u.addrs;
    conf->naddrs = u.naddrs;

    conf->host.len = u.host.len;
    conf->host.data = ngx_pnalloc(cf->pool, u.host.len + 1);
    if (conf->host.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_cpystrn(conf->host.data, u.host.data, u.host.len + 1);

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_conf_values(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_int_t  timeout;

    timeout = NGX_HTTP_CHATMAID_REDIS_CONF_TIMEOUT;

    if (args->timeout.data) {
        timeout = ngx_parse_time(&args->timeout, 0);

        if (timeout == NGX_ERROR || timeout == 0
            || timeout > (ngx_int_t) NGX_MAX_INT32_VALUE / 8)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"chatmaid_redis\": invalid timeout \"%V\"",
                               &args->timeout);
            return NGX_CONF_ERROR;
        }
    }

    conf->timeout = timeout;

    if (args->fallback.data == NULL
        || ngx_http_chatmaid_redis_conf_is(&args->fallback, "zone"))
    {
        conf->reject = 0;

    } else if (ngx_http_chatmaid_redis_conf_is(&args->fallback, "reject")) {
        conf->reject = 1;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_redis\": invalid fallback \"%V\", "
                           "there are \"zone\" and \"reject\"",
                           &args->fallback);
        return NGX_CONF_ERROR;
    }

    return ngx_http_chatmaid_redis_conf_prefix(args, conf);
}


static char *
ngx_http_chatmaid_redis_conf_prefix(ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    size_t  i;

    if (args->prefix.data == NULL) {
        ngx_str_set(&conf->prefix, "chatmaid:");
        return NGX_CONF_OK;
    }

    conf->prefix = args->prefix;

    if (conf->prefix.len > NGX_HTTP_CHATMAID_REDIS_MAX_PREFIX) {
        return "has a prefix of more than 128 bytes";
    }

    for (i = 0; i < conf->prefix.len; i++) {
        if (conf->prefix.data[i] < ' ' || conf->prefix.data[i] == 0x7f) {
            return "has a control character in its prefix";
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_conf_password(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_str_t  secret;

    if (args->password_file.data == NULL) {
        return conf->user.len ? "has a user, but no \"password_file=\""
                              : NGX_CONF_OK;
    }

    if (args->password_file.len == 0) {
        return "has an empty \"password_file=\"";
    }

    if (ngx_http_chatmaid_secret_file_read(cf, cmd, &args->password_file,
                                       &secret,
                                       NGX_HTTP_CHATMAID_SECRET_FILE_PASSWORD)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    conf->password.data = ngx_pnalloc(cf->pool, secret.len);

    if (conf->password.data) {
        ngx_memcpy(conf->password.data, secret.data, secret.len);
        conf->password.len = secret.len;
    }

    OPENSSL_cleanse(secret.data, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
    ngx_pfree(cf->pool, secret.data);

    return conf->password.data ? NGX_CONF_OK : NGX_CONF_ERROR;
}


#if (NGX_SSL)

static char *
ngx_http_chatmaid_redis_conf_tls(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_uint_t  verify;

    verify = 1;

    if (args->verify.data) {

        if (ngx_http_chatmaid_redis_conf_is(&args->verify, "off")) {
            verify = 0;

        } else if (!ngx_http_chatmaid_redis_conf_is(&args->verify, "on")) {
            return "has an invalid \"verify=\", there are \"on\" and \"off\"";
        }
    }

    conf->tls = ngx_http_chatmaid_redis_tls_create(cf, verify, &args->ca_file);

    return conf->tls ? NGX_CONF_OK : NGX_CONF_ERROR;
}

#else

static char *
ngx_http_chatmaid_redis_conf_tls(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    return "has \"rediss://\", but this nginx was built without TLS";
}

#endif


static ngx_uint_t
ngx_http_chatmaid_redis_conf_is(ngx_str_t *value, const char *text)
{
    return value->len == ngx_strlen(text)
           && ngx_strncmp(value->data, text, value->len) == 0;
}
