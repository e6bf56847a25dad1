
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * The writer of problems.  The first three bytes choose the code, the face and
 * what else a problem has; the lines are the request id, Chatmaid's own name
 * for it, a fault; the rest is the detail.
 */


#include "harness.h"
#include "ngx_http_chatmaid_answer.h"
#include "ngx_http_chatmaid_json.h"


static void problem_make(ngx_http_request_t *r,
    ngx_http_chatmaid_problem_t *problem, u_char what, harness_input_t *in);
static void problem_check(ngx_http_request_t *r, ngx_uint_t native,
    ngx_http_chatmaid_problem_t *problem);
static void problem_check_head(u_char *p, u_char *last);
static void problem_check_tables(u_char status);


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    harness_start(NULL, NULL);
    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                       code, how, what;
    ngx_str_t                    id;
    harness_input_t              in;
    ngx_http_request_t          *r;
    ngx_http_chatmaid_reply_t   *reply;
    ngx_http_chatmaid_problem_t  copy;

    r = harness_request("/chatmaid/");
    harness_input(&in, r->pool, data, size);

    code = harness_byte(&in) % NGX_HTTP_CHATMAID_CODES;
    how = harness_byte(&in);
    what = harness_byte(&in);
    id = harness_line(&in);

    if (how & 1) {
        ngx_str_set(&r->uri, "/chatmaid/v1/messages");
    }

    if (how & 64) {
        ngx_str_set(&r->uri, "/chatmaid");      /* shorter than its location */
    }

    if (how & 2) {
        harness_header(r, "X-Request-Id", &id);
    }

    reply = ngx_http_chatmaid_answer_get_reply(r);
    harness_check(reply != NULL);

    reply->is_send = !!(how & 4);
    reply->tried = !!(how & 8);
    reply->allow = (how & 16) ? "GET, HEAD" : NULL;

    if (how & 32) {
        reply->path = id;                   /* of the call */
    }

    reply->problem.code = code;
    problem_make(r, &reply->problem, what, &in);

    ngx_http_chatmaid_problem_copy(r->pool, &copy, &reply->problem);
    harness_check(harness_equal(&copy.detail, &reply->problem.detail));

    problem_check_tables(what);

    harness_check(ngx_http_chatmaid_answer_problem(r, reply) == NGX_OK);

    problem_check(r, reply->native, &reply->problem);

    harness_end(r);

    return 0;
}


static void
problem_make(ngx_http_request_t *r, ngx_http_chatmaid_problem_t *problem,
    u_char what, harness_input_t *in)
{
    ngx_str_t   error, fault, detail;
    ngx_uint_t  code;

    code = problem->code;
    error = harness_line(in);
    fault = harness_line(in);
    detail = harness_rest(in);

    harness_check(ngx_http_chatmaid_problem_set(r->pool, problem, code, "%V",
                                                &detail)
                  == NGX_DECLINED);

    problem->may_be_accepted = !!(what & 1);
    problem->for_sdk = !!(what & 2);
    problem->retry_after = (what & 4) ? what * 1000 : 0;

    if (what & 8) {
        problem->errors = ngx_http_chatmaid_json_keep(r->pool, json_array());
        harness_check(problem->errors != NULL);

        json_array_append_new(problem->errors,
                              json_pack("{s:s, s:o}", "pointer", "/to",
                                        "detail",
                                        ngx_http_chatmaid_json_string(&fault)));
    }

    if (what & 16) {
        problem->error = error;
    }

    if (what & 32) {
        problem->messages = ngx_http_chatmaid_json_keep(r->pool, json_array());
        harness_check(problem->messages != NULL);

        json_array_append_new(problem->messages,
                              ngx_http_chatmaid_json_string(&fault));
        json_array_append_new(problem->messages,
                              ngx_http_chatmaid_json_string(&detail));
    }

    if (what & 64) {
        problem->status = 400 + what;
    }
}


static void
problem_check(ngx_http_request_t *r, ngx_uint_t native,
    ngx_http_chatmaid_problem_t *problem)
{
    u_char        *body, *last;
    json_t        *root;
    ngx_str_t     *answer;
    ngx_uint_t     status;
    const char    *code;
    json_error_t   error;

    answer = harness_answer();
    last = answer->data + answer->len;

    body = memmem(answer->data, answer->len, CRLF CRLF, 4);
    harness_check(body != NULL);

    problem_check_head(answer->data, body + 2);

    body += 4;

    root = json_loadb((char *) body, last - body,
                      JSON_REJECT_DUPLICATES|JSON_ALLOW_NUL, &error);
    harness_check(root != NULL);

    status = problem->status
             ? problem->status
             : ngx_http_chatmaid_problem_status(problem->code);

    harness_check(r->headers_out.status == status);

    if (native) {
        harness_check(json_is_array(json_object_get(root, "message")));
        harness_check(json_is_string(json_object_get(root, "error")));
        harness_check(json_integer_value(json_object_get(root, "statusCode"))
                      == (json_int_t) status);

    } else {
        code = json_string_value(json_object_get(root, "code"));
        harness_check(code != NULL);
        harness_check(ngx_strcmp(code,
                                 ngx_http_chatmaid_problem_name(problem->code))
                      == 0);
        harness_check(json_integer_value(json_object_get(root, "status"))
                      == (json_int_t) status);
        harness_check(json_is_string(json_object_get(root, "detail")));
        harness_check(json_is_string(json_object_get(root, "requestId")));
    }

    json_decref(root);
}


/* Lines of a name, a colon and visible text, and nothing else. */

static void
problem_check_head(u_char *p, u_char *last)
{
    u_char  *end;

    harness_check(ngx_memcmp(p, "HTTP/1.1 ", 9) == 0);

    for ( /* void */ ; p < last; p = end + 2) {

        end = memmem(p, last - p, CRLF, 2);
        harness_check(end != NULL);

        for ( /* void */ ; p < end; p++) {
            harness_check(*p >= ' ' && *p < 0x7f);
        }
    }
}


static void
problem_check_tables(u_char status)
{
    ngx_uint_t  code;

    code = ngx_http_chatmaid_problem_code(400 + status);
    harness_check(code < NGX_HTTP_CHATMAID_CODES);
    harness_check(ngx_http_chatmaid_problem_title(400 + status) != NULL);
}
