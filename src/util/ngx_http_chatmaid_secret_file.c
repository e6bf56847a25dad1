
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_secret_file.h"
#include <openssl/crypto.h>


static const char *ngx_http_chatmaid_secret_file_open(ngx_conf_t *cf,
    ngx_command_t *cmd, ngx_fd_t fd, ngx_str_t *path, ngx_str_t *secret);
static const char *ngx_http_chatmaid_secret_file_check(ngx_str_t *secret,
    ngx_http_chatmaid_secret_file_e kind);
static const char *ngx_http_chatmaid_secret_file_check_webhook(
    ngx_str_t *secret);
static const char *ngx_http_chatmaid_secret_file_unlikely(ngx_str_t *secret);
static ngx_uint_t ngx_http_chatmaid_secret_file_has_mark(ngx_str_t *secret);
static ngx_uint_t ngx_http_chatmaid_secret_file_is_secret(ngx_str_t *value);


ngx_int_t
ngx_http_chatmaid_secret_file_read(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_str_t *path, ngx_str_t *secret, ngx_http_chatmaid_secret_file_e kind)
{
    ngx_fd_t     fd;
    ngx_str_t    written;
    const char  *wrong, *unlikely;

    written = *path;

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    secret->data = ngx_palloc(cf->pool, NGX_HTTP_CHATMAID_SECRET_FILE_MAX + 1);
    if (secret->data == NULL) {
        return NGX_ERROR;
    }

    /* nonblocking, because opening a FIFO would wait for a writer */
    fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {

        /* a relative path is not logged: it may be a password by mistake */

        if (written.len && written.data[0] == '/') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "\"%V\": " ngx_open_file_n " \"%V\" failed",
                               &cmd->name, path);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               "\"%V\": " ngx_open_file_n " of a path below "
                               "\"%V\" failed", &cmd->name,
                               &cf->cycle->conf_prefix);
        }

        return NGX_ERROR;
    }

    wrong = ngx_http_chatmaid_secret_file_open(cf, cmd, fd, path, secret);

    if (wrong == NULL) {
        wrong = ngx_http_chatmaid_secret_file_check(secret, kind);
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

    unlikely = (kind == NGX_HTTP_CHATMAID_SECRET_FILE_WEBHOOK)
               ? ngx_http_chatmaid_secret_file_unlikely(secret) : NULL;

    if (unlikely) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"%V\": \"%V\" %s: is it the whole secret, and "
                           "nothing else?", &cmd->name, path, unlikely);
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
                           "change it, or others may use it; chmod 600 %V",
                           &cmd->name, path,
                           (ngx_uint_t) (ngx_file_access(&fi) >> 6 & 7),
                           (ngx_uint_t) (ngx_file_access(&fi) >> 3 & 7),
                           (ngx_uint_t) (ngx_file_access(&fi) & 7), path);
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


static const char *
ngx_http_chatmaid_secret_file_check(ngx_str_t *secret,
    ngx_http_chatmaid_secret_file_e kind)
{
    size_t  i;

    if (ngx_http_chatmaid_secret_file_has_mark(secret)) {
        return (kind == NGX_HTTP_CHATMAID_SECRET_FILE_PASSWORD)
               ? "begins with a byte order mark: save it as UTF-8 without one"
               : "begins with a byte order mark: save it as plain ASCII";
    }

    if (secret->len == 0) {
        return "is empty";
    }

    for (i = 0; i < secret->len; i++) {
        if (secret->data[i] == LF || secret->data[i] == CR) {
            return "has more than one line";
        }

        if (secret->data[i] == '\0') {
            return "holds a NUL: save it as plain text";
        }
    }

    /* a key is sent in a header line, which can't contain these characters */

    for (i = 0;
         kind == NGX_HTTP_CHATMAID_SECRET_FILE_API_KEY && i < secret->len;
         i++)
    {
        if (secret->data[i] <= ' ' || secret->data[i] >= 0x7f) {
            return "holds a space or a character that is not ASCII";
        }
    }

    if (kind == NGX_HTTP_CHATMAID_SECRET_FILE_WEBHOOK) {
        return ngx_http_chatmaid_secret_file_check_webhook(secret);
    }

    return NULL;
}


