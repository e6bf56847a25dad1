
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * For tests: in a location with "filter_probe STATUS;" no answer pleases this
 * filter, and each is replaced by nginx's own for that status.  Like the image
 * filter it does so where the body comes.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


static void *probe_create_loc_conf(ngx_conf_t *cf);
static char *probe_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t probe_init(ngx_conf_t *cf);


typedef struct {
    ngx_uint_t  status;
} probe_conf_t;


static ngx_command_t  probe_commands[] = {

    { ngx_string("filter_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(probe_conf_t, status),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_module_ctx = {
    NULL,                                  /* preconfiguration */
    probe_init,                            /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    probe_create_loc_conf,                 /* create location configuration */
    probe_merge_loc_conf                   /* merge location configuration */
};


ngx_module_t  ngx_http_chatmaid_filter_probe_module = {
    NGX_MODULE_V1,
    &probe_module_ctx,                     /* module context */
    probe_commands,                        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  probe_next_header_filter;
static ngx_http_output_body_filter_pt    probe_next_body_filter;


/* The header of what is to be replaced waits for its body. */

static ngx_int_t
probe_header_filter(ngx_http_request_t *r)
{
    probe_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r,
                                        ngx_http_chatmaid_filter_probe_module);

    if (conf->status == 0 || r->filter_finalize) {
        return probe_next_header_filter(r);
    }

    ngx_http_set_ctx(r, conf, ngx_http_chatmaid_filter_probe_module);

    return NGX_OK;
}


static ngx_int_t
probe_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    probe_conf_t  *conf;

    conf = ngx_http_get_module_ctx(r, ngx_http_chatmaid_filter_probe_module);

    if (conf == NULL || r->filter_finalize || in == NULL) {
        return probe_next_body_filter(r, in);
    }

    return ngx_http_filter_finalize_request(r,
                                        &ngx_http_chatmaid_filter_probe_module,
                                        conf->status);
}


static void *
probe_create_loc_conf(ngx_conf_t *cf)
{
    probe_conf_t  *conf;

    conf = ngx_palloc(cf->pool, sizeof(probe_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->status = NGX_CONF_UNSET_UINT;

    return conf;
}


static char *
probe_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    probe_conf_t *prev = parent;
    probe_conf_t *conf = child;

    ngx_conf_merge_uint_value(conf->status, prev->status, 0);

    return NGX_CONF_OK;
}


static ngx_int_t
probe_init(ngx_conf_t *cf)
{
    probe_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = probe_header_filter;

    probe_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = probe_body_filter;

    return NGX_OK;
}
