
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status_writer.h"
#include "ngx_http_chatmaid_json.h"


/* In bytes.  LINE is more than print() ever writes at once; the values of
 * labels, which may be longer, are written by append(). */
#define NGX_HTTP_CHATMAID_STATUS_WRITER_BUFFER  16384
#define NGX_HTTP_CHATMAID_STATUS_WRITER_LINE    512


static void ngx_http_chatmaid_status_writer_separate(
    ngx_http_chatmaid_status_writer_t *w);
static void ngx_http_chatmaid_status_writer_value(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, const char *fmt,
    ...);
static void ngx_http_chatmaid_status_writer_text_histogram(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n,
    uint64_t *cumulative, uint64_t sum);
static void ngx_http_chatmaid_status_writer_json_histogram(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n,
    uint64_t *cumulative, uint64_t sum);
static void ngx_http_chatmaid_status_writer_text_labels(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, const char *le);
static void ngx_http_chatmaid_status_writer_json_labels(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n);
static void ngx_http_chatmaid_status_writer_escape(
    ngx_http_chatmaid_status_writer_t *w, ngx_str_t *text);
static void ngx_http_chatmaid_status_writer_print(
    ngx_http_chatmaid_status_writer_t *w, const char *fmt, ...);
static void ngx_http_chatmaid_status_writer_append(
    ngx_http_chatmaid_status_writer_t *w, u_char *data, size_t len);


void
ngx_http_chatmaid_status_writer_init(ngx_http_chatmaid_status_writer_t *w,
    ngx_pool_t *pool, ngx_uint_t json)
{
    ngx_memzero(w, sizeof(ngx_http_chatmaid_status_writer_t));

    w->pool = pool;
    w->json = json;

    if (json) {
        ngx_http_chatmaid_status_writer_print(w, "{");
    }
}


ngx_int_t
ngx_http_chatmaid_status_writer_end(ngx_http_chatmaid_status_writer_t *w)
{
    if (w->json) {
        ngx_http_chatmaid_status_writer_print(w, "%s}\n", w->metric ? "]" : "");
    }

    return w->failed ? NGX_ERROR : NGX_OK;
}


void
ngx_http_chatmaid_status_writer_label(ngx_http_chatmaid_status_label_t *label,
    const char *name, const char *value)
{
    label->name = name;
    label->value.data = (u_char *) value;
    label->value.len = ngx_strlen(value);
}


void
ngx_http_chatmaid_status_writer_metric(ngx_http_chatmaid_status_writer_t *w,
    const char *name, const char *type, const char *help)
{
    if (w->json) {
        ngx_http_chatmaid_status_writer_print(w, "%s\"%s\":[",
                                              w->metric ? "]," : "", name);

    } else {
        ngx_http_chatmaid_status_writer_print(w, "# HELP %s %s\n"
                                                 "# TYPE %s %s\n",
                                              name, help, name, type);
    }

    w->metric = name;
    w->samples = 0;
}


void
ngx_http_chatmaid_status_writer_sample(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, uint64_t value)
{
    ngx_http_chatmaid_status_writer_value(w, labels, n, "%uL", value);
}


void
ngx_http_chatmaid_status_writer_msec(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, uint64_t msec)
{
    ngx_http_chatmaid_status_writer_value(w, labels, n, "%uL.%03uL",
                                          msec / 1000, msec % 1000);
}


static void
ngx_http_chatmaid_status_writer_value(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, const char *fmt,
    ...)
{
    u_char   value[2 * NGX_INT64_LEN], *p;
    va_list  args;

    va_start(args, fmt);
    p = ngx_vslprintf(value, value + sizeof(value), fmt, args);
    va_end(args);

    ngx_http_chatmaid_status_writer_separate(w);

    if (w->json) {
        ngx_http_chatmaid_status_writer_json_labels(w, labels, n);
        ngx_http_chatmaid_status_writer_print(w, "\"value\":%*s}",
                                              (size_t) (p - value), value);
        return;
    }

    ngx_http_chatmaid_status_writer_print(w, "%s", w->metric);
    ngx_http_chatmaid_status_writer_text_labels(w, labels, n, NULL);
    ngx_http_chatmaid_status_writer_print(w, " %*s\n",
                                          (size_t) (p - value), value);
}


