
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_gateway_conf.h"
#include "ngx_http_chatmaid_gateway.h"
#include "ngx_http_chatmaid_conf_place.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_pace_conf.h"
#include "ngx_http_chatmaid_secret_file.h"
#include "ngx_http_chatmaid_rewrite.h"
#include <openssl/crypto.h>


static ngx_int_t ngx_http_chatmaid_gateway_conf_api_key(ngx_conf_t *cf,
    ngx_http_chatmaid_api_key_t *key, ngx_str_t *secret);
static ngx_int_t ngx_http_chatmaid_gateway_conf_fingerprint(ngx_conf_t *cf,
    ngx_http_chatmaid_api_key_t *key, ngx_str_t *secret);
static ngx_uint_t ngx_http_chatmaid_gateway_conf_is_number(ngx_str_t *value);
static char *ngx_http_chatmaid_gateway_conf_name_account(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf);
static char *ngx_http_chatmaid_gateway_conf_check_account(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf);


static const char  *ngx_http_chatmaid_environments[] = { "test", "live" };


char *
ngx_http_chatmaid_gateway_conf_gateway(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_str_t                      *value;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_core_srv_conf_t       *cscf;
    ngx_http_chatmaid_gateway_t    *gateway, **gatewayp;
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (lcf->gateway) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (value[1].data[0] != '/' || value[1].data[value[1].len - 1] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_gateway\" needs the URI of an internal "
                           "location, with \"/\" at both ends, not \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->exact_match || clcf->named || clcf->noname
#if (NGX_PCRE)
        || clcf->regex
#endif
        || clcf->name.len == 0
        || clcf->name.data[clcf->name.len - 1] != '/')
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_gateway\" must be in a prefix location "
                           "that ends in \"/\", not in \"%V\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (clcf->name.len == value[1].len
        && ngx_strncmp(clcf->name.data, value[1].data, value[1].len) == 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_gateway\" in \"%V\" names itself",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (clcf->handler) {
        return ngx_http_chatmaid_conf_place_shared(cf, clcf,
                                                   "chatmaid_gateway");
    }

    clcf->handler = ngx_http_chatmaid_gateway_handler;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    gateway = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_gateway_t));
    gatewayp = ngx_array_push(&mcf->gateways);

    if (gateway == NULL || gatewayp == NULL) {
        return NGX_CONF_ERROR;
    }

    gateway->uri = value[1];
    gateway->prefix = clcf->name;
    ngx_http_chatmaid_conf_place_set(&gateway->place, cf);
    gateway->server = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];

    *gatewayp = gateway;
    lcf->gateway = gateway;

    return NGX_CONF_OK;
}


