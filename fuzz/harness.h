
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * What the fuzz targets share: an nginx that has read a configuration and
 * serves nobody, requests in its locations, and what these were answered.
 */


#ifndef _HARNESS_H_INCLUDED_
#define _HARNESS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* libFuzzer calls these. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


/* A finding: says what is wrong, and ends the process. */
#define harness_check(condition)                                              \
    do {                                                                      \
        if (!(condition)) {                                                   \
            harness_fail(__FILE__, __LINE__, #condition);                     \
        }                                                                     \
    } while (0)

void harness_fail(const char *file, int line, const char *condition)
    __attribute__((noreturn));

/* Reads a configuration: "http" and "gateway" are what the http block and the
 * gateway location have beside what harness.c writes; NULL: nothing.  To be
 * called once. */
void harness_start(const char *http, const char *gateway);

/* Starts what a worker starts, the Redis client too.  run() is one turn of the
 * event loop, which waits for nothing. */
void harness_start_worker(void);
void harness_run(void);

/* Lets time pass, whole seconds in milliseconds. */
void harness_skip(ngx_msec_t time);

/* The n-th allocation from now on fails; 0: none does. */
void harness_fail_memory(ngx_uint_t n);

/* The directory that is the process' own, for sockets; without "/" at its end.
 * It is removed at the end. */
const char *harness_directory(void);

/* A request in the location of this name, on memory of its own, and its end. */
ngx_http_request_t *harness_request(const char *location);
void harness_end(ngx_http_request_t *r);

/* Gives the request a header, or a body that is one buffer. */
void harness_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);
void harness_body(ngx_http_request_t *r, ngx_str_t *body);

/* All that the request has been answered, with the status line and headers. */
ngx_str_t *harness_answer(void);


/* The rest of an input, from which fields are taken.  Each is copied to memory
 * of its own (NGX_DEBUG_PALLOC), so that a read beyond its end is seen. */

typedef struct {
    ngx_pool_t   *pool;
    u_char       *pos;
    u_char       *last;
} harness_input_t;

void harness_input(harness_input_t *in, ngx_pool_t *pool, const uint8_t *data,
    size_t size);

/* A byte, 0 at the end; a line, without its LF; what is left. */
u_char harness_byte(harness_input_t *in);
ngx_str_t harness_line(harness_input_t *in);
ngx_str_t harness_rest(harness_input_t *in);


/* Whether two strings have the same bytes. */
ngx_uint_t harness_equal(ngx_str_t *one, ngx_str_t *two);

/* A copy of a string that ends in NUL, which it must not hold itself. */
char *harness_text(ngx_pool_t *pool, ngx_str_t *string);


#endif /* _HARNESS_H_INCLUDED_ */