static void
ngx_http_chatmaid_status_writer_separate(ngx_http_chatmaid_status_writer_t *w)
{
    if (w->json && w->samples) {
        ngx_http_chatmaid_status_writer_print(w, ",");
    }

    w->samples++;
}


void
ngx_http_chatmaid_status_writer_gauge(ngx_http_chatmaid_status_writer_t *w,
    const char *name, const char *help, uint64_t value)
{
    ngx_http_chatmaid_status_writer_metric(w, name, "gauge", help);
    ngx_http_chatmaid_status_writer_sample(w, NULL, 0, value);
}


void
ngx_http_chatmaid_status_writer_times(ngx_http_chatmaid_status_writer_t *w,
    const char *name, const char *help,
    ngx_http_chatmaid_histogram_t *histogram)
{
    ngx_http_chatmaid_status_writer_metric(w, name, "histogram", help);
    ngx_http_chatmaid_status_writer_histogram(w, NULL, 0, histogram);
}


/* Each counter is read only once: otherwise, what other workers count meanwhile
 * could make "+Inf" differ from the count. */

void
ngx_http_chatmaid_status_writer_histogram(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n,
    ngx_http_chatmaid_histogram_t *histogram)
{
    uint64_t    cumulative[NGX_HTTP_CHATMAID_COUNTERS_BUCKETS + 1], count;
    ngx_uint_t  i;

    count = 0;

    for (i = 0; i <= NGX_HTTP_CHATMAID_COUNTERS_BUCKETS; i++) {
        count += histogram->buckets[i];
        cumulative[i] = count;
    }

    ngx_http_chatmaid_status_writer_separate(w);

    if (w->json) {
        ngx_http_chatmaid_status_writer_json_histogram(w, labels, n,
                                                       cumulative,
                                                       histogram->sum);
        return;
    }

    ngx_http_chatmaid_status_writer_text_histogram(w, labels, n, cumulative,
                                                   histogram->sum);
}


static void
ngx_http_chatmaid_status_writer_text_histogram(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n,
    uint64_t *cumulative, uint64_t sum)
{
    ngx_uint_t  i;

    for (i = 0; i <= NGX_HTTP_CHATMAID_COUNTERS_BUCKETS; i++) {
        ngx_http_chatmaid_status_writer_print(w, "%s_bucket", w->metric);
        ngx_http_chatmaid_status_writer_text_labels(w, labels, n,
                              i < NGX_HTTP_CHATMAID_COUNTERS_BUCKETS
                              ? ngx_http_chatmaid_counters_bounds[i].seconds
                              : "+Inf");
        ngx_http_chatmaid_status_writer_print(w, " %uL\n", cumulative[i]);
    }

    ngx_http_chatmaid_status_writer_print(w, "%s_sum", w->metric);
    ngx_http_chatmaid_status_writer_text_labels(w, labels, n, NULL);
    ngx_http_chatmaid_status_writer_print(w, " %uL.%03uL\n",
                                          sum / 1000, sum % 1000);

    ngx_http_chatmaid_status_writer_print(w, "%s_count", w->metric);
    ngx_http_chatmaid_status_writer_text_labels(w, labels, n, NULL);
    ngx_http_chatmaid_status_writer_print(w, " %uL\n", cumulative[i - 1]);
}