char *
ngx_http_chatmaid_gateway_conf_api_key_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_int_t                     rc;
    ngx_str_t                    *value, secret;
    ngx_http_chatmaid_api_key_t  *key;

    if (lcf->api_key != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    key = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_api_key_t));
    if (key == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    key->file = value[1];

    if (ngx_http_chatmaid_secret_file_read(cf, cmd, &key->file, &secret,
                                       NGX_HTTP_CHATMAID_SECRET_FILE_API_KEY)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rc = ngx_http_chatmaid_gateway_conf_api_key(cf, key, &secret);

    OPENSSL_cleanse(secret.data, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
    ngx_pfree(cf->pool, secret.data);

    if (rc != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    lcf->api_key = key;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_chatmaid_gateway_conf_api_key(ngx_conf_t *cf,
    ngx_http_chatmaid_api_key_t *key, ngx_str_t *secret)
{
    ngx_uint_t  i;

    static ngx_str_t  prefixes[] = {
        ngx_string("sk_test_"),
        ngx_string("sk_live_")
    };

    for (i = NGX_HTTP_CHATMAID_TEST; i <= NGX_HTTP_CHATMAID_LIVE; i++) {
        if (secret->len > prefixes[i].len
            && ngx_strncmp(secret->data, prefixes[i].data, prefixes[i].len)
               == 0)
        {
            break;
        }
    }

    if (i > NGX_HTTP_CHATMAID_LIVE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_api_key_file\": what \"%V\" holds is "
                           "neither sk_test_... nor sk_live_...", &key->file);
        return NGX_ERROR;
    }

    key->environment = i;

    if (ngx_http_chatmaid_gateway_conf_fingerprint(cf, key, secret) != NGX_OK) {
        return NGX_ERROR;
    }

    key->header.len = sizeof("Authorization: Bearer " CRLF CRLF) - 1
                      + secret->len;
    key->header.data = ngx_pnalloc(cf->pool, key->header.len);
    if (key->header.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(key->header.data, "Authorization: Bearer %V" CRLF CRLF,
                secret);

    key->secret.len = secret->len;
    key->secret.data = key->header.data + sizeof("Authorization: Bearer ") - 1;

    return NGX_OK;
}


/* Makes the fingerprint, which tells keys apart in a log without revealing
 * them. */

static ngx_int_t
ngx_http_chatmaid_gateway_conf_fingerprint(ngx_conf_t *cf,
    ngx_http_chatmaid_api_key_t *key, ngx_str_t *secret)
{
    u_char     md[NGX_HTTP_CHATMAID_SHA256_LEN];
    ngx_str_t  text;

    static ngx_str_t  label = ngx_string("chatmaid-key-1:");

    text.len = label.len + secret->len;
    text.data = ngx_pnalloc(cf->pool, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(text.data, label.data, label.len),
               secret->data, secret->len);

    ngx_http_chatmaid_crypto_sha256(&text, md);

    OPENSSL_cleanse(text.data, text.len);

    (void) ngx_hex_dump(key->fingerprint, md, sizeof(key->fingerprint) / 2);

    return NGX_OK;
}


char *
ngx_http_chatmaid_gateway_conf_account(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    size_t      i;
    ngx_str_t  *value;

    if (lcf->account_name.data) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 0; i < value[1].len; i++) {
        if (value[1].data[i] < ' ' || value[1].data[i] == 0x7f) {
            return "must not hold control characters";
        }
    }

    lcf->account_name = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_chatmaid_gateway_conf_sender(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value;
    ngx_http_compile_complex_value_t   ccv;

    if (lcf->sender != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "must not be empty";
    }

    lcf->sender_fixed = 0;

    if (cf->args->nelts == 3) {
        if (value[2].len != 5 || ngx_strncmp(value[2].data, "fixed", 5) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"chatmaid_sender\": invalid parameter \"%V\", "
                               "only \"fixed\" may follow the sender",
                               &value[2]);
            return NGX_CONF_ERROR;
        }

        lcf->sender_fixed = 1;
    }

    lcf->sender = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (lcf->sender == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &value[1];
    ccv.complex_value = lcf->sender;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (lcf->sender->lengths == NULL
        && !ngx_http_chatmaid_gateway_conf_is_number(&value[1]))
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"chatmaid_sender\": \"%V\" is no number in E.164 "
                           "form, such as +15551234567", &value[1]);
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_chatmaid_gateway_conf_is_number(ngx_str_t *value)
{
    size_t  digits;

    if (value->len < 3 || value->data[0] != '+' || value->data[1] == '0') {
        return 0;
    }

    digits = strspn((char *) value->data + 1, "0123456789");

    return digits == value->len - 1 && digits <= 15;
}


char *
ngx_http_chatmaid_gateway_conf_window(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *time = data;

    return (*time && *time < 1000) ? "must be 0 or at least 1s" : NGX_CONF_OK;
}


char *
ngx_http_chatmaid_gateway_conf_not_zero(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t  *time = data;

    return (*time == 0) ? "must not be 0" : NGX_CONF_OK;
}


char *
ngx_http_chatmaid_gateway_conf_check(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler != ngx_http_chatmaid_gateway_handler) {
        return ngx_http_chatmaid_conf_place_shared(cf, clcf,
                                                   "chatmaid_gateway");
    }

    if (conf->api_key == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_gateway\" in the location \"%V\" needs "
                           "a \"chatmaid_api_key_file\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->environment != NGX_HTTP_CHATMAID_ANY
        && conf->environment != conf->api_key->environment)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                   "\"chatmaid_environment\" is \"%s\" in the location \"%V\", "
                   "but \"%V\" holds a %s key",
                   ngx_http_chatmaid_environments[conf->environment],
                   &clcf->name, &conf->api_key->file,
                   ngx_http_chatmaid_environments[conf->api_key->environment]);
        return NGX_CONF_ERROR;
    }

    /* "if" and "limit_except" share the gateway of their location */

    if (clcf->noname) {
        return ngx_http_chatmaid_gateway_conf_check_account(cf, conf);
    }

    conf->gateway->api_key = conf->api_key;

    ngx_http_chatmaid_rewrite_warn(cf, clcf, "chatmaid_gateway");

    return ngx_http_chatmaid_gateway_conf_check_account(cf, conf);
}


static char *
ngx_http_chatmaid_gateway_conf_name_account(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf)
{
    const char  *environment;

    environment = ngx_http_chatmaid_environments[conf->api_key->environment];

    conf->account.len = ngx_strlen(environment) + 1 + conf->account_name.len;
    conf->account.data = ngx_pnalloc(cf->pool, conf->account.len);
    if (conf->account.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_sprintf(conf->account.data, "%s:%V", environment, &conf->account_name);

    ngx_http_chatmaid_crypto_sha256(&conf->account, conf->account_id);

    return NGX_CONF_OK;
}


/* Adds the account to the list of all accounts.  Records belong to an account,
 * so one name must not stand for two. */

static char *
ngx_http_chatmaid_gateway_conf_check_account(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf)
{
    ngx_uint_t                      i;
    ngx_http_chatmaid_account_t    *account;
    ngx_http_chatmaid_main_conf_t  *mcf;

    if (ngx_http_chatmaid_gateway_conf_name_account(cf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    account = mcf->accounts.elts;

    for (i = 0; i < mcf->accounts.nelts; i++) {

        if (account[i].account.len != conf->account.len
            || ngx_memcmp(account[i].account.data, conf->account.data,
                          conf->account.len)
               != 0)
        {
            continue;
        }

        if (account[i].api_key->header.len != conf->api_key->header.len
            || ngx_memcmp(account[i].api_key->header.data,
                          conf->api_key->header.data,
                          conf->api_key->header.len)
               != 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"chatmaid_account\" \"%V\" has two different "
                               "%s keys, in \"%V\" and \"%V\"",
                               &conf->account_name,
                               ngx_http_chatmaid_environments[
                                                 conf->api_key->environment],
                               &account[i].api_key->file, &conf->api_key->file);
            return NGX_CONF_ERROR;
        }

        return ngx_http_chatmaid_pace_conf_join(cf, conf, &account[i]);
    }

    account = ngx_array_push(&mcf->accounts);
    if (account == NULL) {
        return NGX_CONF_ERROR;
    }

    account->account = conf->account;
    account->name = conf->account_name;
    account->id = conf->account_id;
    account->api_key = conf->api_key;

    account->pace = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_rate_t));
    if (account->pace == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_chatmaid_pace_conf_join(cf, conf, account);
}
