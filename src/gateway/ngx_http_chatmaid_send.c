
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_send.h"
#include "ngx_http_chatmaid_alarm.h"
#include "ngx_http_chatmaid_call_result.h"
#include "ngx_http_chatmaid_crypto.h"
#include "ngx_http_chatmaid_idempotency.h"
#include "ngx_http_chatmaid_json_text.h"
#include "ngx_http_chatmaid_message.h"
#include "ngx_http_chatmaid_retry.h"
#include "ngx_http_chatmaid_send_claim.h"
#include "ngx_http_chatmaid_wait.h"


typedef struct {
    ngx_http_chatmaid_flow_t         *flow;

    ngx_http_chatmaid_idempotency_t   operation;
    ngx_http_chatmaid_send_claim_t    claim;    /* of its record */
    ngx_http_chatmaid_wait_query_t    wait;     /* for the message, once sent */

    ngx_str_t                         message;  /* until "body" is written */
    ngx_str_t                         body;     /* of each try */
    ngx_http_chatmaid_call_envelope_t  answer;

    unsigned                          renamed:1; /* for another window */
    unsigned                          failed:1; /* reply->problem says how */
    unsigned                          may_be_accepted:1;  /* one of the tries */
} ngx_http_chatmaid_send_t;


static void ngx_http_chatmaid_send_leave(void *data);
static ngx_int_t ngx_http_chatmaid_send_parse(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_name(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_ask(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_asked(ngx_http_request_t *r,
    void *data);
static void ngx_http_chatmaid_send_note_claim(ngx_http_chatmaid_send_t *send);
static void ngx_http_chatmaid_send_begin(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send);
static ngx_int_t ngx_http_chatmaid_send_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send);
static void ngx_http_chatmaid_send_log_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_claim_t *claim);
static void ngx_http_chatmaid_send_log_recorded(ngx_http_request_t *r,
    ngx_http_chatmaid_claim_t *claim);
static ngx_int_t ngx_http_chatmaid_send_replay(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send);
static ngx_int_t ngx_http_chatmaid_send_write(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_forward(ngx_http_request_t *r,
    void *data);
static ngx_uint_t ngx_http_chatmaid_send_is_lost(
    ngx_http_chatmaid_send_t *send);
static ngx_int_t ngx_http_chatmaid_send_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send);
static ngx_int_t ngx_http_chatmaid_send_forwarded(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_settle(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_settled(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_wait(ngx_http_request_t *r,
    void *data);
static ngx_int_t ngx_http_chatmaid_send_answer(ngx_http_request_t *r,
    void *data);


static ngx_http_chatmaid_step_pt  ngx_http_chatmaid_send_steps[] = {
    ngx_http_chatmaid_send_parse,       /* body to message, all faults */
    ngx_http_chatmaid_send_name,        /* operation key, fingerprint, record */
    ngx_http_chatmaid_send_ask,         /* asks the store for the record */
    ngx_http_chatmaid_send_asked,       /* ours, done, reused, in flight */
    ngx_http_chatmaid_send_write,       /* the same bytes for each try */
    ngx_http_chatmaid_send_forward,     /* one try */
    ngx_http_chatmaid_send_forwarded,   /* a further try, or no more */
    ngx_http_chatmaid_send_settle,      /* record what became of it */
    ngx_http_chatmaid_send_settled,
    ngx_http_chatmaid_send_wait,        /* if asked to: goes on as a wait */
    ngx_http_chatmaid_send_answer,
    NULL
};


ngx_int_t
ngx_http_chatmaid_send_init(ngx_http_chatmaid_flow_t *flow)
{
    ngx_int_t                   rc;
    ngx_str_t                   args;
    const char                 *reason;
    ngx_http_request_t         *r;
    ngx_http_chatmaid_send_t   *send;
    ngx_http_chatmaid_reply_t  *reply;

    r = flow->request;
    reply = flow->reply;

    send = ngx_pcalloc(r->pool, sizeof(ngx_http_chatmaid_send_t));
    if (send == NULL) {
        return NGX_ERROR;
    }

    send->flow = flow;
    send->claim.flow = flow;
    send->operation.claim = &send->claim.lease.claim;

    flow->kind = NGX_HTTP_CHATMAID_PACE_SEND;
    flow->leave = ngx_http_chatmaid_send_leave;

    ngx_http_chatmaid_steps_init(&flow->steps, ngx_http_chatmaid_send_steps,
                                 send);

    /* each answer from here on names the key */

    reply->key = &send->operation.key;

    rc = ngx_http_chatmaid_idempotency_header(r, reply->key, &reason);

    if (rc == NGX_DECLINED) {
        reply->facts->attempts = &flow->attempts;   /* as for its message */

        return ngx_http_chatmaid_problem_set(r->pool, &reply->problem,
                                     NGX_HTTP_CHATMAID_INVALID_IDEMPOTENCY_KEY,
                                     "the Idempotency-Key header %s", reason);
    }

    if (rc != NGX_OK || reply->native) {
        return rc;
    }

    args = r->args;

    return ngx_http_chatmaid_wait_query(flow, &args, &send->wait);
}


static void
ngx_http_chatmaid_send_leave(void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_http_chatmaid_send_claim_leave(&send->claim);
}


static ngx_int_t
ngx_http_chatmaid_send_parse(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_int_t                   rc;
    ngx_str_t                  *key;
    ngx_http_chatmaid_reply_t  *reply;

    reply = send->flow->reply;
    key = &send->operation.key;

    rc = ngx_http_chatmaid_message_read(r, reply, key, &send->message,
                                     send->claim.lease.claim.fingerprint);

    reply->facts->key = *key;

    if (rc != NGX_OK) {
        return rc;
    }

    send->operation.keyless = (key->len == 0);

    return ngx_http_chatmaid_idempotency_scope(r, &reply->problem,
                                               &send->operation.key_scope);
}


static ngx_int_t
ngx_http_chatmaid_send_name(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    return ngx_http_chatmaid_idempotency_name(r, &send->operation);
}


static ngx_int_t
ngx_http_chatmaid_send_ask(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_int_t                      rc;
    ngx_http_chatmaid_facts_t     *facts;
    ngx_http_chatmaid_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_chatmaid_module);
    facts = send->flow->reply->facts;

    if (send->claim.lease.held) {
        ngx_http_chatmaid_facts_store_asked(facts);
        return ngx_http_chatmaid_lease_ask_again(&send->claim.lease);
    }

    if (!conf->idempotency) {
        facts->idempotency = NGX_HTTP_CHATMAID_RESULT_OFF;
        ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_write);
        return NGX_OK;
    }

    ngx_http_chatmaid_facts_store_asked(facts);

    rc = ngx_http_chatmaid_send_claim_ask(&send->claim);

    /* Redis is asked for the record and for a place in the pace at once */

    if (rc == NGX_AGAIN && !send->claim.lease.claim.waited
        && ngx_http_chatmaid_call_pace_is_set(r))
    {
        ngx_http_chatmaid_call_pace_expect(r, &send->flow->pace,
                          ngx_max(ngx_http_chatmaid_flow_left(send->flow), 0));
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_send_asked(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_http_chatmaid_claim_t  *claim;

    claim = &send->claim.lease.claim;

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "chatmaid claim, result:%ui may_be_accepted:%ui",
                   claim->result, (ngx_uint_t) claim->may_be_accepted);

    ngx_http_chatmaid_send_note_claim(send);

    if (claim->result != NGX_HTTP_CHATMAID_CLAIMED) {
        ngx_http_chatmaid_call_pace_unexpect(&send->flow->pace);
    }

    switch (claim->result) {

    case NGX_HTTP_CHATMAID_CLAIMED:
        ngx_http_chatmaid_send_begin(r, send);
        return NGX_OK;

    case NGX_HTTP_CHATMAID_DONE:
        ngx_http_chatmaid_idempotency_claimed(&send->operation);
        return ngx_http_chatmaid_send_replay(r, send);

    case NGX_HTTP_CHATMAID_CLOCK:

        if (!send->renamed) {
            send->renamed = 1;
            ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_name);
            return NGX_OK;
        }

        claim->reason = "Redis takes longer than chatmaid_idempotency_window";

        return ngx_http_chatmaid_send_refused(r, send);

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
        ngx_http_chatmaid_idempotency_claimed(&send->operation);

        if (!send->flow->answered
            && ngx_http_chatmaid_send_claim_wait(&send->claim) == NGX_AGAIN)
        {
            ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_ask);
            return NGX_AGAIN;
        }

        /* fall through */

    default:
        return ngx_http_chatmaid_send_refused(r, send);
    }
}


static void
ngx_http_chatmaid_send_note_claim(ngx_http_chatmaid_send_t *send)
{
    ngx_http_chatmaid_claim_t  *claim;
    ngx_http_chatmaid_facts_t  *facts;

    facts = send->flow->reply->facts;
    claim = &send->claim.lease.claim;

    ngx_http_chatmaid_facts_store_answered(facts, claim->store);

    switch (claim->result) {

    case NGX_HTTP_CHATMAID_CLAIMED:
        facts->idempotency = claim->taken_over
                             ? NGX_HTTP_CHATMAID_RESULT_RECOVERED
                             : NGX_HTTP_CHATMAID_RESULT_NEW;
        return;

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
    case NGX_HTTP_CHATMAID_LOST:
        facts->idempotency = NGX_HTTP_CHATMAID_RESULT_IN_FLIGHT;
        return;

    case NGX_HTTP_CHATMAID_REUSED:
        facts->idempotency = NGX_HTTP_CHATMAID_RESULT_REUSED;
        return;

    default:
        facts->idempotency = NGX_HTTP_CHATMAID_RESULT_NONE;
    }
}


static void
ngx_http_chatmaid_send_begin(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send)
{
    ngx_http_chatmaid_send_log_recorded(r, &send->claim.lease.claim);
    ngx_http_chatmaid_idempotency_claimed(&send->operation);
    ngx_http_chatmaid_lease_begin(&send->claim.lease);

    if (send->body.len) {               /* written under a former lease */
        ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_forward);
    }
}


