
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_pace_conf.h"
#include "ngx_http_chatmaid_secret_file.h"


#define NGX_HTTP_CHATMAID_PACE_BURST      10

/* These limits keep an account's clock, in microseconds, within 16 digits. */
#define NGX_HTTP_CHATMAID_PACE_MAX_RATE   1000000   /* calls per second */
#define NGX_HTTP_CHATMAID_PACE_MAX_BURST  1000000


static char *ngx_http_chatmaid_pace_conf_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_rate_t *rate);
static char *ngx_http_chatmaid_pace_conf_parameter(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_chatmaid_rate_t *rate);
static char *ngx_http_chatmaid_pace_conf_caller(ngx_conf_t *cf,
    ngx_str_t *text, ngx_http_chatmaid_rate_t *rate);


char *
ngx_http_chatmaid_pace_conf_rate(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_chatmaid_loc_conf_t  *lcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_chatmaid_rate_t  *rate;

    if (lcf->rate != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    rate = ngx_pcalloc(cf->pool, sizeof(ngx_http_chatmaid_rate_t));
    if (rate == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_http_chatmaid_pace_conf_parse(cf, &value[1], rate)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_http_chatmaid_pace_conf_parameter(cf, &value[i], rate)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (rate->burst == 0) {
        rate->burst = NGX_HTTP_CHATMAID_PACE_BURST;
    }

    lcf->rate = rate;

    return NGX_CONF_OK;
}


/* Rates are written as in limit_req_zone: 5r/s, 100r/m. */

static char *
ngx_http_chatmaid_pace_conf_parse(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_rate_t *rate)
{
    ngx_int_t   n;
    ngx_uint_t  seconds;

    n = NGX_ERROR;
    seconds = 0;

    if (text->len > 3) {

        if (ngx_strncmp(text->data + text->len - 3, "r/s", 3) == 0) {
            seconds = 1;

        } else if (ngx_strncmp(text->data + text->len - 3, "r/m", 3) == 0) {
            seconds = 60;
        }

        n = ngx_atoi(text->data, text->len - 3);
    }

    if (seconds == 0 || n <= 0
        || n / (ngx_int_t) seconds > NGX_HTTP_CHATMAID_PACE_MAX_RATE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_rate\" needs a rate such as 100r/m or "
                           "5r/s, at most %dr/s, not \"%V\"",
                           NGX_HTTP_CHATMAID_PACE_MAX_RATE, text);
        return NGX_CONF_ERROR;
    }

    /* rounded up, so that the pace is never faster than the rate */

    rate->interval = ((uint64_t) seconds * 1000000 + n - 1) / n;
    rate->text = *text;

    return NGX_CONF_OK;
}


static char *
ngx_http_chatmaid_pace_conf_parameter(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_chatmaid_rate_t *rate)
{
    ngx_int_t  n;
    ngx_str_t  caller;

    if (value->len > 6 && ngx_strncmp(value->data, "burst=", 6) == 0
        && rate->burst == 0)
    {
        n = ngx_atoi(value->data + 6, value->len - 6);

        if (n <= 0 || n > NGX_HTTP_CHATMAID_PACE_MAX_BURST) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"chatmaid_rate\": \"%V\" must be from 1 to %d",
                               value, NGX_HTTP_CHATMAID_PACE_MAX_BURST);
            return NGX_CONF_ERROR;
        }

        rate->burst = n;

        return NGX_CONF_OK;
    }

    if (value->len > 7 && ngx_strncmp(value->data, "caller=", 7) == 0
        && rate->caller == NULL)
    {
        caller.data = value->data + 7;
        caller.len = value->len - 7;

        return ngx_http_chatmaid_pace_conf_caller(cf, &caller, rate);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"chatmaid_rate\": invalid parameter \"%V\", there are "
                       "\"burst=N\" and \"caller=VALUE\", once each", value);
    return NGX_CONF_ERROR;
}


static char *
ngx_http_chatmaid_pace_conf_caller(ngx_conf_t *cf, ngx_str_t *text,
    ngx_http_chatmaid_rate_t *rate)
{
    ngx_http_compile_complex_value_t  ccv;

    rate->caller = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (rate->caller == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = text;
    ccv.complex_value = rate->caller;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK
                                                          : NGX_CONF_ERROR;
}


char *
ngx_http_chatmaid_pace_conf_join(ngx_conf_t *cf,
    ngx_http_chatmaid_loc_conf_t *conf, ngx_http_chatmaid_account_t *account)
{
    ngx_http_chatmaid_rate_t  *rate, *pace;

    rate = conf->rate;
    pace = account->pace;

    conf->pace = pace;

    if (rate == NULL) {
        return NGX_CONF_OK;
    }

    if (pace->interval == 0) {
        *pace = *rate;
        return NGX_CONF_OK;
    }

    if (pace->interval != rate->interval || pace->burst != rate->burst) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"chatmaid_rate\": the account \"%V\" has two "
                           "rates, \"%V burst=%ui\" and \"%V burst=%ui\"",
                           &account->account, &pace->text, pace->burst,
                           &rate->text, rate->burst);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