static void
ngx_http_chatmaid_status_writer_json_histogram(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n,
    uint64_t *cumulative, uint64_t sum)
{
    ngx_uint_t  i;

    ngx_http_chatmaid_status_writer_json_labels(w, labels, n);
    ngx_http_chatmaid_status_writer_print(w, "\"buckets\":{");

    for (i = 0; i < NGX_HTTP_CHATMAID_COUNTERS_BUCKETS; i++) {
        ngx_http_chatmaid_status_writer_print(w, "\"%s\":%uL,",
                                  ngx_http_chatmaid_counters_bounds[i].seconds,
                                  cumulative[i]);
    }

    ngx_http_chatmaid_status_writer_print(w, "\"+Inf\":%uL},"
                                             "\"sum\":%uL.%03uL,"
                                             "\"count\":%uL}",
                                          cumulative[i], sum / 1000,
                                          sum % 1000, cumulative[i]);
}


static void
ngx_http_chatmaid_status_writer_text_labels(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n, const char *le)
{
    ngx_uint_t  i;

    if (n == 0 && le == NULL) {
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_http_chatmaid_status_writer_print(w, "%s%s=\"", i ? "," : "{",
                                              labels[i].name);
        ngx_http_chatmaid_status_writer_escape(w, &labels[i].value);
        ngx_http_chatmaid_status_writer_print(w, "\"");
    }

    if (le) {
        ngx_http_chatmaid_status_writer_print(w, "%sle=\"%s\"", n ? "," : "{",
                                              le);
    }

    ngx_http_chatmaid_status_writer_print(w, "}");
}


static void
ngx_http_chatmaid_status_writer_json_labels(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_status_label_t *labels, ngx_uint_t n)
{
    ngx_uint_t  i;

    ngx_http_chatmaid_status_writer_print(w, "{");

    for (i = 0; i < n; i++) {
        ngx_http_chatmaid_status_writer_print(w, "\"%s\":\"", labels[i].name);
        ngx_http_chatmaid_status_writer_escape(w, &labels[i].value);
        ngx_http_chatmaid_status_writer_print(w, "\",");
    }
}


/* Writes a text in a form that is valid in both formats: UTF-8 without control
 * characters, and with quotation marks and backslashes escaped. */

static void
ngx_http_chatmaid_status_writer_escape(ngx_http_chatmaid_status_writer_t *w,
    ngx_str_t *text)
{
    u_char  *p, *last, ch;
    json_t  *string;

    string = ngx_http_chatmaid_json_string(text);

    if (string == NULL) {
        w->failed = 1;
        return;
    }

    p = (u_char *) json_string_value(string);
    last = p + json_string_length(string);

    for ( /* void */ ; p < last; p++) {

        if (*p == '"' || *p == '\\') {
            ngx_http_chatmaid_status_writer_append(w, (u_char *) "\\", 1);
        }

        ch = (*p < 0x20 || *p == 0x7f) ? '?' : *p;

        ngx_http_chatmaid_status_writer_append(w, &ch, 1);
    }

    json_decref(string);
}


static void
ngx_http_chatmaid_status_writer_print(ngx_http_chatmaid_status_writer_t *w,
    const char *fmt, ...)
{
    u_char   line[NGX_HTTP_CHATMAID_STATUS_WRITER_LINE], *p;
    va_list  args;

    va_start(args, fmt);
    p = ngx_vslprintf(line, line + sizeof(line), fmt, args);
    va_end(args);

    ngx_http_chatmaid_status_writer_append(w, line, p - line);
}


static void
ngx_http_chatmaid_status_writer_append(ngx_http_chatmaid_status_writer_t *w,
    u_char *data, size_t len)
{
    size_t        n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    w->size += len;

    while (len && !w->failed) {

        b = w->last ? w->last->buf : NULL;

        if (b == NULL || b->last == b->end) {

            b = ngx_create_temp_buf(w->pool,
                                    NGX_HTTP_CHATMAID_STATUS_WRITER_BUFFER);
            cl = ngx_alloc_chain_link(w->pool);

            if (b == NULL || cl == NULL) {
                w->failed = 1;
                return;
            }

            cl->buf = b;
            cl->next = NULL;

            if (w->last) {
                w->last->next = cl;

            } else {
                w->out = cl;
            }

            w->last = cl;
        }

        n = ngx_min(len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, data, n);
        data += n;
        len -= n;
    }
}
