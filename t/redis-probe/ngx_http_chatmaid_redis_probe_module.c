
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * For tests: a location with "redis_probe;" sends what the body says to the
 * Redis client, and answers when all of it has ended.  The body is an array of
 *
 *   ["SET", "k", "v"]                                a command
 *   {"script": "...", "keys": [...], "args": [...]}  a script
 *   {"cancel": ["SET", "k", "v"]}                    queued, then cancelled
 *   {"repeat": N, "window": W, "command": [...]}     N times, W at once, each
 *                                                    queued by a handler; "%"
 *                                                    in a word is the number
 *   {"claim": MS, "command": [...]}                  retains, waits, sends,
 *                                                    releases
 *
 * all queued in one turn.  The answer has, for each,
 * {"error": KIND, "reply": ..., "ms": MS, "turn": whether the handler was
 * called later than command() returned}, or {"kinds": {KIND: COUNT, ...}, "ms":
 * the longest}, or null.  Bytes are characters of the same number.  GET answers
 * {"up": 0 or 1}.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <jansson.h>
#include "ngx_http_chatmaid_redis.h"
#include "ngx_http_chatmaid_redis_conf.h"


#define PROBE_KINDS  7


typedef struct {
    ngx_http_request_t                *request;
    ngx_http_chatmaid_redis_t         *redis;
    ngx_uint_t                         left;      /* operations */
    ngx_uint_t                         nops;
    struct probe_op_s                 *ops;
} probe_t;


typedef struct probe_op_s {
    probe_t                           *probe;
    ngx_http_chatmaid_redis_script_t   script;
    json_t                            *words;
    ngx_event_t                        timer;
    ngx_msec_t                         began;
    ngx_msec_t                         longest;
    ngx_str_t                          result;

    ngx_uint_t                         repeat;
    ngx_uint_t                         number;
    ngx_uint_t                         flying;
    ngx_uint_t                         kinds[PROBE_KINDS];

    unsigned                           queued:1;
    unsigned                           retained:1;
    unsigned                           none:1;
} probe_op_t;


typedef struct {
    u_char                            *start, *last, *end;
} probe_text_t;


static char *probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t probe_handler(ngx_http_request_t *r);
static void probe_body(ngx_http_request_t *r);
static void probe_cleanup(void *data);
static ngx_int_t probe_start(probe_op_t *op, json_t *json);
static ngx_http_chatmaid_redis_command_t *probe_send(probe_op_t *op,
    json_t *words, ngx_http_chatmaid_redis_pt handler);
static void probe_done(void *data, ngx_uint_t error, redisReply *reply);
static void probe_repeat(probe_op_t *op, ngx_uint_t window);
static void probe_repeated(void *data, ngx_uint_t error, redisReply *reply);
static void probe_claimed(ngx_event_t *ev);
static void probe_op_done(probe_op_t *op);
static ngx_int_t probe_answer(probe_t *probe);
static ngx_int_t probe_text(ngx_http_request_t *r, ngx_str_t *text);
static void probe_print(probe_text_t *t, redisReply *reply);
static void probe_add(probe_text_t *t, const char *fmt, ...);


static const char  *probe_kinds[PROBE_KINDS] = {
    "ok", "unreachable", "timeout", "lost", "protocol", "refused", "error"
};


