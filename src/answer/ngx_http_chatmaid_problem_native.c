
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_problem_native.h"
#include "ngx_http_chatmaid_json.h"


static ngx_str_t ngx_http_chatmaid_problem_native_path(ngx_http_request_t *r);
static ngx_int_t ngx_http_chatmaid_problem_native_target(ngx_pool_t *pool,
    ngx_str_t *path, ngx_str_t *target);
static json_t *ngx_http_chatmaid_problem_native_message(
    ngx_http_chatmaid_problem_t *problem);
static json_t *ngx_http_chatmaid_problem_native_fault(json_t *fault);
static json_t *ngx_http_chatmaid_problem_native_time(void);


ngx_uint_t
ngx_http_chatmaid_problem_native_is_asked(ngx_http_request_t *r)
{
    ngx_str_t                      path;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    if (conf->gateway == NULL) {
        return 0;
    }

    path = ngx_http_chatmaid_problem_native_path(r);

    return path.len >= 3 && ngx_strncmp(path.data, "/v1", 3) == 0
           && (path.len == 3 || path.data[3] == '/');
}


/* The decoded path below the gateway's location, with a leading slash. */

static ngx_str_t
ngx_http_chatmaid_problem_native_path(ngx_http_request_t *r)
{
    ngx_str_t                      path;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);

    path = r->uri;

    if (path.len < conf->gateway->prefix.len) {
        return path;
    }

    path.data += conf->gateway->prefix.len - 1;
    path.len -= conf->gateway->prefix.len - 1;

    return path;
}


/* "message" is always an array: one official client can't read a string. */

ngx_int_t
ngx_http_chatmaid_problem_native_text(ngx_http_request_t *r,
    ngx_http_chatmaid_problem_t *problem, ngx_str_t *path, ngx_str_t *text)
{
    json_t     *json;
    ngx_str_t   target, error;

    if (path->len == 0) {
        target = ngx_http_chatmaid_problem_native_path(r);

    } else if (ngx_http_chatmaid_problem_native_target(r->pool, path, &target)
               != NGX_OK)
    {
        return NGX_ERROR;
    }

    error = problem->error;

    if (error.len == 0) {
        error.data = (u_char *)
                             ngx_http_chatmaid_problem_title(problem->status);
        error.len = ngx_strlen(error.data);
    }

    json = json_pack("{s:b, s:o, s:o, s:I, s:o, s:o}",
                     "success", 0,
                     "error", ngx_http_chatmaid_json_string(&error),
                     "message",
                         ngx_http_chatmaid_problem_native_message(problem),
                     "statusCode", (json_int_t) problem->status,
                     "timestamp", ngx_http_chatmaid_problem_native_time(),
                     "path", ngx_http_chatmaid_json_string(&target));

    json = ngx_http_chatmaid_json_keep(r->pool, json);

    if (json == NULL
        || (problem->status == NGX_HTTP_TOO_MANY_REQUESTS
            && json_object_set_new(json, "retryAfter",
                                   json_integer(problem->retry_after))
               != 0))
    {
        return NGX_ERROR;
    }

    return ngx_http_chatmaid_json_dump(r->pool, json, text);
}


/* The path of the call, as the caller wrote it, without the query. */

static ngx_int_t
ngx_http_chatmaid_problem_native_target(ngx_pool_t *pool, ngx_str_t *path,
    ngx_str_t *target)
{
    size_t  len;

    for (len = 0; len < path->len && path->data[len] != '?'; len++) {
        /* void */
    }

    target->len = 1 + len;
    target->data = ngx_pnalloc(pool, target->len);
    if (target->data == NULL) {
        return NGX_ERROR;
    }

    target->data[0] = '/';
    ngx_memcpy(target->data + 1, path->data, len);

    return NGX_OK;
}


static json_t *
ngx_http_chatmaid_problem_native_message(ngx_http_chatmaid_problem_t *problem)
{
    size_t   i;
    json_t  *list, *item;

    list = json_array();

    json_array_foreach(problem->errors, i, item) {
        (void) json_array_append_new(list,
                               ngx_http_chatmaid_problem_native_fault(item));
    }

    json_array_foreach(problem->messages, i, item) {
        if (json_is_string(item)) {
            (void) json_array_append(list, item);
        }
    }

    if (json_array_size(list) == 0) {
        (void) json_array_append_new(list,
                             ngx_http_chatmaid_json_string(&problem->detail));
    }

    return list;
}


/* {"pointer": "/to", "detail": "must be ..."} as "to must be ..." */

static json_t *
ngx_http_chatmaid_problem_native_fault(json_t *fault)
{
    const char  *pointer;

    pointer = json_string_value(json_object_get(fault, "pointer"));

    return json_sprintf("%s%s%s", (*pointer == '/') ? pointer + 1 : pointer,
                        *pointer ? " " : "",
                        json_string_value(json_object_get(fault, "detail")));
}


/* ISO 8601, UTC, with milliseconds. */

static json_t *
ngx_http_chatmaid_problem_native_time(void)
{
    ngx_tm_t     tm;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    ngx_gmtime(tp->sec, &tm);

    return json_sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.ngx_tm_year,
                        tm.ngx_tm_mon, tm.ngx_tm_mday, tm.ngx_tm_hour,
                        tm.ngx_tm_min, tm.ngx_tm_sec, (int) tp->msec);
}
