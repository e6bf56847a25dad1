
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_status_accounts.h"
#include "ngx_http_chatmaid_account_limits.h"
#include "ngx_http_chatmaid_pace_queue.h"


static void ngx_http_chatmaid_status_accounts_info(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_status_accounts_held(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static void ngx_http_chatmaid_status_accounts_pace(
    ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf);
static ngx_uint_t ngx_http_chatmaid_status_accounts_has_pace(
    ngx_http_chatmaid_main_conf_t *mcf);


void
ngx_http_chatmaid_status_accounts_write(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_http_chatmaid_status_accounts_info(w, mcf);
    ngx_http_chatmaid_status_accounts_held(w, mcf);
    ngx_http_chatmaid_status_accounts_pace(w, mcf);
}


static void
ngx_http_chatmaid_status_accounts_info(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                         i;
    ngx_http_chatmaid_account_t       *account;
    ngx_http_chatmaid_status_label_t   labels[3];

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_account_info", "gauge",
                                           "Accounts of this configuration, "
                                           "and what names their API key.");

    account = mcf->accounts.elts;

    labels[0].name = "account";
    labels[2].name = "fingerprint";

    for (i = 0; i < mcf->accounts.nelts; i++) {
        labels[0].value = account[i].name;

        ngx_http_chatmaid_status_writer_label(&labels[1], "environment",
                account[i].api_key->environment == NGX_HTTP_CHATMAID_LIVE
                ? "live" : "test");

        labels[2].value.data = account[i].api_key->fingerprint;
        labels[2].value.len = sizeof(account[i].api_key->fingerprint);

        ngx_http_chatmaid_status_writer_sample(w, labels, 3, 1);
    }
}


/* The test and the live account of one name share one sample: the longer time
 * counts. */

static void
ngx_http_chatmaid_status_accounts_held(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_msec_t                         held;
    ngx_uint_t                         i, j, seen;
    ngx_http_chatmaid_account_t       *account;
    ngx_http_chatmaid_status_label_t   label;

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_account_held_seconds",
                                           "gauge",
                                           "For how long Chatmaid wants no "
                                           "calls of the account.");

    account = mcf->accounts.elts;

    for (i = 0; i < mcf->accounts.nelts; i++) {
        held = 0;
        seen = 0;

        for (j = 0; j < mcf->accounts.nelts; j++) {

            if (account[i].name.len != account[j].name.len
                || ngx_memcmp(account[i].name.data, account[j].name.data,
                              account[i].name.len)
                   != 0)
            {
                continue;
            }

            seen |= (j < i);
            held = ngx_max(held, ngx_http_chatmaid_account_limits_held(
                                                   mcf->zone, account[j].id));
        }

        if (!seen) {
            label.name = "account";
            label.value = account[i].name;

            ngx_http_chatmaid_status_writer_msec(w, &label, 1, held);
        }
    }
}


/* Writes these metrics only if an account has a pace. */

static void
ngx_http_chatmaid_status_accounts_pace(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_http_chatmaid_counters_t  *counters;

    counters = ngx_http_chatmaid_counters;

    if (!ngx_http_chatmaid_status_accounts_has_pace(mcf)) {
        return;
    }

    ngx_http_chatmaid_status_writer_gauge(w, "chatmaid_pace_waiting",
                              "Calls that wait for their place in the pace of "
                              "an account.",
                              ngx_http_chatmaid_pace_queue_waiting(mcf->zone,
                                                                   NULL));

    ngx_http_chatmaid_status_writer_times(w, "chatmaid_pace_wait_seconds",
                          "Time that calls have waited for their place.",
                          &counters->pace);

    ngx_http_chatmaid_status_writer_metric(w, "chatmaid_pace_refused_total",
                                           "counter",
                                           "Calls that could not have a place "
                                           "before their deadline.");
    ngx_http_chatmaid_status_writer_sample(w, NULL, 0,
                       counters->counts[NGX_HTTP_CHATMAID_COUNT_PACE_REFUSED]);
}


static ngx_uint_t
ngx_http_chatmaid_status_accounts_has_pace(ngx_http_chatmaid_main_conf_t *mcf)
{
    ngx_uint_t                    i;
    ngx_http_chatmaid_account_t  *account;

    account = mcf->accounts.elts;

    for (i = 0; i < mcf->accounts.nelts; i++) {
        if (account[i].pace->interval) {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_chatmaid_status_accounts_paces(ngx_http_chatmaid_status_writer_t *w,
    ngx_http_chatmaid_main_conf_t *mcf)
{
    u_char                             burst[NGX_INT_T_LEN];
    ngx_uint_t                         i;
    ngx_http_chatmaid_account_t       *account;
    ngx_http_chatmaid_status_label_t   labels[4];

    ngx_http_chatmaid_status_writer_metric(w, "paces", NULL, NULL);

    labels[0].name = "account";
    labels[2].name = "rate";
    labels[3].name = "burst";
    labels[3].value.data = burst;

    account = mcf->accounts.elts;

    for (i = 0; i < mcf->accounts.nelts; i++) {

        if (account[i].pace->interval == 0) {
            continue;
        }

        labels[0].value = account[i].name;

        ngx_http_chatmaid_status_writer_label(&labels[1], "environment",
                account[i].api_key->environment == NGX_HTTP_CHATMAID_LIVE
                ? "live" : "test");

        labels[2].value = account[i].pace->text;
        labels[3].value.len = ngx_sprintf(burst, "%ui", account[i].pace->burst)
                              - burst;

        ngx_http_chatmaid_status_writer_sample(w, labels, 4,
                             ngx_http_chatmaid_pace_queue_waiting(mcf->zone,
                                                              account[i].id));
    }
}
