
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_json_tree.h"
#include "ngx_http_chatmaid_json_fault.h"
#include "ngx_http_chatmaid_json_text.h"


static ngx_int_t ngx_http_chatmaid_json_tree_run(ngx_pool_t *pool,
    ngx_str_t *text, ngx_uint_t utf8, ngx_uint_t unicode,
    ngx_http_chatmaid_json_parser_t *parser,
    ngx_http_chatmaid_json_tree_t *tree);
static ngx_int_t ngx_http_chatmaid_json_tree_sort_all(
    ngx_http_chatmaid_json_tree_t *tree);
static uint32_t ngx_http_chatmaid_json_tree_sort(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t *names, uint32_t n);
static uint32_t ngx_http_chatmaid_json_tree_merge(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t one, uint32_t two);
static ngx_int_t ngx_http_chatmaid_json_tree_compare(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t one, uint32_t two);
static uint32_t ngx_http_chatmaid_json_tree_find(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, const char *name);
static void ngx_http_chatmaid_json_tree_inner(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t token, ngx_str_t *inner);
static uint32_t ngx_http_chatmaid_json_tree_pair(
    ngx_http_chatmaid_json_tree_t *tree);
static ngx_int_t ngx_http_chatmaid_json_tree_name(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t token, ngx_str_t *name);
static ngx_int_t ngx_http_chatmaid_json_tree_literal(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t token, ngx_str_t *string);
static ngx_int_t ngx_http_chatmaid_json_tree_room(
    ngx_http_chatmaid_json_tree_t *tree, size_t len);
static void ngx_http_chatmaid_json_tree_unlink(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, uint32_t name);
static void ngx_http_chatmaid_json_tree_link(
    ngx_http_chatmaid_json_tree_t *tree, uint32_t object, uint32_t name);


ngx_int_t
ngx_http_chatmaid_json_tree_parse(ngx_pool_t *pool, ngx_str_t *text,
    ngx_uint_t unicode, ngx_http_chatmaid_json_tree_t *tree, ngx_str_t *reason)
{
    ngx_int_t                        rc;
    ngx_http_chatmaid_json_parser_t  parser;

    rc = ngx_http_chatmaid_json_tree_run(pool, text, 1, unicode, &parser, tree);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK && ngx_http_chatmaid_json_tree_sort_all(tree) != NGX_OK) {
        parser.reason = "a member name stands twice in one object";
        parser.pos = text->data + tree->tokens[tree->repeated].start;
        rc = NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        tree->sorted = 1;
        return NGX_OK;
    }

    rc = ngx_http_chatmaid_json_fault(pool, &parser, reason);
    ngx_http_chatmaid_json_tree_free(tree);

    return rc;
}


/* Most texts have few tokens, for which there is room in the tree itself.  If a
 * text has more, it is parsed again with memory from the pool. */

static ngx_int_t
ngx_http_chatmaid_json_tree_run(ngx_pool_t *pool, ngx_str_t *text,
    ngx_uint_t utf8, ngx_uint_t unicode,
    ngx_http_chatmaid_json_parser_t *parser,
    ngx_http_chatmaid_json_tree_t *tree)
{
    ngx_int_t  rc;

    ngx_memzero(tree, offsetof(ngx_http_chatmaid_json_tree_t, few));

    tree->pool = pool;
    tree->text = *text;
    tree->tokens = tree->few;
    tree->max = NGX_HTTP_CHATMAID_JSON_TREE_FEW;

    for ( ;; ) {
        ngx_memzero(parser, sizeof(ngx_http_chatmaid_json_parser_t));

        parser->first = text->data;
        parser->last = text->data + text->len;
        parser->tokens = tree->tokens;
        parser->max = tree->max - NGX_HTTP_CHATMAID_JSON_TREE_SPARE;
        parser->utf8 = utf8;
        parser->unicode = unicode;

        rc = ngx_http_chatmaid_json_parser_run(parser);

        if (!parser->full || tree->tokens != tree->few) {
            break;
        }

        tree->max = ngx_http_chatmaid_json_max_tokens(text->len)
                    + NGX_HTTP_CHATMAID_JSON_TREE_SPARE;

        tree->tokens = ngx_palloc(pool, tree->max
                                     * sizeof(ngx_http_chatmaid_json_token_t));
        if (tree->tokens == NULL) {
            return NGX_ERROR;
        }
    }

    tree->ntokens = parser->ntokens;
    tree->numbers = parser->numbers;

    return rc;
}