/* The send does not get the record: sets the problem that says why. */

static ngx_int_t
ngx_http_chatmaid_send_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send)
{
    ngx_http_chatmaid_claim_t    *claim;
    ngx_http_chatmaid_problem_t  *problem;

    claim = &send->claim.lease.claim;
    problem = &send->flow->reply->problem;

    switch (claim->result) {

    case NGX_HTTP_CHATMAID_IN_FLIGHT:
    case NGX_HTTP_CHATMAID_LOST:
        ngx_http_chatmaid_problem_set(r->pool, problem,
                                      NGX_HTTP_CHATMAID_IDEMPOTENCY_IN_FLIGHT,
                                      "the same send is still under way");
        problem->retry_after = 1;
        break;

    case NGX_HTTP_CHATMAID_REUSED:
        ngx_http_chatmaid_problem_set(r->pool, problem,
                                      NGX_HTTP_CHATMAID_IDEMPOTENCY_KEY_REUSED,
                                      "the idempotency key is that of another "
                                      "message");
        break;

    default:
        ngx_http_chatmaid_send_log_refused(r, claim);

        ngx_http_chatmaid_problem_set(r->pool, problem,
                                      NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                      "this send can't be recorded now");
        problem->retry_after = 1;
    }

    problem->may_be_accepted = 1;

    return NGX_DECLINED;
}


