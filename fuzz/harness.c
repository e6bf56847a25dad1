
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "harness.h"
#include <ftw.h>


#define HARNESS_MAX_ANSWER  (1024 * 1024)


static void harness_write_file(const char *name, const char *text);
static void harness_remove(void);
static int harness_unlink(const char *path, const struct stat *sb, int flag,
    struct FTW *ftw);
static ngx_http_core_loc_conf_t *harness_location(
    ngx_http_location_tree_node_t *node, ngx_str_t *name);
static ngx_chain_t *harness_send_chain(ngx_connection_t *c, ngx_chain_t *in,
    off_t limit);
static ngx_str_t harness_copy(harness_input_t *in, u_char *last);


const char *__lsan_default_suppressions(void);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
int __real_clock_gettime(clockid_t id, struct timespec *ts);
void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);
int __wrap_posix_memalign(void **p, size_t alignment, size_t size);
int __real_posix_memalign(void **p, size_t alignment, size_t size);
int __wrap_getaddrinfo(const char *name, const char *service,
    const struct addrinfo *hints, struct addrinfo **res);
int __real_getaddrinfo(const char *name, const char *service,
    const struct addrinfo *hints, struct addrinfo **res);


static ngx_msec_t         harness_skipped;
static ngx_uint_t         harness_memory;
static char               harness_dir[] = "/tmp/chatmaid-fuzz-XXXXXX";
static ngx_log_t          harness_log;
static ngx_open_file_t    harness_log_file;
static ngx_connection_t   harness_connection;
static ngx_event_t        harness_read, harness_write;
static u_char             harness_sent[HARNESS_MAX_ANSWER];
static ngx_str_t          harness_sent_text;


static const char  harness_conf[] =
    "pid %s/pid; error_log /dev/null info; user root;\n"
    "events { worker_connections 64; }\n"
    "http {\n"
    "    access_log off;\n"
    "    client_body_temp_path %s; proxy_temp_path %s;\n"
    "    chatmaid_zone fuzz:256k;\n"
    "    chatmaid_api_key_file %s/key;\n"
    "    chatmaid_webhook_secret_file %s/secret;\n"
    "    %s\n"
    "    server {\n"
    "        listen unix:%s/http;\n"
    "        location ^~ /chatmaid/ { chatmaid_gateway /.chatmaid/; %s }\n"
    "        location ^~ /.chatmaid/ { internal;\n"
    "            proxy_pass http://127.0.0.1:9/; }\n"
    "        location = /webhook { chatmaid_webhook on;\n"
    "            proxy_pass http://127.0.0.1:9; }\n"
    "    }\n"
    "}\n";


void
harness_fail(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: this does not hold: %s\n", file, line, condition);
    abort();
}


void
harness_start(const char *http, const char *gateway)
{
    char          conf[8192];
    const char   *dir;
    ngx_cycle_t  *cycle;

    static ngx_cycle_t   init;
    static char         *argv[] = { "fuzz", NULL };

    dir = harness_directory();

    snprintf(conf, sizeof(conf), harness_conf, dir, dir, dir, dir, dir,
             http ? http : "", dir, gateway ? gateway : "");

    harness_write_file("nginx.conf", conf);
    harness_write_file("key", "sk_test_fuzz");
    harness_write_file("secret", "whsec_fuzz");

    ngx_strerror_init();
    ngx_time_init();
    ngx_regex_init();

    ngx_os_argv = argv;
    ngx_pid = ngx_getpid();
    ngx_process = NGX_PROCESS_SINGLE;

    harness_log_file.fd = STDERR_FILENO;
    harness_log.file = &harness_log_file;
    harness_log.log_level = NGX_LOG_ERR;

    init.log = &harness_log;
    ngx_cycle = &init;

    init.pool = ngx_create_pool(1024, &harness_log);
    harness_check(init.pool != NULL);

    ngx_ssl_init(&harness_log);
    harness_check(ngx_os_init(&harness_log) == NGX_OK);
    harness_check(ngx_crc32_table_init() == NGX_OK);
    ngx_slab_sizes_init();
    harness_check(ngx_preinit_modules() == NGX_OK);

    init.prefix.data = (u_char *) dir;
    init.prefix.len = ngx_strlen(dir);
    init.conf_prefix = init.prefix;
    init.conf_file.data = ngx_pnalloc(init.pool, 256);
    init.conf_file.len = ngx_sprintf(init.conf_file.data, "%s/nginx.conf%Z",
                                     dir)
                         - init.conf_file.data - 1;
    ngx_str_set(&init.conf_param, "");
    ngx_str_set(&init.error_log, "/dev/null");

    cycle = ngx_init_cycle(&init);
    harness_check(cycle != NULL);

    cycle->log->log_level = NGX_LOG_INFO;
    ngx_cycle = cycle;
}