static ngx_command_t  probe_commands[] = {

    { ngx_string("redis_probe"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      probe_directive,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  probe_ctx = {
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
};


ngx_module_t  ngx_http_chatmaid_redis_probe_module = {
    NGX_MODULE_V1,
    &probe_ctx,
    probe_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


static char *
probe_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = probe_handler;

    return NGX_CONF_OK;
}


static ngx_http_chatmaid_redis_t *
probe_redis(ngx_http_request_t *r)
{
    ngx_http_chatmaid_main_conf_t  *cmcf;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_chatmaid_module);

    return ngx_http_chatmaid_redis_get(cmcf->redis);
}


static ngx_int_t
probe_handler(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_str_t                   text;
    ngx_http_chatmaid_redis_t  *redis;

    redis = probe_redis(r);

    if (r->method != NGX_HTTP_POST) {
        text.data = ngx_pnalloc(r->pool, 128);
        text.len = ngx_sprintf(text.data, "{\"up\":%ui}",
                               ngx_http_chatmaid_redis_up(redis))
                   - text.data;

        return probe_text(r, &text);
    }

    rc = ngx_http_read_client_request_body(r, probe_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
probe_body(ngx_http_request_t *r)
{
    json_t              *json;
    size_t               i;
    u_char              *body, *p;
    probe_t             *probe;
    ngx_chain_t         *cl;
    ngx_pool_cleanup_t  *cln;

    body = ngx_pnalloc(r->pool, r->headers_in.content_length_n + 1);
    p = body;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    }

    json = json_loadb((char *) body, p - body, JSON_ALLOW_NUL, NULL);

    if (!json_is_array(json)) {
        ngx_http_finalize_request(r, NGX_HTTP_BAD_REQUEST);
        return;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    cln->handler = probe_cleanup;
    cln->data = json;

    probe = ngx_pcalloc(r->pool, sizeof(probe_t));
    probe->request = r;
    probe->redis = probe_redis(r);
    probe->nops = json_array_size(json);
    probe->left = probe->nops + 1;
    probe->ops = ngx_pcalloc(r->pool, (probe->nops + 1) * sizeof(probe_op_t));

    for (i = 0; i < probe->nops; i++) {
        probe->ops[i].probe = probe;

        if (probe_start(&probe->ops[i], json_array_get(json, i)) != NGX_OK) {
            ngx_str_set(&probe->ops[i].result, "\"not queued\"");
            probe->left--;
        }
    }

    if (--probe->left == 0) {
        ngx_http_finalize_request(r, probe_answer(probe));
    }
}


static void
probe_cleanup(void *data)
{
    json_decref(data);
}


static ngx_int_t
probe_start(probe_op_t *op, json_t *json)
{
    json_t                             *words;
    ngx_http_chatmaid_redis_command_t  *command;

    op->began = ngx_current_msec;
    op->words = json_object_get(json, "command");

    if (json_is_array(json)) {
        command = probe_send(op, json, probe_done);
        op->queued = 1;
        return command ? NGX_OK : NGX_ERROR;
    }

    if (json_object_get(json, "cancel")) {
        command = probe_send(op, json_object_get(json, "cancel"), probe_done);
        ngx_http_chatmaid_redis_cancel(op->probe->redis, command);
        ngx_str_set(&op->result, "null");
        op->probe->left--;
        return NGX_OK;
    }

    if (json_object_get(json, "repeat")) {
        op->repeat = json_integer_value(json_object_get(json, "repeat"));
        probe_repeat(op, json_integer_value(json_object_get(json, "window")));
        return NGX_OK;
    }

    if (json_object_get(json, "claim")) {
        ngx_http_chatmaid_redis_retain(op->probe->redis);
        op->retained = 1;
        op->timer.handler = probe_claimed;
        op->timer.data = op;
        op->timer.log = ngx_cycle->log;
        ngx_add_timer(&op->timer,
                      json_integer_value(json_object_get(json, "claim")));
        return NGX_OK;
    }

    op->script.text.data =
                 (u_char *) json_string_value(json_object_get(json, "script"));
    op->script.text.len =
                         json_string_length(json_object_get(json, "script"));

    if (ngx_http_chatmaid_redis_script_init(&op->script, ngx_cycle->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    words = json_copy(json_object_get(json, "keys"));
    json_array_extend(words, json_object_get(json, "args"));

    op->number = json_array_size(json_object_get(json, "keys"));

    command = probe_send(op, words, probe_done);
    op->queued = 1;
    json_decref(words);

    return command ? NGX_OK : NGX_ERROR;
}


static ngx_http_chatmaid_redis_command_t *
probe_send(probe_op_t *op, json_t *words, ngx_http_chatmaid_redis_pt handler)
{
    char        *p;
    u_char       buf[64];
    size_t       i, n, len[256];
    const char  *argv[256];

    n = json_array_size(words);

    for (i = 0; i < n && i < 256; i++) {
        argv[i] = json_string_value(json_array_get(words, i));
        len[i] = json_string_length(json_array_get(words, i));

        if (op->repeat && len[i] < 32) {
            p = ngx_strchr(argv[i], '%');

            if (p) {
                len[i] = ngx_sprintf(buf, "%*s%ui", (size_t) (p - argv[i]),
                                     argv[i], op->number)
                         - buf;
                argv[i] = (char *) buf;
            }
        }
    }

    if (op->script.text.len) {
        return ngx_http_chatmaid_redis_script(op->probe->redis, &op->script,
                                              op->number, n, argv, len,
                                              handler, op);
    }

    return ngx_http_chatmaid_redis_command(op->probe->redis, n, argv, len,
                                           handler, op);
}


static void
probe_done(void *data, ngx_uint_t error, redisReply *reply)
{
    probe_op_t  *op = data;

    probe_text_t  t;

    ngx_memzero(&t, sizeof(probe_text_t));

    probe_add(&t, "{\"error\":\"%s\",\"ms\":%M,\"turn\":%s,\"reply\":",
              probe_kinds[error], ngx_current_msec - op->began,
              (op->queued && op->result.data == NULL) ? "true" : "false");
    probe_print(&t, reply);
    probe_add(&t, "}");

    op->result.data = ngx_pnalloc(op->probe->request->pool, t.last - t.start);
    op->result.len = t.last - t.start;
    ngx_memcpy(op->result.data, t.start, op->result.len);
    ngx_free(t.start);

    if (op->retained) {
        ngx_http_chatmaid_redis_release(op->probe->redis);
        op->retained = 0;
    }

    probe_op_done(op);
}


static void
probe_repeat(probe_op_t *op, ngx_uint_t window)
{
    while (op->repeat && op->flying < window) {

        if (probe_send(op, op->words, probe_repeated) == NULL) {
            break;
        }

        op->number++;
        op->flying++;
        op->repeat--;
    }
}


static void
probe_repeated(void *data, ngx_uint_t error, redisReply *reply)
{
    probe_op_t  *op = data;

    op->kinds[error]++;
    op->flying--;

    probe_repeat(op, op->flying + 1);

    if (op->flying == 0) {
        probe_op_done(op);
    }
}


static void
probe_claimed(ngx_event_t *ev)
{
    probe_op_t  *op;

    op = ev->data;
    op->queued = 1;
    op->began = ngx_current_msec;

    (void) probe_send(op, op->words, probe_done);
}


static void
probe_op_done(probe_op_t *op)
{
    ngx_connection_t  *c;

    if (--op->probe->left) {
        return;
    }

    c = op->probe->request->connection;

    ngx_http_finalize_request(op->probe->request, probe_answer(op->probe));
    ngx_http_run_posted_requests(c);
}


static ngx_int_t
probe_answer(probe_t *probe)
{
    u_char      *p;
    size_t       len;
    ngx_str_t    text;
    ngx_uint_t   i, n;
    probe_op_t  *op;

    len = 2;

    for (i = 0; i < probe->nops; i++) {
        len += probe->ops[i].result.len + 512;
    }

    text.data = ngx_pnalloc(probe->request->pool, len);
    p = text.data;
    *p++ = '[';

    for (i = 0; i < probe->nops; i++) {
        op = &probe->ops[i];

        if (op->result.len) {
            p = ngx_cpymem(p, op->result.data, op->result.len);

        } else {
            p = ngx_sprintf(p, "{\"ms\":%M,\"kinds\":{",
                            ngx_current_msec - op->began);

            for (n = 0; n < PROBE_KINDS; n++) {
                p = ngx_sprintf(p, "\"%s\":%ui,", probe_kinds[n],
                                op->kinds[n]);
            }

            p = ngx_sprintf(p - 1, "}}");
        }

        *p++ = ',';
    }

    if (probe->nops) {
        p--;
    }

    *p++ = ']';
    text.len = p - text.data;

    return probe_text(probe->request, &text);
}


static ngx_int_t
probe_text(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void
probe_print(probe_text_t *t, redisReply *reply)
{
    size_t  i;

    if (reply == NULL || reply->type == REDIS_REPLY_NIL) {
        probe_add(t, "null");
        return;
    }

    if (reply->type == REDIS_REPLY_INTEGER) {
        probe_add(t, "%L", (int64_t) reply->integer);
        return;
    }

    if (reply->type == REDIS_REPLY_ARRAY) {
        probe_add(t, "[");

        for (i = 0; i < reply->elements; i++) {
            probe_add(t, i ? "," : "");
            probe_print(t, reply->element[i]);
        }

        probe_add(t, "]");
        return;
    }

    probe_add(t, "\"");

    for (i = 0; i < (size_t) reply->len; i++) {
        if (reply->str[i] < ' ' || reply->str[i] == '"'
            || reply->str[i] == '\\' || reply->str[i] > '~')
        {
            probe_add(t, "\\u%04xd", (u_int) (u_char) reply->str[i]);

        } else {
            probe_add(t, "%c", reply->str[i]);
        }
    }

    probe_add(t, "\"");
}


static void
probe_add(probe_text_t *t, const char *fmt, ...)
{
    size_t   size;
    u_char  *p;
    va_list  args;

    if (t->end - t->last < 256) {
        size = ngx_max(1024, 2 * (t->end - t->start));
        p = ngx_alloc(size, ngx_cycle->log);

        if (t->start) {
            ngx_memcpy(p, t->start, t->last - t->start);
            ngx_free(t->start);
        }

        t->last = p + (t->last - t->start);
        t->start = p;
        t->end = p + size;
    }

    va_start(args, fmt);
    t->last = ngx_vslprintf(t->last, t->end, fmt, args);
    va_end(args);
}