/* Logs one line for the operator when sends begin to be refused, not one for
 * each send.  If Redis is away, that has been logged already. */

static void
ngx_http_chatmaid_send_log_refused(ngx_http_request_t *r,
    ngx_http_chatmaid_claim_t *claim)
{
    ngx_uint_t  level;

    level = NGX_LOG_INFO;

    if (!claim->redis_away
        && ngx_http_chatmaid_alarm_meet(claim->mcf->alarms,
                                   ngx_http_chatmaid_alarm_id("sends", NULL)))
    {
        level = NGX_LOG_ERR;
    }

    ngx_log_error(level, r->connection->log, 0,
                  "chatmaid can't record a send: %s; it is answered 503",
                  claim->reason);
}


static void
ngx_http_chatmaid_send_log_recorded(ngx_http_request_t *r,
    ngx_http_chatmaid_claim_t *claim)
{
    if (ngx_http_chatmaid_alarm_pass(claim->mcf->alarms,
                                   ngx_http_chatmaid_alarm_id("sends", NULL)))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "chatmaid records sends again");
    }
}


/* The message was sent before, and the answer of that time is given again.
 * Others may have written what the record holds, so it is checked. */

static ngx_int_t
ngx_http_chatmaid_send_replay(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send)
{
    ngx_http_chatmaid_claim_t  *claim;

    claim = &send->claim.lease.claim;

    if (ngx_http_chatmaid_call_envelope_read(r->pool, &claim->answer,
                                             &send->answer)
        != NGX_OK
        || !ngx_http_chatmaid_call_result_is_success(&send->answer,
                                             NGX_HTTP_CHATMAID_EXPECT_MESSAGE))
    {
        claim->result = NGX_HTTP_CHATMAID_FOREIGN;
        claim->reason = "its record does not hold an answer of Chatmaid's";

        return ngx_http_chatmaid_send_refused(r, send);
    }

    send->flow->reply->replayed = 1;
    send->flow->reply->facts->idempotency
                                    = NGX_HTTP_CHATMAID_RESULT_REPLAYED;

    ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_wait);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_write(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_str_t  key, value;

    u_char     quoted[sizeof("\"\"") - 1 + NGX_HTTP_CHATMAID_SHA256_HEX];

    if (ngx_http_chatmaid_idempotency_derive(r, &send->operation, &key)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    value.data = quoted;
    value.len = sizeof(quoted);

    quoted[0] = '"';
    ngx_memcpy(quoted + 1, key.data, NGX_HTTP_CHATMAID_SHA256_HEX);
    quoted[sizeof(quoted) - 1] = '"';

    if (ngx_http_chatmaid_json_text_insert(r->pool, &send->message,
                                           "idempotencyKey", &value,
                                           &send->body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_pfree(r->pool, send->message.data);
    ngx_str_null(&send->message);

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_forward(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_int_t  rc;

    if (ngx_http_chatmaid_send_is_lost(send)) {
        ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_ask);
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_send_permit(r, send);

    if (rc == NGX_AGAIN) {
        ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_forward);
        return NGX_AGAIN;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        send->failed = 1;
        ngx_http_chatmaid_flow_go(send->flow, ngx_http_chatmaid_send_settle);
        return NGX_OK;
    }

    return ngx_http_chatmaid_flow_call(send->flow, &send->body);
}


/* Whether the lease ran out while the send waited for its place in the pace,
 * because the store was away for so long.  Nothing has been sent, so the send
 * may ask for the record again. */

static ngx_uint_t
ngx_http_chatmaid_send_is_lost(ngx_http_chatmaid_send_t *send)
{
    ngx_http_chatmaid_flow_t   *flow;
    ngx_http_chatmaid_lease_t  *lease;

    flow = send->flow;
    lease = &send->claim.lease;

    return flow->pace.pace && flow->attempts == 0 && !flow->answered
           && lease->held && !ngx_http_chatmaid_lease_is_running(lease);
}


/*
 * NGX_OK: a try may begin; NGX_AGAIN: not yet.  NGX_DECLINED: no more tries,
 * because the deadline or the lease has passed, or because the next try would
 * come after the deadline.  In the first two cases the problem of the latest
 * try, if there was one, stays.
 */

static ngx_int_t
ngx_http_chatmaid_send_permit(ngx_http_request_t *r,
    ngx_http_chatmaid_send_t *send)
{
    ngx_int_t                     rc;
    ngx_http_chatmaid_flow_t     *flow;
    ngx_http_chatmaid_lease_t    *lease;
    ngx_http_chatmaid_problem_t  *problem;

    flow = send->flow;
    lease = &send->claim.lease;
    problem = &flow->reply->problem;

    if (flow->answered
        || (lease->held && !ngx_http_chatmaid_lease_is_running(lease)))
    {
        if (flow->call == NULL) {
            ngx_http_chatmaid_problem_set(r->pool, problem,
                                          NGX_HTTP_CHATMAID_STORE_UNAVAILABLE,
                                          "the send could not be recorded in "
                                          "time");
            problem->retry_after = 1;
        }

        return NGX_DECLINED;
    }

    rc = ngx_http_chatmaid_retry_hold(flow);

    if (rc == NGX_DECLINED) {
        problem->may_be_accepted = send->may_be_accepted;
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_send_forwarded(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_int_t                     rc;
    ngx_http_chatmaid_flow_t     *flow;
    ngx_http_chatmaid_problem_t  *problem;

    flow = send->flow;
    problem = &flow->reply->problem;

    rc = ngx_http_chatmaid_call_result(r, flow->call,
                                       NGX_HTTP_CHATMAID_EXPECT_MESSAGE,
                                       &send->answer, problem);

    send->failed = (rc != NGX_OK);

    if (rc != NGX_DECLINED) {
        return rc;      /* NGX_ERROR: ambiguous at the lease's end */
    }

    /* a later refusal says nothing about the tries before it */

    send->may_be_accepted |= problem->may_be_accepted;
    problem->may_be_accepted = send->may_be_accepted;

    if (ngx_http_chatmaid_retry_pause(flow) == NGX_AGAIN) {
        ngx_http_chatmaid_flow_go(flow, ngx_http_chatmaid_send_forward);
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_settle(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_http_chatmaid_call_t   *call;
    ngx_http_chatmaid_lease_t  *lease;

    lease = &send->claim.lease;

    if (!lease->held) {
        return NGX_OK;
    }

    ngx_http_chatmaid_facts_store_asked(send->flow->reply->facts);

    if (!send->failed) {
        call = send->flow->call;
        return ngx_http_chatmaid_lease_finish(lease, &call->answer,
                                              call->status);
    }

    if (send->may_be_accepted) {
        return ngx_http_chatmaid_lease_mark_ambiguous(lease);
    }

    return ngx_http_chatmaid_lease_remove(lease);
}


static ngx_int_t
ngx_http_chatmaid_send_settled(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_http_chatmaid_lease_t  *lease;

    lease = &send->claim.lease;

    if (lease->held) {

        ngx_http_chatmaid_facts_store_answered(send->flow->reply->facts,
                                               lease->claim.store);

        /* this send was refused or not sent, but an earlier one may have been
         * accepted */

        if (send->failed && lease->claim.rc != NGX_OK) {
            send->flow->reply->problem.may_be_accepted = 1;
        }

        ngx_http_chatmaid_send_claim_end(&send->claim);
    }

    return send->failed ? NGX_DECLINED : NGX_OK;
}


/* The wait has a deadline of its own.  There is no wait for a caller that has
 * left or was answered at the deadline of the send. */

static ngx_int_t
ngx_http_chatmaid_send_wait(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_str_t  *id;

    /* a copy, because the answer of a call is freed before the next call */

    id = &send->flow->reply->facts->message_id;

    id->len = send->answer.id.len;
    id->data = ngx_pstrdup(r->pool, &send->answer.id);
    if (id->data == NULL) {
        return NGX_ERROR;
    }

    if (send->wait.time == 0
        || !ngx_http_chatmaid_flow_is_awaited(send->flow))
    {
        return NGX_OK;
    }

    if (ngx_http_chatmaid_wait_follow(send->flow, &send->wait,
                                      &send->answer.data)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "chatmaid can't wait for the message that was sent");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_send_answer(ngx_http_request_t *r, void *data)
{
    ngx_http_chatmaid_send_t *send = data;

    ngx_http_chatmaid_flow_t   *flow;
    ngx_http_chatmaid_claim_t  *claim;

    flow = send->flow;
    claim = &send->claim.lease.claim;

    if (!flow->reply->native) {
        return ngx_http_chatmaid_flow_answer(flow, NGX_HTTP_CREATED,
                                             &send->answer.data);
    }

    if (flow->reply->replayed) {
        return ngx_http_chatmaid_flow_answer(flow, claim->status,
                                             &claim->answer);
    }

    return ngx_http_chatmaid_flow_answer(flow, flow->call->status,
                                         &flow->call->answer);
}