/* Refuses what is surely a mistake, because with a wrong secret every signature
 * would be refused. */

static const char *
ngx_http_chatmaid_secret_file_check_webhook(ngx_str_t *secret)
{
    size_t  i, last;

    if (secret->data[0] == ' ' || secret->data[0] == '\t') {
        return "begins with a blank";
    }

    last = secret->len - 1;

    if (last && (secret->data[0] == '"' || secret->data[0] == '\'')
        && secret->data[last] == secret->data[0])
    {
        return "has quotes around the secret: write it without them";
    }

    for (i = 0; i < secret->len; i++) {
        if (secret->data[i] < ' ' || secret->data[i] == 0x7f) {
            return "holds a control character";
        }
    }

    return NULL;
}


/* Returns what makes it unlikely that this is a webhook secret of Chatmaid's,
 * or NULL. */

static const char *
ngx_http_chatmaid_secret_file_unlikely(ngx_str_t *secret)
{
    size_t  i;

    static ngx_str_t  prefix = ngx_string("whsec_");

    if (secret->len <= prefix.len
        || ngx_strncmp(secret->data, prefix.data, prefix.len) != 0)
    {
        return "does not begin with \"whsec_\"";
    }

    for (i = 0; i < secret->len; i++) {
        if (secret->data[i] == ' ' || secret->data[i] >= 0x80) {
            return "holds a space or a character that is not ASCII";
        }
    }

    return NULL;
}


/* Whether the secret begins with the byte order mark of UTF-8 or UTF-16. */

static ngx_uint_t
ngx_http_chatmaid_secret_file_has_mark(ngx_str_t *secret)
{
    u_char  *p;

    p = secret->data;

    if (secret->len >= 3 && ngx_memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        return 1;
    }

    return secret->len >= 2
           && (ngx_memcmp(p, "\xff\xfe", 2) == 0
               || ngx_memcmp(p, "\xfe\xff", 2) == 0);
}


char *
ngx_http_chatmaid_secret_file_guard(ngx_conf_t *cf, ngx_command_t *cmd)
{
    size_t       name;
    ngx_str_t   *value, arg;
    ngx_uint_t   i;

    static ngx_str_t  suffix = ngx_string("_file");

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        arg = value[i];

        name = strspn((char *) arg.data, "abcdefghijklmnopqrstuvwxyz_");

        if (name && name < arg.len && arg.data[name] == '=') {
            arg.data += name + 1;
            arg.len -= name + 1;
        }

        if (!ngx_http_chatmaid_secret_file_is_secret(&arg)) {
            continue;
        }

        if (arg.data != value[i].data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\": \"%*s=\" takes the path of a file, "
                               "not the key itself", &cmd->name, name,
                               value[i].data);

        } else if (cmd->name.len > suffix.len
                   && ngx_strncmp(cmd->name.data + cmd->name.len - suffix.len,
                                  suffix.data, suffix.len)
                      == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" takes the path of a file, not the key "
                               "itself", &cmd->name);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" takes no key and no secret: each "
                               "belongs in a file of its own", &cmd->name);
        }

        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_chatmaid_secret_file_is_secret(ngx_str_t *value)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    static ngx_str_t  prefixes[] = {
        ngx_string("sk_"),
        ngx_string("whsec_")
    };

    p = value->data;
    last = p + value->len;

    while (p < last && (*p == ' ' || *p == '\t' || *p == '"' || *p == '\'')) {
        p++;
    }

    for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if ((size_t) (last - p) >= prefixes[i].len
            && ngx_strncasecmp(p, prefixes[i].data, prefixes[i].len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
