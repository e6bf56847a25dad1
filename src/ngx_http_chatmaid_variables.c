
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_variables.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_facts.h"
#include "ngx_http_chatmaid_gateway.h"
#include "ngx_http_chatmaid_problem.h"
#include "ngx_http_chatmaid_webhook_request.h"


static ngx_int_t ngx_http_chatmaid_variables_fact(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_chatmaid_variables_request_id(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_account(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_route(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_code(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_idempotency(
    ngx_http_request_t *r, ngx_http_chatmaid_facts_t *facts,
    ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_idempotency_key(
    ngx_http_request_t *r, ngx_http_chatmaid_facts_t *facts,
    ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_message_id(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_attempts(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_store(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_store_time(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_pace_time(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_time(ngx_http_request_t *r,
    ngx_msec_t time, ngx_str_t *value);
static ngx_int_t ngx_http_chatmaid_variables_webhook(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_chatmaid_variables_event(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_chatmaid_variables_set(ngx_http_variable_value_t *v,
    ngx_str_t *value);


/* Sets "value" to what a variable shows of the facts, or leaves it empty if the
 * variable does not apply.  NGX_OK; NGX_ERROR without memory. */
typedef ngx_int_t (*ngx_http_chatmaid_variables_pt)(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value);


#define ngx_http_chatmaid_variables_of(name)                                  \
    { ngx_string("chatmaid_" #name), NULL, ngx_http_chatmaid_variables_fact,  \
      (uintptr_t) ngx_http_chatmaid_variables_##name,                         \
      NGX_HTTP_VAR_NOCACHEABLE, 0 }


/* The values may change during a request, so they are not cacheable. */

static ngx_http_variable_t  ngx_http_chatmaid_variables[] = {

    ngx_http_chatmaid_variables_of(request_id),
    ngx_http_chatmaid_variables_of(account),
    ngx_http_chatmaid_variables_of(route),
    ngx_http_chatmaid_variables_of(code),
    ngx_http_chatmaid_variables_of(outcome),
    ngx_http_chatmaid_variables_of(idempotency),
    ngx_http_chatmaid_variables_of(idempotency_key),
    ngx_http_chatmaid_variables_of(message_id),
    ngx_http_chatmaid_variables_of(attempts),
    ngx_http_chatmaid_variables_of(store),
    ngx_http_chatmaid_variables_of(store_time),
    ngx_http_chatmaid_variables_of(pace_time),

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
ngx_http_chatmaid_variables_fact(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_chatmaid_variables_pt  show;

    ngx_str_t                       value;
    ngx_http_chatmaid_facts_t      *facts;

    show = (ngx_http_chatmaid_variables_pt) data;

    ngx_str_null(&value);

    facts = ngx_http_chatmaid_facts_get(r);

    if (facts && show(r->main, facts, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_variables_set(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_request_id(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    return ngx_http_chatmaid_answer_request_id(r, value);
}


static ngx_int_t
ngx_http_chatmaid_variables_account(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    *value = facts->conf->account_name;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_route(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    *value = *ngx_http_chatmaid_facts_route_name(
                               ngx_http_chatmaid_gateway_facts_route(facts));
    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_code(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    if (facts->failed) {
        value->data = (u_char *) ngx_http_chatmaid_problem_name(facts->code);
        value->len = ngx_strlen(value->data);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_outcome(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    if (facts->outcome) {
        value->data = (u_char *) facts->outcome;
        value->len = ngx_strlen(value->data);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_idempotency(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    *value = *ngx_http_chatmaid_facts_idempotency_name(facts->idempotency);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_idempotency_key(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    *value = facts->key;

    return NGX_OK;
}


/* A caller can put anything into a path, so the ID in the path is shown only
 * after the request has succeeded. */

static ngx_int_t
ngx_http_chatmaid_variables_message_id(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    *value = (facts->answered && !facts->failed && facts->path_id.len)
             ? facts->path_id : facts->message_id;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_attempts(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    if (facts->attempts == NULL) {
        return NGX_OK;
    }

    value->data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "%ui", *facts->attempts)
                 - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_store(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    *value = *ngx_http_chatmaid_facts_store_name(facts->store);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_store_time(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    return facts->store_asked
           ? ngx_http_chatmaid_variables_time(r, facts->store_time, value)
           : NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_pace_time(ngx_http_request_t *r,
    ngx_http_chatmaid_facts_t *facts, ngx_str_t *value)
{
    return facts->paced
           ? ngx_http_chatmaid_variables_time(r, facts->pace_time, value)
           : NGX_OK;
}


/* In seconds with milliseconds, as in $upstream_response_time. */

static ngx_int_t
ngx_http_chatmaid_variables_time(ngx_http_request_t *r, ngx_msec_t time,
    ngx_str_t *value)
{
    value->data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = ngx_sprintf(value->data, "%T.%03M",
                             (time_t) time / 1000, time % 1000)
                 - value->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_variables_webhook(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                     value;
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_request_get(r);

    if (wh == NULL || wh->result == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    value.data = (u_char *) wh->result;
    value.len = ngx_strlen(wh->result);

    ngx_http_chatmaid_variables_set(v, &value);

    return NGX_OK;
}


/* Empty until the signature of the event has been verified. */

static ngx_int_t
ngx_http_chatmaid_variables_event(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_chatmaid_webhook_t  *wh;

    wh = ngx_http_chatmaid_webhook_request_get(r);

    if (wh == NULL || !wh->authentic) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_chatmaid_variables_set(v,
                             (ngx_str_t *) ((u_char *) &wh->event + data));
    return NGX_OK;
}


static void
ngx_http_chatmaid_variables_set(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value->len == 0) {
        v->not_found = 1;
        return;
    }

    v->len = value->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = value->data;
}
