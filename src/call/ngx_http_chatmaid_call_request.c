
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_call_request.h"
#include "ngx_http_chatmaid_request.h"


/*
 * nginx may use a cache if the method's bit is that of GET, HEAD or POST.  What
 * it sends is the method's name, so other bits can be set here.  NGX_HTTP_LOCK
 * also keeps nginx from sending the request again to the next peer, as it does
 * for POST.
 */

#define NGX_HTTP_CHATMAID_CALL_REQUEST_READ  NGX_HTTP_UNKNOWN
#define NGX_HTTP_CHATMAID_CALL_REQUEST_SEND  NGX_HTTP_LOCK


/* The name of a header that calls send.  The hash is computed at the first
 * use. */

typedef struct {
    ngx_str_t     name;
    u_char       *lowcase;
    ngx_uint_t    hash;
} ngx_http_chatmaid_call_request_name_t;


static ngx_int_t ngx_http_chatmaid_call_request_body(ngx_http_request_t *sr,
    ngx_str_t *body);
static ngx_int_t ngx_http_chatmaid_call_request_headers(ngx_http_request_t *r,
    ngx_http_request_t *sr, ngx_str_t *request_id);
static ngx_int_t ngx_http_chatmaid_call_request_trace(ngx_http_request_t *r,
    ngx_http_request_t *sr);
static ngx_uint_t ngx_http_chatmaid_call_request_traceparent(ngx_str_t *value);
static ngx_table_elt_t *ngx_http_chatmaid_call_request_add(
    ngx_http_request_t *sr, ngx_http_chatmaid_call_request_name_t *name,
    ngx_str_t *value);


#define ngx_http_chatmaid_call_request_name(name, lowcase)                    \
    { ngx_string(name), (u_char *) lowcase, 0 }

static ngx_http_chatmaid_call_request_name_t
    ngx_http_chatmaid_call_request_content_type =
        ngx_http_chatmaid_call_request_name("Content-Type", "content-type");

static ngx_http_chatmaid_call_request_name_t
    ngx_http_chatmaid_call_request_user_agent =
        ngx_http_chatmaid_call_request_name("User-Agent", "user-agent");

static ngx_http_chatmaid_call_request_name_t
    ngx_http_chatmaid_call_request_accept =
        ngx_http_chatmaid_call_request_name("Accept", "accept");

static ngx_http_chatmaid_call_request_name_t
    ngx_http_chatmaid_call_request_x_request_id =
        ngx_http_chatmaid_call_request_name("X-Request-Id", "x-request-id");

static ngx_http_chatmaid_call_request_name_t
    ngx_http_chatmaid_call_request_parent =
        ngx_http_chatmaid_call_request_name("traceparent", "traceparent");

static ngx_http_chatmaid_call_request_name_t
    ngx_http_chatmaid_call_request_state =
        ngx_http_chatmaid_call_request_name("tracestate", "tracestate");


