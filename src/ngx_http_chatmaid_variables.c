
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_variables.h"
#include "ngx_http_chatmaid_webhook_request.h"


static ngx_int_t ngx_http_chatmaid_variables_webhook(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_chatmaid_variables_event(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* All may change during a request, so they are not cacheable. */

static ngx_http_variable_t  ngx_http_chatmaid_variables[] = {

    { ngx_string("chatmaid_webhook"), NULL,
      ngx_http_chatmaid_variables_webhook, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chatmaid_webhook_event"), NULL,
      ngx_http_chatmaid_variables_event,
      offsetof(ngx_http_chatmaid_webhook_event_t, name),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chatmaid_webhook_message_id"), NULL,
      ngx_http_chatmaid_variables_event,
      offsetof(ngx_http_chatmaid_webhook_event_t, message_id),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("chatmaid_webhook_timestamp"), NULL,
      ngx_http_chatmaid_variables_event,
      offsetof(ngx_http_chatmaid_webhook_event_t, timestamp),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_chatmaid_variables_add(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_chatmaid_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_webhook(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_request_get(r);

    if (wh == NULL || wh->result == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = ngx_strlen(wh->result);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) wh->result;

    return NGX_OK;
}


/* Empty until the signature has proved the event. */

static ngx_int_t
ngx_http_chatmaid_variables_event(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                    *text;
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_request_get(r);

    if (wh == NULL || !wh->authentic) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = (ngx_str_t *) ((u_char *) &wh->event + data);

    if (text->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = text->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = text->data;

    return NGX_OK;
}