ngx_int_t
ngx_http_chatmaid_json_tree_read(ngx_pool_t *pool, ngx_str_t *text,
    ngx_http_chatmaid_json_tree_t *tree)
{
    ngx_int_t                        rc;
    ngx_str_t                        trimmed;
    ngx_http_chatmaid_json_parser_t  parser;

    if (text->len == 0) {
        return NGX_DECLINED;
    }

    trimmed = *text;
    ngx_http_chatmaid_json_text_trim(&trimmed);

    rc = ngx_http_chatmaid_json_tree_run(pool, &trimmed, 0, 0, &parser, tree);

    if (rc == NGX_DECLINED) {
        ngx_http_chatmaid_json_tree_free(tree);
    }

    return rc;
}


static ngx_int_t
ngx_http_chatmaid_json_tree_sort_all(ngx_http_chatmaid_json_tree_t *tree)
{
    uint32_t                         i, n, name, names;
    ngx_http_chatmaid_json_token_t  *token;

    for (i = 0; i < tree->ntokens; i++) {

        token = &tree->tokens[i];

        if (tree->text.data[token->start] != '{' || token->end == 0) {
            continue;
        }

        names = token->end;

        for (n = 0, name = names; name; name = tree->tokens[name].next) {
            n++;
        }

        token->end = ngx_http_chatmaid_json_tree_sort(tree, &names, n);
    }

    return tree->repeated ? NGX_DECLINED : NGX_OK;
}


/* Sorts the first n names of a list (merge sort), cuts them off the list, and
 * returns the first of them.  Even for a hostile text it needs no more than
 * n * log(n) comparisons. */

static uint32_t
ngx_http_chatmaid_json_tree_sort(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t *names, uint32_t n)
{
    uint32_t  one, two;

    if (n == 1) {
        one = *names;
        *names = tree->tokens[one].next;
        tree->tokens[one].next = 0;

        return one;
    }

    one = ngx_http_chatmaid_json_tree_sort(tree, names, n / 2);
    two = ngx_http_chatmaid_json_tree_sort(tree, names, n - n / 2);

    return ngx_http_chatmaid_json_tree_merge(tree, one, two);
}


static uint32_t
ngx_http_chatmaid_json_tree_merge(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t one, uint32_t two)
{
    uint32_t   head, *link;
    ngx_int_t  rc;

    link = &head;

    while (one && two) {

        rc = ngx_http_chatmaid_json_tree_compare(tree, one, two);

        if (rc == 0) {
            tree->repeated = ngx_max(one, two);
        }

        if (rc <= 0) {
            *link = one;
            link = &tree->tokens[one].next;
            one = *link;

        } else {
            *link = two;
            link = &tree->tokens[two].next;
            two = *link;
        }
    }

    *link = one ? one : two;

    return head;
}


/* Compares two names.  Most differ in their first byte: if that is greater than
 * a backslash, it is neither an escape nor the closing quote of an empty
 * name. */

static ngx_int_t
ngx_http_chatmaid_json_tree_compare(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t one, uint32_t two)
{
    u_char     a, b;
    ngx_str_t  first, second;

    a = tree->text.data[tree->tokens[one].start + 1];
    b = tree->text.data[tree->tokens[two].start + 1];

    if (a != b && a > '\\' && b > '\\') {
        return a - b;
    }

    ngx_http_chatmaid_json_tree_inner(tree, one, &first);
    ngx_http_chatmaid_json_tree_inner(tree, two, &second);

    return ngx_http_chatmaid_json_text_compare(&first, &second);
}


void
ngx_http_chatmaid_json_tree_free(ngx_http_chatmaid_json_tree_t *tree)
{
    if (tree->tokens != tree->few) {
        (void) ngx_pfree(tree->pool, tree->tokens);
    }

    tree->tokens = NULL;

    if (tree->copied) {
        (void) ngx_pfree(tree->pool, tree->text.data);
    }
}


u_char
ngx_http_chatmaid_json_tree_type(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value)
{
    u_char  ch;

    ch = tree->text.data[tree->tokens[value].start];

    return (ch == '-' || (ch >= '0' && ch <= '9')) ? '0' : ch;
}


uint32_t
ngx_http_chatmaid_json_tree_first(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value)
{
    u_char  type;

    type = ngx_http_chatmaid_json_tree_type(tree, value);

    return (type == '{' || type == '[') ? tree->tokens[value].end : 0;
}


uint32_t
ngx_http_chatmaid_json_tree_next(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t child)
{
    return tree->tokens[child].next;
}


uint32_t
ngx_http_chatmaid_json_tree_member(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name)
{
    uint32_t  found;

    found = ngx_http_chatmaid_json_tree_find(tree, object, name);

    return found ? found + 1 : 0;
}


/* Returns the token of a member's name, or 0. */

