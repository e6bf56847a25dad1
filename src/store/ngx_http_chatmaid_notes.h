
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 *
 * A note says that something has happened to a message for which others may be
 * waiting.  Its stamp differs each time.  A note is left in the zone and, if
 * configured, in Redis.  The two stamps are read separately, because either
 * place may have missed the latest note.
 *
 * Nobody waits for most messages.  A worker that looks for notes therefore
 * announces, in the zone and by the key "waiting" in Redis, that notes are
 * wanted.  Without that announcement no note is left.
 */


#ifndef _NGX_HTTP_CHATMAID_NOTES_H_INCLUDED_
#define _NGX_HTTP_CHATMAID_NOTES_H_INCLUDED_


#include "ngx_http_chatmaid.h"


typedef struct ngx_http_chatmaid_notes_look_s  ngx_http_chatmaid_notes_look_t;

typedef void (*ngx_http_chatmaid_notes_look_pt)(
    ngx_http_chatmaid_notes_look_t *look);


struct ngx_http_chatmaid_notes_look_s {
    ngx_uint_t                        n;           /* of ids and stamps */
    u_char                          (*ids)[NGX_HTTP_CHATMAID_ID_LEN];
    uint64_t                        (*stamps)[2];  /* in the zone, in Redis;
                                                    * 0: there is no note */
    ngx_pool_t                       *pool;

    /* called when a look that returned NGX_AGAIN is done */
    ngx_http_chatmaid_notes_look_pt   handler;
    void                             *data;

    unsigned                          insist:1;    /* ask Redis even if it is
                                                    * known to be away */
};


/* Writes the id of a message's notes to id[NGX_HTTP_CHATMAID_ID_LEN].  The
 * account is the name in chatmaid_account alone: a location that leaves notes
 * may have no key, and so no environment.  NGX_OK, NGX_ERROR. */
ngx_int_t ngx_http_chatmaid_notes_id(ngx_pool_t *pool, ngx_str_t *account_name,
    ngx_str_t *message_id, u_char *id);

/* Whether somebody may be waiting, on this nginx or at another gateway that
 * uses the same Redis. */
ngx_uint_t ngx_http_chatmaid_notes_wanted(ngx_http_chatmaid_main_conf_t *mcf);

/* Leaves a note, if there is room for it.  A failure is ignored: waiters also
 * poll by time.  "stamp" must not be 0. */
void ngx_http_chatmaid_notes_leave(ngx_http_chatmaid_main_conf_t *mcf,
    u_char *id, uint64_t stamp);

/* Fills in the stamps of n notes.  Those of the zone are filled in when this
 * returns.  NGX_OK: done.  NGX_AGAIN: look->handler will be called, never
 * before this has returned; "look", and all that it points to, must last until
 * then. */
ngx_int_t ngx_http_chatmaid_notes_look(ngx_http_chatmaid_main_conf_t *mcf,
    ngx_http_chatmaid_notes_look_t *look);


#endif /* _NGX_HTTP_CHATMAID_NOTES_H_INCLUDED_ */