ngx_int_t
ngx_http_chatmaid_call_request(ngx_http_request_t *r, ngx_http_request_t *sr,
    ngx_str_t *request_id, ngx_str_t *body)
{
    ngx_http_core_main_conf_t      *cmcf;
    ngx_http_chatmaid_main_conf_t  *mcf;

    static ngx_str_t  post = ngx_string("POST");

    sr->method = NGX_HTTP_CHATMAID_CALL_REQUEST_READ;

    if (body) {
        sr->method = NGX_HTTP_CHATMAID_CALL_REQUEST_SEND;
        sr->method_name = post;
    }

    sr->filter_need_in_memory = 1;
    sr->upstream_states = r->upstream_states;

    /* values cached for the caller's request must not go upstream, except
     * $request_id, which stays the same */

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    mcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    sr->variables = ngx_pcalloc(r->pool, cmcf->variables.nelts
                                         * sizeof(ngx_http_variable_value_t));
    if (sr->variables == NULL) {
        sr->variables = r->variables;
        return NGX_ERROR;
    }

    sr->variables[mcf->request_id] = r->variables[mcf->request_id];

    if (ngx_http_chatmaid_call_request_body(sr, body) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_call_request_headers(r, sr, request_id);
}


static ngx_int_t
ngx_http_chatmaid_call_request_body(ngx_http_request_t *sr, ngx_str_t *body)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    sr->request_body = ngx_pcalloc(sr->pool, sizeof(ngx_http_request_body_t));
    if (sr->request_body == NULL) {
        return NGX_ERROR;
    }

    if (body == NULL) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(sr->pool);
    cl = ngx_alloc_chain_link(sr->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = body->data;
    b->pos = body->data;
    b->last = body->data + body->len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    sr->request_body->bufs = cl;
    sr->request_body->buf = b;

    return NGX_OK;
}


/* Sets all headers of the call: no other header of the caller's request goes
 * upstream. */

static ngx_int_t
ngx_http_chatmaid_call_request_headers(ngx_http_request_t *r,
    ngx_http_request_t *sr, ngx_str_t *request_id)
{
    ngx_table_elt_t  *h;

    static ngx_str_t  json = ngx_string("application/json");
    static ngx_str_t  own = ngx_string("ngx_http_chatmaid_module/"
                                       NGX_HTTP_CHATMAID_VERSION);

    ngx_memzero(&sr->headers_in, sizeof(ngx_http_headers_in_t));

    if (ngx_list_init(&sr->headers_in.headers, sr->pool, 8,
                      sizeof(ngx_table_elt_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sr->headers_in.server = r->headers_in.server;
    sr->headers_in.content_length_n = -1;
    sr->headers_in.keep_alive_n = -1;

    /* nginx's variables read Content-Type and User-Agent by these pointers */

    if (sr->request_body->buf) {
        sr->headers_in.content_length_n = ngx_buf_size(sr->request_body->buf);

        h = ngx_http_chatmaid_call_request_add(sr,
                          &ngx_http_chatmaid_call_request_content_type, &json);
        if (h == NULL) {
            return NGX_ERROR;
        }

        sr->headers_in.content_type = h;
    }

    h = r->headers_in.user_agent;

    h = ngx_http_chatmaid_call_request_add(sr,
                                    &ngx_http_chatmaid_call_request_user_agent,
                                    h ? &h->value : &own);
    if (h == NULL) {
        return NGX_ERROR;
    }

    sr->headers_in.user_agent = h;

    if (ngx_http_chatmaid_call_request_add(sr,
                                &ngx_http_chatmaid_call_request_accept, &json)
        == NULL
        || ngx_http_chatmaid_call_request_add(sr,
                      &ngx_http_chatmaid_call_request_x_request_id, request_id)
           == NULL)
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_call_request_trace(r, sr);
}


/* W3C Trace Context: tracestate means nothing without its traceparent. */

static ngx_int_t
ngx_http_chatmaid_call_request_trace(ngx_http_request_t *r,
    ngx_http_request_t *sr)
{
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;

    h = ngx_http_chatmaid_request_header(part, "traceparent", NULL);

    if (h == NULL
        || ngx_http_chatmaid_request_header(part, "traceparent", h)
        || !ngx_http_chatmaid_call_request_traceparent(&h->value))
    {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_call_request_add(sr,
                            &ngx_http_chatmaid_call_request_parent, &h->value)
        == NULL)
    {
        return NGX_ERROR;
    }

    for (h = ngx_http_chatmaid_request_header(part, "tracestate", NULL);
         h;
         h = ngx_http_chatmaid_request_header(part, "tracestate", h))
    {
        if (ngx_http_chatmaid_call_request_add(sr,
                             &ngx_http_chatmaid_call_request_state, &h->value)
            == NULL)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Version, trace-id, parent-id and flags in lower-case hex.  A version after 00
 * may have more fields.  Version ff and IDs of all zeros are invalid.
 */

static ngx_uint_t
ngx_http_chatmaid_call_request_traceparent(ngx_str_t *value)
{
    size_t   i;
    u_char  *p;

    static u_char  form[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-"
                            "hhhhhhhhhhhhhhhh-hh";
    static u_char  zeros[] = "00000000000000000000000000000000";

    p = value->data;

    if (value->len < sizeof(form) - 1) {
        return 0;
    }

    for (i = 0; i < sizeof(form) - 1; i++) {

        if (form[i] == '-') {
            if (p[i] != '-') {
                return 0;
            }

        } else if (!((p[i] >= '0' && p[i] <= '9')
                     || (p[i] >= 'a' && p[i] <= 'f')))
        {
            return 0;
        }
    }

    if (ngx_strncmp(p, "ff", 2) == 0
        || ngx_strncmp(p + 3, zeros, 32) == 0
        || ngx_strncmp(p + 36, zeros, 16) == 0)
    {
        return 0;
    }

    if (value->len == sizeof(form) - 1) {
        return 1;
    }

    return ngx_strncmp(p, "00", 2) != 0 && p[sizeof(form) - 1] == '-';
}


static ngx_table_elt_t *
ngx_http_chatmaid_call_request_add(ngx_http_request_t *sr,
    ngx_http_chatmaid_call_request_name_t *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_http_chatmaid_request_push(&sr->headers_in.headers);
    if (h == NULL) {
        return NULL;
    }

    if (name->hash == 0) {
        name->hash = ngx_hash_key(name->lowcase, name->name.len);
    }

    h->hash = name->hash;
    h->key = name->name;
    h->lowcase_key = name->lowcase;
    h->value = *value;

    return h;
}