void
harness_start_worker(void)
{
    ngx_uint_t    i;
    ngx_cycle_t  *cycle = (ngx_cycle_t *) ngx_cycle;

    for (i = 0; cycle->modules[i]; i++) {
        if (cycle->modules[i]->init_process) {
            harness_check(cycle->modules[i]->init_process(cycle) == NGX_OK);
        }
    }
}


void
harness_run(void)
{
    ngx_cycle_t  *cycle = (ngx_cycle_t *) ngx_cycle;

    if (!ngx_queue_empty(&ngx_posted_next_events)) {
        ngx_event_move_posted_next(cycle);
    }

    (void) ngx_process_events(cycle, 0, NGX_UPDATE_TIME);

    ngx_event_expire_timers();
    ngx_event_process_posted(cycle, &ngx_posted_events);
}


/* What is made at start lives as long as the process. */

const char *
__lsan_default_suppressions(void)
{
    return "leak:harness_start\n";
}


void
harness_skip(ngx_msec_t time)
{
    harness_skipped += time;
}


void
harness_fail_memory(ngx_uint_t n)
{
    harness_memory = n;
}


const char *
harness_directory(void)
{
    static char  *dir;

    if (dir == NULL) {
        dir = mkdtemp(harness_dir);
        harness_check(dir != NULL);
        atexit(harness_remove);
    }

    return dir;
}


/* nginx and the module call these instead of libc's (ld --wrap). */

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    rc = __real_clock_gettime(id, ts);

    ts->tv_sec += harness_skipped / 1000;

    return rc;
}


void *
__wrap_malloc(size_t size)
{
    if (harness_memory && --harness_memory == 0) {
        ngx_set_errno(ENOMEM);
        return NULL;
    }

    return __real_malloc(size);
}


int
__wrap_posix_memalign(void **p, size_t alignment, size_t size)
{
    if (harness_memory && --harness_memory == 0) {
        return ENOMEM;
    }

    return __real_posix_memalign(p, alignment, size);
}


int
__wrap_getaddrinfo(const char *name, const char *service,
    const struct addrinfo *hints, struct addrinfo **res)
{
    struct addrinfo  numeric;

    if (hints) {
        numeric = *hints;

    } else {
        ngx_memzero(&numeric, sizeof(struct addrinfo));
    }

    numeric.ai_flags |= AI_NUMERICHOST;

    return __real_getaddrinfo(name, service, &numeric, res);
}


static void
harness_write_file(const char *name, const char *text)
{
    char   path[256];
    FILE  *file;

    snprintf(path, sizeof(path), "%s/%s", harness_dir, name);

    file = fopen(path, "w");
    harness_check(file != NULL);
    fputs(text, file);
    fclose(file);
    chmod(path, 0600);
}


static void
harness_remove(void)
{
    (void) nftw(harness_dir, harness_unlink, 8, FTW_DEPTH|FTW_PHYS);
}


static int
harness_unlink(const char *path, const struct stat *sb, int flag,
    struct FTW *ftw)
{
    return remove(path);
}


