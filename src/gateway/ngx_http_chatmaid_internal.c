
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_internal.h"
#include "ngx_http_chatmaid_conf_place.h"
#include "ngx_http_chatmaid_rewrite.h"


extern ngx_module_t  ngx_http_proxy_module;


/*
 * A part of ngx_http_proxy_loc_conf_t, which is private.  nginx has had these
 * three members in a row since it has had "proxy_method".  If "location" is the
 * location's name, they still are.
 */

typedef struct {
    ngx_http_complex_value_t  *method;
    ngx_str_t                  location;    /* the name of the location */
    ngx_str_t                  url;         /* of proxy_pass, as written */
} ngx_http_chatmaid_internal_pass_t;


static ngx_http_core_loc_conf_t *ngx_http_chatmaid_internal_find(
    ngx_http_core_loc_conf_t *parent, ngx_str_t *uri);
static ngx_int_t ngx_http_chatmaid_internal_refuse(ngx_conf_t *cf,
    ngx_http_chatmaid_gateway_t *gateway, ngx_http_core_loc_conf_t *clcf,
    const char *fault);
static const char *ngx_http_chatmaid_internal_check(ngx_conf_t *cf,
    ngx_http_chatmaid_gateway_t *gateway, ngx_http_core_loc_conf_t *clcf);
static const char *ngx_http_chatmaid_internal_check_pass(ngx_conf_t *cf,
    ngx_http_chatmaid_gateway_t *gateway, ngx_http_core_loc_conf_t *clcf);
static const char *ngx_http_chatmaid_internal_check_uri(ngx_conf_t *cf,
    ngx_str_t *rest);
static const char *ngx_http_chatmaid_internal_check_request(
    ngx_http_core_loc_conf_t *clcf);
static void *ngx_http_chatmaid_internal_proxy_value(
    ngx_http_core_loc_conf_t *clcf, const char *directive);


ngx_int_t
ngx_http_chatmaid_internal_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    const char                      *fault;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_chatmaid_gateway_t    **gateway;
    ngx_http_chatmaid_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_chatmaid_module);
    gateway = mcf->gateways.elts;

    for (i = 0; i < mcf->gateways.nelts; i++) {

        clcf = ngx_http_chatmaid_internal_find(gateway[i]->server,
                                               &gateway[i]->uri);

        fault = ngx_http_chatmaid_internal_check(cf, gateway[i], clcf);

        if (fault) {
            return ngx_http_chatmaid_internal_refuse(cf, gateway[i], clcf,
                                                     fault);
        }

        gateway[i]->location = clcf;

        /*
         * ngx_http_proxy_loc_conf_t begins with the upstream configuration.  An
         * answer is captured as it arrives: whatever the location says, it must
         * not be written to a temporary file or replaced by an error page.
         */

        gateway[i]->upstream = *(ngx_http_upstream_conf_t *)
                             clcf->loc_conf[ngx_http_proxy_module.ctx_index];
        gateway[i]->upstream.change_buffering = 0;
        gateway[i]->upstream.intercept_errors = 0;

#if (NGX_HTTP_SSL)

        /* nginx keeps one TLS session per peer for all locations.  A resumed
         * session keeps the result of its verification, for which another
         * location may have had other trusted certificates. */

        gateway[i]->upstream.ssl_session_reuse = 0;
#endif
    }

    return NGX_OK;
}


/* Finds the location with exactly this name, as nginx does for a request. */

static ngx_http_core_loc_conf_t *
ngx_http_chatmaid_internal_find(ngx_http_core_loc_conf_t *parent,
    ngx_str_t *uri)
{
    size_t                          len, n;
    u_char                         *p;
    ngx_int_t                       rc;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_location_tree_node_t  *node;

    p = uri->data;
    len = uri->len;
    clcf = NULL;

    for (node = parent->static_locations; node; /* void */) {

        n = (len <= (size_t) node->len) ? len : node->len;
        rc = ngx_filename_cmp(p, node->name, n);

        if (rc != 0) {
            node = (rc < 0) ? node->left : node->right;
            continue;
        }

        if (len < (size_t) node->len) {
            node = node->left;
            continue;
        }

        if (len == (size_t) node->len) {
            return node->exact ? node->exact : node->inclusive;
        }

        if (node->inclusive) {
            clcf = node->inclusive;
            node = node->tree;
            p += n;
            len -= n;
            continue;
        }

        node = node->right;
    }

    return clcf ? ngx_http_chatmaid_internal_find(clcf, uri) : NULL;
}


static ngx_int_t
ngx_http_chatmaid_internal_refuse(ngx_conf_t *cf,
    ngx_http_chatmaid_gateway_t *gateway, ngx_http_core_loc_conf_t *clcf,
    const char *fault)
{
    ngx_conf_t                     at;
    ngx_conf_file_t               *place;
    ngx_http_chatmaid_loc_conf_t  *lcf;

    place = &gateway->place;

    if (clcf) {
        lcf = clcf->loc_conf[ngx_http_chatmaid_module.ctx_index];
        place = &lcf->place;
    }

    at = ngx_http_chatmaid_conf_place_at(place, cf);

    ngx_conf_log_error(NGX_LOG_EMERG, &at, 0,
                       "\"chatmaid_gateway\" in the location \"%V\" names the "
                       "location \"%V\", %s",
                       &gateway->prefix, &gateway->uri, fault);

    return NGX_ERROR;
}


/* Returns NULL, or what is wrong. */

