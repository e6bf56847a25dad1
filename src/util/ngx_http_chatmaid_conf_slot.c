
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_conf_slot.h"
#include "ngx_http_chatmaid_secret_file.h"


static char *ngx_http_chatmaid_conf_slot_check_words(ngx_conf_t *cf,
    ngx_command_t *cmd);
static u_char *ngx_http_chatmaid_conf_slot_list_words(u_char *p, u_char *last,
    ngx_conf_enum_t *word);


char *
ngx_http_chatmaid_conf_slot_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    if (ngx_http_chatmaid_conf_slot_check_words(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_enum_slot(cf, cmd, conf);
}


char *
ngx_http_chatmaid_conf_slot_bitmask(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    if (ngx_http_chatmaid_conf_slot_check_words(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_bitmask_slot(cf, cmd, conf);
}


/* nginx's ngx_conf_enum_t and ngx_conf_bitmask_t have the same layout, so that
 * both can be read as the former. */

static char *
ngx_http_chatmaid_conf_slot_check_words(ngx_conf_t *cf, ngx_command_t *cmd)
{
    u_char            text[128], *p;
    ngx_str_t        *value;
    ngx_uint_t        i, n;
    ngx_conf_enum_t  *word;

    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    word = cmd->post;

    for (i = 1; i < cf->args->nelts; i++) {

        for (n = 0; word[n].name.len; n++) {
            if (ngx_strcmp(value[i].data, word[n].name.data) == 0) {
                break;
            }
        }

        if (word[n].name.len) {
            continue;
        }

        p = ngx_http_chatmaid_conf_slot_list_words(text, text + sizeof(text),
                                                   word);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": invalid value \"%V\", there are %*s",
                           &cmd->name, &value[i], (size_t) (p - text), text);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static u_char *
ngx_http_chatmaid_conf_slot_list_words(u_char *p, u_char *last,
    ngx_conf_enum_t *word)
{
    ngx_uint_t   i;
    const char  *separator;

    for (i = 0; word[i].name.len; i++) {
        separator = (i == 0) ? "" : word[i + 1].name.len ? ", " : " and ";
        p = ngx_slprintf(p, last, "%s\"%V\"", separator, &word[i].name);
    }

    return p;
}


char *
ngx_http_chatmaid_conf_slot_flag(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    if (ngx_http_chatmaid_secret_file_guard(cf, cmd) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_flag_slot(cf, cmd, conf);
}