static uint32_t
ngx_http_chatmaid_json_tree_find(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name)
{
    u_char     ch;
    uint32_t   token, found;
    ngx_str_t  wanted, inner;

    if (tree->text.data[tree->tokens[object].start] != '{') {
        return 0;
    }

    found = 0;

    for (token = tree->tokens[object].end;
         token;
         token = tree->tokens[token].next)
    {
        ch = tree->text.data[tree->tokens[token].start + 1];

        if (ch != (u_char) *name && ch != '\\') {

            if (tree->sorted && ch > (u_char) *name) {
                break;
            }

            continue;
        }

        ngx_http_chatmaid_json_tree_inner(tree, token, &inner);

        wanted.data = (u_char *) name;
        wanted.len = ngx_strlen(name);

        if (ngx_http_chatmaid_json_text_is(&inner, &wanted)) {
            found = token;

            if (tree->sorted) {
                break;
            }
        }
    }

    return found;
}


/* The token of an object or array does not tell where its text ends.  It ends
 * with the last closing bracket before the next name, or before the end of the
 * root. */

void
ngx_http_chatmaid_json_tree_bytes(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_str_t *bytes)
{
    u_char                          *p;
    uint32_t                         next;
    ngx_http_chatmaid_json_token_t  *token;

    token = &tree->tokens[value];
    bytes->data = tree->text.data + token->start;

    if (*bytes->data != '{' && *bytes->data != '[') {
        bytes->len = token->end - token->start;
        return;
    }

    next = tree->tokens[value - 1].next;

    p = tree->text.data + (next ? tree->tokens[next].start
                                : tree->text.len - 1);

    while (p[-1] != '}' && p[-1] != ']') { p--; }

    bytes->len = p - bytes->data;
}


/* The bytes between the quotes of a string. */

static void
ngx_http_chatmaid_json_tree_inner(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t token, ngx_str_t *inner)
{
    inner->data = tree->text.data + tree->tokens[token].start + 1;
    inner->len = tree->tokens[token].end - tree->tokens[token].start - 2;
}


ngx_int_t
ngx_http_chatmaid_json_tree_string(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t value, ngx_uint_t form, ngx_str_t *string)
{
    ngx_str_t  text;

    if (ngx_http_chatmaid_json_tree_type(tree, value) != '"') {
        return NGX_DECLINED;
    }

    text.data = tree->text.data + tree->tokens[value].start;
    text.len = tree->tokens[value].end - tree->tokens[value].start;

    return ngx_http_chatmaid_json_text_string(tree->pool, &text, form, string);
}


void
ngx_http_chatmaid_json_tree_remove(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name)
{
    uint32_t  token;

    token = ngx_http_chatmaid_json_tree_find(tree, object, name);

    if (token) {
        ngx_http_chatmaid_json_tree_unlink(tree, object, token);
    }
}