static const char *
ngx_http_chatmaid_internal_check(ngx_conf_t *cf,
    ngx_http_chatmaid_gateway_t *gateway, ngx_http_core_loc_conf_t *clcf)
{
    const char  *fault;

    if (clcf == NULL) {
        return "which this server does not have";
    }

    if (!clcf->internal) {
        return "which is not internal: add \"internal;\"";
    }

    if (clcf->limit_except) {
        return "which has a \"limit_except\": calls don't pass it";
    }

    if (ngx_http_chatmaid_rewrite_returns(cf, clcf->loc_conf)) {
        return "which has a \"return\" that comes before \"proxy_pass\"";
    }

    fault = ngx_http_chatmaid_internal_check_pass(cf, gateway, clcf);

    return fault ? fault : ngx_http_chatmaid_internal_check_request(clcf);
}


/* Checks where calls go, and how. */

static const char *
ngx_http_chatmaid_internal_check_pass(ngx_conf_t *cf,
    ngx_http_chatmaid_gateway_t *gateway, ngx_http_core_loc_conf_t *clcf)
{
    ngx_str_t                           rest;
    ngx_uint_t                          live, tls;
    ngx_http_upstream_conf_t           *ucf;
    ngx_http_chatmaid_internal_pass_t  *pass;

    ucf = clcf->loc_conf[ngx_http_proxy_module.ctx_index];

    if (ucf->upstream == NULL) {
        return "which has no \"proxy_pass\" to an upstream block or a literal "
               "host; a variable's host is not known at start";
    }

    live = (gateway->api_key->environment == NGX_HTTP_CHATMAID_LIVE);

#if (NGX_HTTP_SSL)
    if (live && !ucf->ssl_verify)
#else
    if (live)
#endif
    {
        return "where \"proxy_ssl_verify\" is off: a live key is not sent "
               "without verified TLS";
    }

    pass = ngx_http_chatmaid_internal_proxy_value(clcf, "proxy_method");

    if (pass == NULL
        || pass->location.data != clcf->name.data
        || pass->location.len != clcf->name.len)
    {
        return NULL;
    }

    rest = pass->url;

    if (rest.len > 7
        && ngx_strncasecmp(rest.data, (u_char *) "http://", 7) == 0)
    {
        tls = 0;
        rest.data += 7;
        rest.len -= 7;

    } else if (rest.len > 8
               && ngx_strncasecmp(rest.data, (u_char *) "https://", 8) == 0)
    {
        tls = 1;
        rest.data += 8;
        rest.len -= 8;

    } else {
        return NULL;
    }

    if (live && !tls) {
        return "whose \"proxy_pass\" has no TLS: a live key is not sent "
               "without it, write \"https://\"";
    }

    return ngx_http_chatmaid_internal_check_uri(cf, &rest);
}


/* The module writes the path of each call, so the URI of proxy_pass must be
 * "/". */

static const char *
ngx_http_chatmaid_internal_check_uri(ngx_conf_t *cf, ngx_str_t *rest)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *rest;
    u.default_port = 80;
    u.uri_part = 1;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return NULL;
    }

    if (u.uri.len == 0) {
        return "whose \"proxy_pass\" has no URI, only a host: append \"/\"";
    }

    if (u.uri.len != 1 || u.uri.data[0] != '/') {
        return "whose \"proxy_pass\" has a path behind its host: leave only "
               "\"/\" there, Chatmaid's paths are added to it";
    }

    return NULL;
}


/* Checks how the location changes the request of a call. */

static const char *
ngx_http_chatmaid_internal_check_request(ngx_http_core_loc_conf_t *clcf)
{
    ngx_uint_t                 i, *version;
    ngx_array_t              **headers;
    ngx_keyval_t              *header;
    ngx_http_upstream_conf_t  *ucf;

    static ngx_str_t  name = ngx_string("authorization");

    ucf = clcf->loc_conf[ngx_http_proxy_module.ctx_index];

    if (!ucf->pass_request_headers) {
        return "where \"proxy_pass_request_headers\" is off";
    }

    if (!ucf->pass_request_body) {
        return "where \"proxy_pass_request_body\" is off";
    }

    version = ngx_http_chatmaid_internal_proxy_value(clcf,
                                                     "proxy_http_version");

    if (version && *version > NGX_HTTP_VERSION_11) {
        return "where \"proxy_http_version\" is 2: the key is added to "
               "HTTP/1.1 only";
    }

    headers = ngx_http_chatmaid_internal_proxy_value(clcf, "proxy_set_header");

    if (headers == NULL || *headers == NULL) {
        return NULL;
    }

    header = (*headers)->elts;

    for (i = 0; i < (*headers)->nelts; i++) {

        /* a header with an empty value is not sent; a variable may be empty */

        if (header[i].key.len == name.len
            && ngx_strncasecmp(header[i].key.data, name.data, name.len) == 0
            && header[i].value.len
            && ngx_http_script_variables_count(&header[i].value) == 0)
        {
            return "which sets an \"Authorization\" of its own";
        }
    }

    return NULL;
}


/* Finds the value of a directive in the proxy module's configuration, by the
 * offset in that module's table of directives.  NULL: the table has no
 * offset. */

static void *
ngx_http_chatmaid_internal_proxy_value(ngx_http_core_loc_conf_t *clcf,
    const char *directive)
{
    u_char         *plcf;
    ngx_command_t  *cmd;

    plcf = clcf->loc_conf[ngx_http_proxy_module.ctx_index];

    for (cmd = ngx_http_proxy_module.commands; cmd->name.len; cmd++) {

        if (ngx_strcmp(cmd->name.data, directive) == 0) {
            return cmd->offset ? plcf + cmd->offset : NULL;
        }
    }

    return NULL;
}