ngx_http_request_t *
harness_request(const char *location)
{
    ngx_pool_t                 *pool;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_log_ctx_t         *log_ctx;
    ngx_http_core_loc_conf_t   *clcf;
    ngx_http_core_srv_conf_t  **cscf;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_conf_ctx_t        *main;
    ngx_str_t                   name;

    c = &harness_connection;
    ngx_memzero(c, sizeof(ngx_connection_t));
    ngx_memzero(&harness_read, sizeof(ngx_event_t));
    ngx_memzero(&harness_write, sizeof(ngx_event_t));

    pool = ngx_create_pool(4096, ngx_cycle->log);
    harness_check(pool != NULL);

    harness_read.data = c;
    harness_read.log = ngx_cycle->log;
    harness_write.data = c;
    harness_write.log = ngx_cycle->log;
    harness_write.write = 1;
    harness_write.ready = 1;
    harness_write.active = 1;

    c->fd = (ngx_socket_t) -1;
    c->read = &harness_read;
    c->write = &harness_write;
    c->log = ngx_cycle->log;
    c->pool = pool;
    c->send_chain = harness_send_chain;
    c->number = 1;
    ngx_str_set(&c->addr_text, "127.0.0.1");

    harness_sent_text.data = harness_sent;
    harness_sent_text.len = 0;

    main = (ngx_http_conf_ctx_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                                ngx_http_module);
    cmcf = main->main_conf[ngx_http_core_module.ctx_index];
    cscf = cmcf->servers.elts;

    r = ngx_pcalloc(pool, sizeof(ngx_http_request_t));
    harness_check(r != NULL);

    r->signature = NGX_HTTP_MODULE;
    r->connection = c;
    r->pool = pool;
    r->main = r;
    r->count = 1;
    r->main_conf = main->main_conf;
    r->srv_conf = cscf[0]->ctx->srv_conf;
    r->loc_conf = cscf[0]->ctx->loc_conf;
    r->method = NGX_HTTP_POST;
    ngx_str_set(&r->method_name, "POST");
    r->http_version = NGX_HTTP_VERSION_11;
    r->headers_in.content_length_n = -1;
    r->headers_out.content_length_n = -1;
    r->headers_out.last_modified_time = -1;
    r->uri_changes = NGX_HTTP_MAX_URI_CHANGES + 1;
    r->start_sec = ngx_time();
    r->header_in = ngx_create_temp_buf(pool, 64);
    r->ctx = ngx_pcalloc(pool, sizeof(void *) * ngx_http_max_module);
    r->variables = ngx_pcalloc(pool, cmcf->variables.nelts
                                     * sizeof(ngx_http_variable_value_t));
    log_ctx = ngx_pcalloc(pool, sizeof(ngx_http_log_ctx_t));

    harness_check(r->header_in && r->ctx && r->variables && log_ctx);
    harness_check(ngx_list_init(&r->headers_in.headers, pool, 8,
                                sizeof(ngx_table_elt_t))
                  == NGX_OK);
    harness_check(ngx_list_init(&r->headers_out.headers, pool, 8,
                                sizeof(ngx_table_elt_t))
                  == NGX_OK);
    harness_check(ngx_list_init(&r->headers_out.trailers, pool, 4,
                                sizeof(ngx_table_elt_t))
                  == NGX_OK);

    name.data = (u_char *) location;
    name.len = ngx_strlen(location);

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    clcf = harness_location(clcf->static_locations, &name);
    harness_check(clcf != NULL);

    r->loc_conf = clcf->loc_conf;
    r->uri = name;

    c->data = r;

    return r;
}