ngx_int_t
ngx_http_chatmaid_json_tree_rename(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *from, const char *to)
{
    uint32_t   token;
    ngx_str_t  name;

    token = ngx_http_chatmaid_json_tree_find(tree, object, from);

    if (token == 0) {
        return NGX_OK;
    }

    name.data = (u_char *) to;
    name.len = ngx_strlen(to);

    ngx_http_chatmaid_json_tree_unlink(tree, object, token);

    if (ngx_http_chatmaid_json_tree_name(tree, token, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_chatmaid_json_tree_link(tree, object, token);

    return NGX_OK;
}


ngx_int_t
ngx_http_chatmaid_json_tree_add(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name, ngx_str_t *string)
{
    uint32_t   token;
    ngx_int_t  rc;
    ngx_str_t  member;

    token = ngx_http_chatmaid_json_tree_pair(tree);

    if (token == 0) {
        return NGX_ERROR;
    }

    member.data = (u_char *) name;
    member.len = ngx_strlen(name);

    rc = ngx_http_chatmaid_json_tree_name(tree, token, &member);

    if (rc == NGX_OK) {
        rc = ngx_http_chatmaid_json_tree_literal(tree, token + 1, string);
    }

    if (rc == NGX_OK) {
        ngx_http_chatmaid_json_tree_link(tree, object, token);
    }

    return rc;
}


ngx_int_t
ngx_http_chatmaid_json_tree_wrap(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, const char *name)
{
    uint32_t                         old, token;
    ngx_http_chatmaid_json_token_t  *tokens;

    old = ngx_http_chatmaid_json_tree_find(tree, object, name);
    token = ngx_http_chatmaid_json_tree_pair(tree);

    if (old == 0 || token == 0
        || ngx_http_chatmaid_json_tree_room(tree, 1) != NGX_OK)
    {
        return NGX_ERROR;
    }

    tokens = tree->tokens;

    tokens[token].start = tokens[old].start;
    tokens[token].end = tokens[old].end;

    tokens[token + 1].start = tree->text.len;
    tokens[token + 1].end = old + 1;
    tokens[token + 1].next = 0;

    tree->text.data[tree->text.len++] = '[';
    tree->room--;

    ngx_http_chatmaid_json_tree_unlink(tree, object, old);
    ngx_http_chatmaid_json_tree_link(tree, object, token);

    return NGX_OK;
}


/* Takes two spare tokens, for a name and its value, and returns the first one.
 * 0: none are left. */

static uint32_t
ngx_http_chatmaid_json_tree_pair(ngx_http_chatmaid_json_tree_t *tree)
{
    uint32_t  token;

    token = tree->ntokens;

    if (tree->max - token < 2) {
        return 0;
    }

    tree->ntokens += 2;

    return token;
}


/* Appends a name, which must need no escape, to the text, and makes it the text
 * of the token. */

static ngx_int_t
ngx_http_chatmaid_json_tree_name(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t token, ngx_str_t *name)
{
    u_char                          *p;
    size_t                           len;
    ngx_http_chatmaid_json_token_t  *t;

    len = sizeof("\"\"") - 1 + name->len;

    if (ngx_http_chatmaid_json_tree_room(tree, len) != NGX_OK) {
        return NGX_ERROR;
    }

    p = tree->text.data + tree->text.len;

    *p++ = '"';
    p = ngx_cpymem(p, name->data, name->len);
    *p = '"';

    t = &tree->tokens[token];

    t->start = tree->text.len;
    t->end = t->start + len;
    t->next = 0;

    tree->text.len += len;
    tree->room -= len;

    return NGX_OK;
}


/* The same for any string: it is escaped, and must be UTF-8. */

static ngx_int_t
ngx_http_chatmaid_json_tree_literal(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t token, ngx_str_t *string)
{
    u_char                           *p;
    size_t                            len, escapes;
    ngx_http_chatmaid_json_token_t   *t;
    ngx_http_chatmaid_json_parser_t   parser;

    escapes = ngx_escape_json(NULL, string->data, string->len);
    len = sizeof("\"\"") - 1 + string->len + escapes;

    if (ngx_http_chatmaid_json_tree_room(tree, len) != NGX_OK) {
        return NGX_ERROR;
    }

    p = tree->text.data + tree->text.len;

    *p++ = '"';
    p = escapes ? (u_char *) ngx_escape_json(p, string->data, string->len)
                : ngx_cpymem(p, string->data, string->len);
    *p++ = '"';

    ngx_memzero(&parser, sizeof(ngx_http_chatmaid_json_parser_t));

    parser.first = p - len;
    parser.last = p;
    parser.utf8 = 1;

    if (ngx_http_chatmaid_json_parser_run(&parser) != NGX_OK) {
        return NGX_DECLINED;
    }

    t = &tree->tokens[token];

    t->start = tree->text.len;
    t->end = t->start + len;
    t->next = 0;

    tree->text.len += len;
    tree->room -= len;

    return NGX_OK;
}


/* Ensures that there is room for len bytes after the text. */

static ngx_int_t
ngx_http_chatmaid_json_tree_room(ngx_http_chatmaid_json_tree_t *tree,
    size_t len)
{
    u_char  *p;

    if (len <= tree->room) {
        return NGX_OK;
    }

    tree->room = len + 256;

    p = ngx_pnalloc(tree->pool, tree->text.len + tree->room);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, tree->text.data, tree->text.len);

    if (tree->copied) {
        (void) ngx_pfree(tree->pool, tree->text.data);
    }

    tree->text.data = p;
    tree->copied = 1;

    return NGX_OK;
}


static void
ngx_http_chatmaid_json_tree_unlink(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, uint32_t name)
{
    uint32_t  *link;

    link = &tree->tokens[object].end;

    while (*link != name) {
        link = &tree->tokens[*link].next;
    }

    *link = tree->tokens[name].next;
}


/* Puts a member into the list, in the order of the names. */

static void
ngx_http_chatmaid_json_tree_link(ngx_http_chatmaid_json_tree_t *tree,
    uint32_t object, uint32_t name)
{
    uint32_t  *link;

    for (link = &tree->tokens[object].end;
         *link;
         link = &tree->tokens[*link].next)
    {
        if (ngx_http_chatmaid_json_tree_compare(tree, name, *link) < 0) {
            break;
        }
    }

    tree->tokens[name].next = *link;
    *link = name;
}
