
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_rewrite.h"


/* The first members of ngx_http_rewrite_loc_conf_t, which is private to nginx's
 * rewrite module. */

typedef struct {
    ngx_array_t  *codes;
    ngx_uint_t    stack_size;
    ngx_flag_t    log;
} ngx_http_chatmaid_rewrite_conf_t;


static ngx_module_t *ngx_http_chatmaid_rewrite_module(ngx_conf_t *cf);


ngx_uint_t
ngx_http_chatmaid_rewrite_returns(ngx_conf_t *cf, void **loc_conf)
{
    u_char                            *p, *last;
    ngx_module_t                      *module;
    ngx_http_script_code_pt            code;
    ngx_http_script_if_code_t         *if_code;
    ngx_http_chatmaid_rewrite_conf_t  *rlcf;

    module = ngx_http_chatmaid_rewrite_module(cf);

    if (module == NULL) {
        return 0;
    }

    rlcf = loc_conf[module->ctx_index];

    if (rlcf->codes == NULL) {
        return 0;
    }

    /* codes differ in size, but each size is a multiple of a pointer's: so
     * every word is compared */

    p = rlcf->codes->elts;
    last = p + rlcf->codes->nelts;

    while (p < last) {
        code = *(ngx_http_script_code_pt *) p;

        if (code == ngx_http_script_return_code) {
            return 1;
        }

        if (code == ngx_http_script_break_code) {
            return 0;
        }

        if (code == ngx_http_script_if_code) {
            if_code = (ngx_http_script_if_code_t *) p;
            p += if_code->next;
            continue;
        }

        p += sizeof(uintptr_t);
    }

    return 0;
}


void
ngx_http_chatmaid_rewrite_warn(ngx_conf_t *cf, ngx_http_core_loc_conf_t *clcf,
    const char *directive)
{
    const char                *block;
    ngx_http_core_srv_conf_t  *cscf;

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    if (ngx_http_chatmaid_rewrite_returns(cf, clcf->loc_conf)) {
        block = "location";

    } else if (ngx_http_chatmaid_rewrite_returns(cf, cscf->ctx->loc_conf)) {
        block = "server";

    } else {
        return;
    }

    ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                       "\"%s\" in the location \"%V\" has no effect behind "
                       "the \"return\" of its %s, which answers before",
                       directive, &clcf->name, block);
}


/* Returns NULL if there is no rewrite module, or if its configuration does not
 * begin as expected, which the offset of "rewrite_log" in its table of
 * directives shows. */

static ngx_module_t *
ngx_http_chatmaid_rewrite_module(ngx_conf_t *cf)
{
    ngx_uint_t      i;
    ngx_module_t   *module;
    ngx_command_t  *cmd;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (ngx_strcmp(module->name, "ngx_http_rewrite_module") != 0) {
            continue;
        }

        for (cmd = module->commands; cmd->name.len; cmd++) {
            if (ngx_strcmp(cmd->name.data, "rewrite_log") == 0
                && cmd->offset
                   == offsetof(ngx_http_chatmaid_rewrite_conf_t, log))
            {
                return module;
            }
        }
    }

    return NULL;
}
