
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_webhook_conf.h"
#include "ngx_http_chatmaid_conf_place.h"
#include "ngx_http_chatmaid_redis_conf.h"
#include "ngx_http_chatmaid_redis_slot.h"
#include "ngx_http_chatmaid_rewrite.h"
#include "ngx_http_chatmaid_secret_file.h"
#include "ngx_http_chatmaid_webhook_signature.h"
#include "ngx_http_chatmaid_webhook_inbox.h"
#include <openssl/crypto.h>


/* An event must be remembered for at least this much longer than its signature
 * is accepted, because a signature may also be dated in the future. */
#define NGX_HTTP_CHATMAID_WEBHOOK_MARGIN  300      /* seconds */


/* The mark of a delivered event names its location by the location's name and
 * account alone.  So two locations that share both must have the same set of
 * secrets. */

typedef struct {
    ngx_str_t     location;
    ngx_str_t     account_name;
    ngx_array_t  *secrets;
} ngx_http_chatmaid_webhook_location_t;


/* A directive that has an effect only if a location with "chatmaid_webhook on"
 * sets or inherits it. */

typedef struct {
    void             *value;          /* the array or inbox it created */
    ngx_str_t         name;
    ngx_str_t         argument;
    ngx_conf_file_t   place;
    unsigned          in_location:1;
    unsigned          used:1;
} ngx_http_chatmaid_webhook_directive_t;


static ngx_int_t ngx_http_chatmaid_webhook_conf_note(ngx_conf_t *cf,
    ngx_command_t *cmd, void *value);
static void ngx_http_chatmaid_webhook_conf_use(
    ngx_http_chatmaid_main_conf_t *mcf, void *value);
static ngx_int_t ngx_http_chatmaid_webhook_conf_add_stream(
    ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox);
static ngx_int_t ngx_http_chatmaid_webhook_conf_check_tag(ngx_conf_t *cf,
    ngx_str_t *key);
static char *ngx_http_chatmaid_webhook_conf_check_handler(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf);
static char *ngx_http_chatmaid_webhook_conf_check_secrets(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf);
static ngx_uint_t ngx_http_chatmaid_webhook_conf_is_in(ngx_array_t *secrets,
    ngx_array_t *others);


