
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_secret_file.h"
#include <openssl/crypto.h>


#define NGX_HTTP_CHATMAID_REDIS_CONF_TIMEOUT  250  /* milliseconds */


/* The values of the parameters; data is NULL if a parameter is not given. */

typedef struct {
    ngx_str_t  password_file;
    ngx_str_t  sentinel_user;
    ngx_str_t  sentinel_password_file;
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
static char *ngx_http_chatmaid_redis_conf_values(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_prefix(
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_login(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static char *ngx_http_chatmaid_redis_conf_sentinel(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static ngx_int_t ngx_http_chatmaid_redis_conf_password(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_str_t *file, ngx_str_t *password);
static char *ngx_http_chatmaid_redis_conf_tls(ngx_conf_t *cf,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf);
static ngx_uint_t ngx_http_chatmaid_redis_conf_is(ngx_str_t *value,
    const char *text);


static ngx_http_chatmaid_redis_param_t  ngx_http_chatmaid_redis_params[] = {
    { ngx_string("password_file="),
      offsetof(ngx_http_chatmaid_redis_args_t, password_file) },
    { ngx_string("sentinel_user="),
      offsetof(ngx_http_chatmaid_redis_args_t, sentinel_user) },
    { ngx_string("sentinel_password_file="),
      offsetof(ngx_http_chatmaid_redis_args_t, sentinel_password_file) },
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

    /* the "resolver" directive may come after this one */

    rcf->core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    rv = ngx_http_chatmaid_redis_conf_args(cf, &args);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_url_parse(cf, &value[1], &rcf->url);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_conf_values(cf, &args, rcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_conf_login(cf, cmd, &args, rcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_chatmaid_redis_conf_sentinel(cf, cmd, &args, rcf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (rcf->url.tls) {
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


/* Logs only what is before "=": the rest may be a password. */

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

        if (conf->url.cluster
            && (conf->prefix.data[i] == '{' || conf->prefix.data[i] == '}'))
        {
            return "has a brace in its prefix, which would begin or end a "
                   "hash tag in a Redis Cluster";
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_redis_conf_login(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    if (args->password_file.data == NULL) {
        return conf->url.user.len ? "has a user, but no \"password_file=\""
                                  : NGX_CONF_OK;
    }

    if (args->password_file.len == 0) {
        return "has an empty \"password_file=\"";
    }

    return (ngx_http_chatmaid_redis_conf_password(cf, cmd,
                                                  &args->password_file,
                                                  &conf->password)
            == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_chatmaid_redis_conf_sentinel(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_chatmaid_redis_args_t *args,
    ngx_http_chatmaid_redis_conf_t *conf)
{
    ngx_str_t  *user, *file;

    user = &args->sentinel_user;
    file = &args->sentinel_password_file;

    if (!conf->url.sentinels) {
        return (user->data || file->data)
               ? "has parameters for Sentinels without \"redis+sentinel://\""
               : NGX_CONF_OK;
    }

    if (user->data && user->len == 0) {
        return "has an empty \"sentinel_user=\"";
    }

    if (file->data == NULL) {
        return user->data ? "has a \"sentinel_user=\", but no "
                            "\"sentinel_password_file=\""
                          : NGX_CONF_OK;
    }

    if (file->len == 0) {
        return "has an empty \"sentinel_password_file=\"";
    }

    conf->sentinel_user = *user;

    return (ngx_http_chatmaid_redis_conf_password(cf, cmd, file,
                                                  &conf->sentinel_password)
            == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_redis_conf_password(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *file, ngx_str_t *password)
{
    ngx_str_t  secret;

    if (ngx_http_chatmaid_secret_file_read(cf, cmd, file, &secret,
                                       NGX_HTTP_CHATMAID_SECRET_FILE_PASSWORD)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    password->data = ngx_pnalloc(cf->pool, secret.len);

    if (password->data) {
        ngx_memcpy(password->data, secret.data, secret.len);
        password->len = secret.len;
    }

    OPENSSL_cleanse(secret.data, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
    ngx_pfree(cf->pool, secret.data);

    return password->data ? NGX_OK : NGX_ERROR;
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