static ngx_http_core_loc_conf_t *
harness_location(ngx_http_location_tree_node_t *node, ngx_str_t *name)
{
    ngx_http_core_loc_conf_t  *found;

    if (node == NULL) {
        return NULL;
    }

    if (node->exact && harness_equal(&node->exact->name, name)) {
        return node->exact;
    }

    if (node->inclusive && harness_equal(&node->inclusive->name, name)) {
        return node->inclusive;
    }

    found = harness_location(node->left, name);
    found = found ? found : harness_location(node->right, name);

    return found ? found : harness_location(node->tree, name);
}


void
harness_end(ngx_http_request_t *r)
{
    ngx_pool_t          *pool;
    ngx_http_cleanup_t  *cln;

    pool = r->pool;

    while (r->cleanup) {
        cln = r->cleanup;
        r->cleanup = cln->next;

        if (cln->handler) {
            cln->handler(cln->data);
        }
    }

    if (harness_write.timer_set) {
        ngx_del_timer(&harness_write);
    }

    ngx_destroy_pool(pool);
}


void
harness_header(ngx_http_request_t *r, const char *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_in.headers);
    harness_check(h != NULL);

    ngx_memzero(h, sizeof(ngx_table_elt_t));
    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->lowcase_key = ngx_pnalloc(r->pool, h->key.len);
    harness_check(h->lowcase_key != NULL);
    ngx_strlow(h->lowcase_key, h->key.data, h->key.len);
    h->value = *value;
}


void
harness_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);
    harness_check(rb && b && cl);

    b->start = b->pos = body->data;
    b->end = b->last = body->data + body->len;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;
    rb->bufs = cl;

    r->request_body = rb;
    r->headers_in.content_length_n = body->len;
}


ngx_str_t *
harness_answer(void)
{
    return &harness_sent_text;
}


static ngx_chain_t *
harness_send_chain(ngx_connection_t *c, ngx_chain_t *in, off_t limit)
{
    size_t  n;

    for ( /* void */ ; in; in = in->next) {

        if (!ngx_buf_in_memory(in->buf)) {
            continue;
        }

        n = in->buf->last - in->buf->pos;
        harness_check(n <= HARNESS_MAX_ANSWER - harness_sent_text.len);

        ngx_memcpy(harness_sent + harness_sent_text.len, in->buf->pos, n);
        harness_sent_text.len += n;
        in->buf->pos = in->buf->last;
        c->sent += n;
    }

    return NULL;
}


void
harness_input(harness_input_t *in, ngx_pool_t *pool, const uint8_t *data,
    size_t size)
{
    in->pool = pool;
    in->pos = (u_char *) (size ? data : (const uint8_t *) "");
    in->last = in->pos + size;
}


u_char
harness_byte(harness_input_t *in)
{
    return (in->pos < in->last) ? *in->pos++ : 0;
}


ngx_str_t
harness_line(harness_input_t *in)
{
    u_char     *end;
    ngx_str_t   line;

    end = (in->pos < in->last) ? memchr(in->pos, LF, in->last - in->pos) : NULL;

    line = harness_copy(in, end ? end : in->last);

    in->pos = end ? end + 1 : in->last;

    return line;
}


ngx_str_t
harness_rest(harness_input_t *in)
{
    ngx_str_t  rest;

    rest = harness_copy(in, in->last);
    in->pos = in->last;

    return rest;
}


static ngx_str_t
harness_copy(harness_input_t *in, u_char *last)
{
    ngx_str_t  copy;

    copy.len = last - in->pos;
    copy.data = ngx_pnalloc(in->pool, copy.len);
    harness_check(copy.data != NULL);

    if (copy.len) {
        ngx_memcpy(copy.data, in->pos, copy.len);
    }

    return copy;
}


ngx_uint_t
harness_equal(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0
               || ngx_memcmp(one->data, two->data, one->len) == 0);
}


char *
harness_text(ngx_pool_t *pool, ngx_str_t *string)
{
    char  *text;

    text = ngx_pnalloc(pool, string->len + 1);
    harness_check(text != NULL);

    *ngx_cpymem(text, string->data, string->len) = '\0';

    return text;
}