char *
ngx_http_chatmaid_webhook_conf_secret_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_str_t                           *value, secret;
    ngx_http_chatmaid_webhook_secret_t  *ws;

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (lcf->webhook_secrets == NGX_CONF_UNSET_PTR) {
        lcf->webhook_secrets = ngx_array_create(cf->pool, 2,
                                  sizeof(ngx_http_chatmaid_webhook_secret_t));
        if (lcf->webhook_secrets == NULL
            || ngx_http_chatmaid_webhook_conf_note(cf, cmd,
                                                   lcf->webhook_secrets)
               != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    ws = ngx_array_push(lcf->webhook_secrets);
    if (ws == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    ws->file = value[1];

    if (ngx_http_chatmaid_secret_file_read(cf, cmd, &ws->file, &secret,
                                       NGX_HTTP_CHATMAID_SECRET_FILE_WEBHOOK)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ws->key = ngx_http_chatmaid_crypto_hmac_key(cf->pool, &secret);
    ngx_http_chatmaid_crypto_sha256(&secret, ws->digest);

    OPENSSL_cleanse(secret.data, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
    ngx_pfree(cf->pool, secret.data);

    return ws->key ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_chatmaid_webhook_conf_inbox(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_int_t                           n;
    ngx_str_t                          *value;
    ngx_http_chatmaid_webhook_inbox_t  *inbox;

    static ngx_str_t  maxlen = ngx_string("maxlen=");

    if (lcf->webhook_inbox != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    inbox = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_webhook_inbox_t));
    if (inbox == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the key of a stream";
    }

    inbox->key = value[1];

    if (cf->args->nelts == 3) {

        if (value[2].len <= maxlen.len
            || ngx_strncmp(value[2].data, maxlen.data, maxlen.len) != 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"chatmaid_webhook_stream\" takes maxlen=N, "
                               "not \"%V\"", &value[2]);
            return NGX_CONF_ERROR;
        }

        n = ngx_atoi(value[2].data + maxlen.len, value[2].len - maxlen.len);

        if (n == NGX_ERROR || n == 0) {
            return "needs a maxlen of at least 1";
        }

        inbox->maxlen = n;
    }

    lcf->webhook_inbox = inbox;

    return (ngx_http_chatmaid_webhook_conf_note(cf, cmd, inbox) == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_chatmaid_webhook_conf_note(ngx_conf_t *cf, ngx_command_t *cmd,
    void *value)
{
    ngx_str_t                              *args;
    ngx_http_chatmaid_main_conf_t          *mcf;
    ngx_http_chatmaid_webhook_directive_t  *directive;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    args = cf->args->elts;

    directive = ngx_array_push(&mcf->webhook_directives);
    if (directive == NULL) {
        return NGX_ERROR;
    }

    directive->value = value;
    directive->name = cmd->name;
    directive->argument = args[1];
    directive->in_location = (cf->cmd_type & NGX_HTTP_LOC_CONF) ? 1 : 0;
    directive->used = 0;

    ngx_http_chatmaid_conf_place_set(&directive->place, cf);

    return NGX_OK;
}


static void
ngx_http_chatmaid_webhook_conf_use(ngx_http_chatmaid_main_conf_t *mcf,
    void *value)
{
    ngx_uint_t                              i;
    ngx_http_chatmaid_webhook_directive_t  *directive;

    directive = mcf->webhook_directives.elts;

    for (i = 0; i < mcf->webhook_directives.nelts; i++) {
        if (directive[i].value == value) {
            directive[i].used = 1;
        }
    }
}


ngx_int_t
ngx_http_chatmaid_webhook_conf_init(ngx_conf_t *cf,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    if (ngx_array_init(&mcf->webhook_directives, cf->pool, 4,
                       sizeof(ngx_http_chatmaid_webhook_directive_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_array_init(&mcf->streams, cf->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_array_init(&mcf->webhooks, cf->pool, 4,
                          sizeof(ngx_http_chatmaid_webhook_location_t));
}


/* A stream that is set in a location itself is meant for that location.  If
 * "chatmaid_webhook on" is missing there, events would go unverified to another
 * handler: this is an error.  Other unused directives only give a warning. */

ngx_int_t
ngx_http_chatmaid_webhook_conf_check_unused(ngx_conf_t *cf,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_conf_t                              at;
    ngx_uint_t                              i, level;
    ngx_http_chatmaid_webhook_directive_t  *directive;

    static ngx_str_t  stream = ngx_string("chatmaid_webhook_stream");

    directive = mcf->webhook_directives.elts;

    for (i = 0; i < mcf->webhook_directives.nelts; i++) {

        if (directive[i].used) {
            continue;
        }

        level = NGX_LOG_WARN;

        if (directive[i].in_location
            && directive[i].name.len == stream.len
            && ngx_strncmp(directive[i].name.data, stream.data, stream.len)
               == 0)
        {
            level = NGX_LOG_EMERG;
        }

        at = ngx_http_chatmaid_conf_place_at(&directive[i].place, cf);

        ngx_conf_log_error(level, &at, 0,
                           "\"%V\" \"%V\" is used by no location with "
                           "\"chatmaid_webhook on\"", &directive[i].name,
                           &directive[i].argument);

        if (level == NGX_LOG_EMERG) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* In a Redis Cluster the marks of a stream have the hash tag of its key, so
 * that one script can write both. */

static ngx_int_t
ngx_http_chatmaid_webhook_conf_check_tag(ngx_conf_t *cf, ngx_str_t *key)
{
    ngx_str_t    tag;
    const char  *why;

    tag = ngx_http_chatmaid_redis_slot_tag(key);

    if (ngx_strlchr(tag.data, tag.data + tag.len, '}')) {
        why = "a \"}\" in the whole of it, which is its hash tag";

    } else if (tag.len > NGX_HTTP_CHATMAID_REDIS_MAX_TAG) {
        why = "a hash tag of more than 128 bytes";

    } else {
        return NGX_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"chatmaid_webhook_stream\" \"%V\" has %s: no mark can "
                       "be in the same slot of the Redis Cluster", key, why);

    return NGX_ERROR;
}


char *
ngx_http_chatmaid_webhook_conf_check(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->webhook_inbox && mcf->redis == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_webhook_stream\" \"%V\" needs a "
                           "\"chatmaid_redis\"", &conf->webhook_inbox->key);
        return NGX_CONF_ERROR;
    }

    if (conf->webhook_inbox && mcf->redis->url.cluster
        && ngx_http_chatmaid_webhook_conf_check_tag(cf,
                                                    &conf->webhook_inbox->key)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!conf->webhook) {
        return NGX_CONF_OK;
    }

    if (conf->webhook_secrets == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_webhook\" in the location \"%V\" needs "
                           "a \"chatmaid_webhook_secret_file\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (conf->webhook_dedup
        && conf->webhook_dedup / 1000
           < (ngx_msec_t) conf->webhook_tolerance
             + NGX_HTTP_CHATMAID_WEBHOOK_MARGIN)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_webhook_dedup\" in the location \"%V\" "
                           "is less than \"chatmaid_webhook_tolerance\" and "
                           "300s: repeats would be handed on", &clcf->name);
        return NGX_CONF_ERROR;
    }

    /* "if" and "limit_except" inherit everything from their location, which is
     * checked itself */

    if (clcf->noname) {
        return NGX_CONF_OK;
    }

    ngx_http_chatmaid_webhook_conf_use(mcf, conf->webhook_secrets);
    ngx_http_chatmaid_webhook_conf_use(mcf, conf->webhook_inbox);

    if (conf->webhook_inbox
        && ngx_http_chatmaid_webhook_conf_add_stream(mcf, conf->webhook_inbox)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_chatmaid_webhook_conf_check_handler(cf, conf, clcf)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_chatmaid_rewrite_warn(cf, clcf, "chatmaid_webhook");

    return ngx_http_chatmaid_webhook_conf_check_secrets(cf, conf, clcf);
}


/* Collects the keys of all streams for the metrics, each key once: several
 * locations may add to one stream. */

static ngx_int_t
ngx_http_chatmaid_webhook_conf_add_stream(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_webhook_inbox_t *inbox)
{
    ngx_str_t   *key;
    ngx_uint_t   i;

    key = mcf->streams.elts;

    for (i = 0; i < mcf->streams.nelts; i++) {

        if (key[i].len == inbox->key.len
            && ngx_memcmp(key[i].data, inbox->key.data, key[i].len) == 0)
        {
            return NGX_OK;
        }
    }

    key = ngx_array_push(&mcf->streams);
    if (key == NULL) {
        return NGX_ERROR;
    }

    *key = inbox->key;

    return NGX_OK;
}


/* At the end of merge all directives of the location have been parsed, so its
 * content handler is known. */

static char *
ngx_http_chatmaid_webhook_conf_check_handler(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf)
{
    if (conf->gateway) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_webhook\" is on in the location \"%V\", "
                           "which is that of a \"chatmaid_gateway\"",
                           &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (clcf->handler == NULL && conf->webhook_inbox == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_webhook\" is on in the location \"%V\", "
                           "which has neither a content handler, such as "
                           "\"proxy_pass\" (\"return\" is none: it would "
                           "accept forgeries), nor a "
                           "\"chatmaid_webhook_stream\"", &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_webhook_conf_check_secrets(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf)
{
    ngx_uint_t                             i;
    ngx_http_chatmaid_main_conf_t         *mcf;
    ngx_http_chatmaid_webhook_secret_t    *first, *second;
    ngx_http_chatmaid_webhook_location_t  *location;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    location = mcf->webhooks.elts;

    for (i = 0; i < mcf->webhooks.nelts; i++) {

        if (location[i].location.len != clcf->name.len
            || ngx_memcmp(location[i].location.data, clcf->name.data,
                          clcf->name.len)
               != 0
            || location[i].account_name.len != conf->account_name.len
            || ngx_memcmp(location[i].account_name.data,
                          conf->account_name.data, conf->account_name.len)
               != 0)
        {
            continue;
        }

        if (ngx_http_chatmaid_webhook_conf_is_in(conf->webhook_secrets,
                                                 location[i].secrets)
            && ngx_http_chatmaid_webhook_conf_is_in(location[i].secrets,
                                                    conf->webhook_secrets))
        {
            return NGX_CONF_OK;
        }

        first = location[i].secrets->elts;
        second = conf->webhook_secrets->elts;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_webhook_secret_file\" differs between "
                           "two locations \"%V\" of the \"chatmaid_account\" "
                           "\"%V\": \"%V\" and \"%V\"", &clcf->name,
                           &conf->account_name, &first->file, &second->file);
        return NGX_CONF_ERROR;
    }

    location = ngx_array_push(&mcf->webhooks);
    if (location == NULL) {
        return NGX_CONF_ERROR;
    }

    location->location = clcf->name;
    location->account_name = conf->account_name;
    location->secrets = conf->webhook_secrets;

    return NGX_CONF_OK;
}


/* Whether each of "secrets" is also one of "others". */

static ngx_uint_t
ngx_http_chatmaid_webhook_conf_is_in(ngx_array_t *secrets, ngx_array_t *others)
{
    ngx_uint_t                           i, j;
    ngx_http_chatmaid_webhook_secret_t  *secret, *other;

    secret = secrets->elts;
    other = others->elts;

    for (i = 0; i < secrets->nelts; i++) {

        for (j = 0; j < others->nelts; j++) {
            if (ngx_memcmp(secret[i].digest, other[j].digest,
                           NGX_HTTP_CHATMAID_SHA256_LEN)
                == 0)
            {
                break;
            }
        }

        if (j == others->nelts) {
            return 0;
        }
    }

    return 1;
}
