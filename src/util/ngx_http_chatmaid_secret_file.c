
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_secret_file.h"
#include <openssl/crypto.h>


static const char *ngx_http_chatmaid_secret_file_open(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_fd_t fd, ngx_str_t *path, ngx_str_t *secret);
static const char *ngx_http_chatmaid_secret_file_check(ngx_str_t *secret,
    ngx_uint_t ascii);


ngx_int_t
ngx_http_chatmaid_secret_file_read(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *path, ngx_str_t *secret, ngx_uint_t ascii)
{
    ngx_fd_t     fd;
    const char  *wrong;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    secret->data = ngx_palloc(cf->pool, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
    if (secret->data == NULL) {
        return NGX_ERROR;
    }

    /* nonblocking: opening a FIFO would wait for its writer */
    fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%V\": " ngx_open_file_n " \"%V\" failed",
                           &cmd->name, path);
        return NGX_ERROR;
    }

    wrong = ngx_http_chatmaid_secret_file_open(cf, cmd, fd, path, secret);

    if (wrong == NULL) {
        wrong = ngx_http_chatmaid_secret_file_check(secret, ascii);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    if (wrong) {
        OPENSSL_cleanse(secret->data, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": \"%V\" %s",
                           &cmd->name, path, wrong);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static const char *
ngx_http_chatmaid_secret_file_open(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_fd_t fd, ngx_str_t *path, ngx_str_t *secret)
{
    ssize_t          n;
    ngx_file_info_t  fi;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        return "can't be examined";
    }

    if (!ngx_is_file(&fi)) {
        return "is not a regular file";
    }

    if (ngx_file_access(&fi) & 027) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\": \"%V\" has mode 0%ui%ui%ui: its group may "
                           "change it, or others may use it", &cmd->name, path,
                           (ngx_uint_t) (ngx_file_access(&fi) >> 6 & 7),
                           (ngx_uint_t) (ngx_file_access(&fi) >> 3 & 7),
                           (ngx_uint_t) (ngx_file_access(&fi) & 7));
    }

    for (secret->len = 0; /* void */; secret->len += n) {
        n = ngx_read_fd(fd, secret->data + secret->len,
                        NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1 - secret->len);

        if (n == -1) {
            return "can't be read";
        }

        if (n == 0) {
            break;
        }
    }

    if (secret->len > NGX_HTTP_CHATMAID_SECRET_FILE_MAX) {
        return "is larger than 4096 bytes";
    }

    while (secret->len
           && ngx_strchr(" \t\r\n\v\f", secret->data[secret->len - 1])
           && secret->data[secret->len - 1])
    {
        secret->len--;
    }

    return NULL;
}


/* What a header line can't hold must not be in a secret that is sent. */

static const char *
ngx_http_chatmaid_secret_file_check(ngx_str_t *secret, ngx_uint_t ascii)
{
    size_t  i;

    if (secret->len == 0) {
        return "is empty";
    }

    for (i = 0; i < secret->len; i++) {
        if (secret->data[i] == LF || secret->data[i] == CR) {
            return "has more than one line";
        }
    }

    for (i = 0; ascii && i < secret->len; i++) {
        if (secret->data[i] <= ' ' || secret->data[i] >= 0x7f) {
            return "holds a space or a character that is not ASCII";
        }
    }

    return NULL;
}
