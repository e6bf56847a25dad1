
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "json.h"


#define JSON_MAX_DEPTH  64


typedef struct {
    ngx_pool_t   *pool;
    u_char       *p;
    u_char       *last;
} json_reader_t;


typedef struct {
    u_char       *p;
    u_char       *last;
} json_buffer_t;


static json_value_t *json_read(json_reader_t *in, ngx_uint_t depth);
static ngx_uint_t json_read_children(json_reader_t *in, json_value_t *value,
    ngx_uint_t depth);
static ngx_uint_t json_read_string(json_reader_t *in, json_value_t *value);
static ngx_int_t json_read_escape(json_reader_t *in);
static ngx_int_t json_read_hex(json_reader_t *in);
static ngx_int_t json_read_utf8(json_reader_t *in);
static ngx_uint_t json_read_number(json_reader_t *in, json_value_t *value);
static ngx_uint_t json_read_digits(json_reader_t *in);
static void json_skip(json_reader_t *in);
static ngx_uint_t json_take(json_reader_t *in, u_char ch);
static void json_write(json_buffer_t *out, json_value_t *value,
    harness_input_t *choice);
static void json_write_space(json_buffer_t *out, harness_input_t *choice);
static void json_write_string(json_buffer_t *out, json_value_t *value,
    harness_input_t *choice);
static void json_write_char(json_buffer_t *out, uint32_t ch, u_char choice);
static void json_write_number(json_buffer_t *out, ngx_str_t *text,
    u_char choice);
static ngx_uint_t json_digits(ngx_str_t *text, u_char *digits, ngx_uint_t *n,
    int64_t *power);
static void json_put(json_buffer_t *out, const void *data, size_t len);


json_value_t *
json_parse(ngx_pool_t *pool, ngx_str_t *text)
{
    json_value_t   *value;
    json_reader_t   in;

    in.pool = pool;
    in.p = text->data;
    in.last = text->data + text->len;

    value = json_read(&in, 0);

    if (value) {
        json_skip(&in);
    }

    return (in.p == in.last) ? value : NULL;
}


static json_value_t *
json_read(json_reader_t *in, ngx_uint_t depth)
{
    size_t         len;
    ngx_uint_t     i;
    json_value_t  *value;

    static const char  *words[] = { "true", "false", "null" };

    value = ngx_pcalloc(in->pool, sizeof(json_value_t));
    harness_check(value != NULL);

    json_skip(in);

    if (in->p == in->last || depth > JSON_MAX_DEPTH) {
        return NULL;
    }

    value->type = *in->p;

    switch (value->type) {

    case '{':
    case '[':
        return json_read_children(in, value, depth) ? value : NULL;

    case '"':
        return json_read_string(in, value) ? value : NULL;

    case 't':
    case 'f':
    case 'n':

        for (i = 0; i < 3; i++) {
            len = ngx_strlen(words[i]);

            if ((size_t) (in->last - in->p) >= len
                && ngx_memcmp(in->p, words[i], len) == 0)
            {
                in->p += len;
                return value;
            }
        }

        return NULL;

    default:
        value->type = '0';
        return json_read_number(in, value) ? value : NULL;
    }
}


static ngx_uint_t
json_read_children(json_reader_t *in, json_value_t *value, ngx_uint_t depth)
{
    u_char         end;
    json_value_t  *child, *name, **link;

    end = (value->type == '{') ? '}' : ']';
    link = &value->first;
    in->p++;

    if (json_take(in, end)) {
        return 1;
    }

    do {
        name = NULL;

        if (value->type == '{') {
            json_skip(in);

            name = ngx_pcalloc(in->pool, sizeof(json_value_t));
            harness_check(name != NULL);
            name->type = '"';

            if (in->p == in->last || *in->p != '"'
                || !json_read_string(in, name) || !json_take(in, ':'))
            {
                return 0;
            }
        }

        child = json_read(in, depth + 1);

        if (child == NULL) {
            return 0;
        }

        child->name = name;
        *link = child;
        link = &child->next;

    } while (json_take(in, ','));

    return json_take(in, end);
}


static ngx_uint_t
json_read_string(json_reader_t *in, json_value_t *value)
{
    ngx_int_t  ch;

    value->chars = ngx_palloc(in->pool, (in->last - in->p) * sizeof(uint32_t));
    harness_check(value->chars != NULL);

    for (in->p++; in->p < in->last; /* void */) {

        if (*in->p == '"') {
            in->p++;
            return 1;
        }

        ch = (*in->p == '\\') ? json_read_escape(in) : json_read_utf8(in);

        if (ch < 0) {
            return 0;
        }

        /* two halves that follow each other are one character */

        if (value->n && ch >= 0xdc00 && ch <= 0xdfff
            && value->chars[value->n - 1] >= 0xd800
            && value->chars[value->n - 1] <= 0xdbff)
        {
            ch = 0x10000 + ((value->chars[--value->n] & 0x3ff) << 10)
                 + (ch & 0x3ff);
        }

        value->chars[value->n++] = (uint32_t) ch;
    }

    return 0;
}


static ngx_int_t
json_read_escape(json_reader_t *in)
{
    u_char       ch;
    const char  *p;

    static const char  from[] = "\"\\/bfnrt";
    static const char  to[] = "\"\\/\b\f\n\r\t";

    if (in->last - in->p < 2) {
        return -1;
    }

    ch = in->p[1];
    in->p += 2;

    if (ch == 'u') {
        return json_read_hex(in);
    }

    p = ch ? strchr(from, ch) : NULL;

    return p ? to[p - from] : -1;
}


static ngx_int_t
json_read_hex(json_reader_t *in)
{
    u_char      ch;
    ngx_int_t   value;
    ngx_uint_t  i;

    if (in->last - in->p < 4) {
        return -1;
    }

    value = 0;

    for (i = 0; i < 4; i++) {
        ch = *in->p++;

        if (!isxdigit(ch)) {
            return -1;
        }

        value = value * 16 + (isdigit(ch) ? ch - '0' : tolower(ch) - 'a' + 10);
    }

    return value;
}


static ngx_int_t
json_read_utf8(json_reader_t *in)
{
    u_char      ch;
    ngx_int_t   value;
    ngx_uint_t  i, more;

    ch = *in->p++;

    if (ch < 0x80) {
        return (ch < 0x20) ? -1 : ch;
    }

    more = (ch >= 0xf0) ? 3 : (ch >= 0xe0) ? 2 : 1;

    if (ch < 0xc2 || ch > 0xf4 || in->last - in->p < (ssize_t) more) {
        return -1;
    }

    value = ch & (0x3f >> more);

    for (i = 0; i < more; i++) {
        ch = *in->p++;

        if ((ch & 0xc0) != 0x80) {
            return -1;
        }

        value = value << 6 | (ch & 0x3f);
    }

    if (value < ((more == 1) ? 0x80 : (more == 2) ? 0x800 : 0x10000)
        || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
    {
        return -1;
    }

    return value;
}


static ngx_uint_t
json_read_number(json_reader_t *in, json_value_t *value)
{
    value->text.data = in->p;

    in->p += (*in->p == '-');

    if (in->p < in->last && *in->p == '0') {
        in->p++;

    } else if (!json_read_digits(in)) {
        return 0;
    }

    if (in->p < in->last && *in->p == '.') {
        in->p++;

        if (!json_read_digits(in)) {
            return 0;
        }
    }

    if (in->p < in->last && (*in->p == 'e' || *in->p == 'E')) {
        in->p++;

        if (in->p < in->last && (*in->p == '+' || *in->p == '-')) {
            in->p++;
        }

        if (!json_read_digits(in)) {
            return 0;
        }
    }

    value->text.len = in->p - value->text.data;

    return 1;
}


static ngx_uint_t
json_read_digits(json_reader_t *in)
{
    u_char  *p;

    for (p = in->p; p < in->last && isdigit(*p); p++) { /* void */ }

    if (p == in->p) {
        return 0;
    }

    in->p = p;

    return 1;
}


static void
json_skip(json_reader_t *in)
{
    while (in->p < in->last
           && (*in->p == ' ' || *in->p == '\t' || *in->p == CR
               || *in->p == LF))
    {
        in->p++;
    }
}


static ngx_uint_t
json_take(json_reader_t *in, u_char ch)
{
    json_skip(in);

    if (in->p == in->last || *in->p != ch) {
        return 0;
    }

    in->p++;

    return 1;
}


json_value_t *
json_find(json_value_t *object, const char *name)
{
    size_t         i, len;
    json_value_t  *child, *found;

    if (object == NULL || object->type != '{') {
        return NULL;
    }

    len = ngx_strlen(name);
    found = NULL;

    for (child = object->first; child; child = child->next) {

        for (i = 0; i < len && i < child->name->n; i++) {
            if (child->name->chars[i] != (u_char) name[i]) {
                break;
            }
        }

        if (i == len && child->name->n == len) {
            found = child;
        }
    }

    return found;
}


ngx_uint_t
json_repeats(json_value_t *value)
{
    json_value_t  *one, *two;

    for (one = value->first; one; one = one->next) {

        if (json_repeats(one)) {
            return 1;
        }

        for (two = one->next; one->name && two; two = two->next) {
            if (json_same(one->name, two->name)) {
                return 1;
            }
        }
    }

    return 0;
}


ngx_uint_t
json_odd(json_value_t *value)
{
    ngx_uint_t     i;
    json_value_t  *child;

    for (i = 0; i < value->n; i++) {
        if (value->chars[i] == 0
            || (value->chars[i] >= 0xd800 && value->chars[i] <= 0xdfff))
        {
            return 1;
        }
    }

    for (child = value->first; child; child = child->next) {
        if (json_odd(child) || (child->name && json_odd(child->name))) {
            return 1;
        }
    }

    return 0;
}


ngx_str_t
json_spell(ngx_pool_t *pool, json_value_t *value, harness_input_t *choice)
{
    size_t         size;
    ngx_str_t      text;
    json_buffer_t  out;

    size = 256 * 1024;

    out.p = ngx_pnalloc(pool, size);
    harness_check(out.p != NULL);

    out.last = out.p + size;
    text.data = out.p;

    json_write(&out, value, choice);

    text.len = out.p - text.data;

    return text;
}


static void
json_write(json_buffer_t *out, json_value_t *value, harness_input_t *choice)
{
    ngx_uint_t     i, j, n, turn;
    json_value_t  *child;

    json_write_space(out, choice);

    switch (value->type) {

    case '{':
    case '[':

        json_put(out, &value->type, 1);

        for (n = 0, child = value->first; child; child = child->next) {
            n++;
        }

        /* members begin anywhere */
        turn = (value->type == '{' && n) ? harness_byte(choice) % n : 0;

        for (i = 0; i < n; i++) {

            child = value->first;

            for (j = (i + turn) % n; j; j--) {
                child = child->next;
            }

            if (i) {
                json_put(out, ",", 1);
            }

            if (child->name) {
                json_write_space(out, choice);
                json_write_string(out, child->name, choice);
                json_write_space(out, choice);
                json_put(out, ":", 1);
            }

            json_write(out, child, choice);
        }

        json_put(out, (value->type == '{') ? "}" : "]", 1);
        break;

    case '"':
        json_write_string(out, value, choice);
        break;

    case '0':
        json_write_number(out, &value->text, harness_byte(choice));
        break;

    case 't':
        json_put(out, "true", 4);
        break;

    case 'f':
        json_put(out, "false", 5);
        break;

    default:
        json_put(out, "null", 4);
    }

    json_write_space(out, choice);
}


static void
json_write_space(json_buffer_t *out, harness_input_t *choice)
{
    static const char  space[] = " \t\r\n";

    json_put(out, space, harness_byte(choice) % 5);
}


static void
json_write_string(json_buffer_t *out, json_value_t *value,
    harness_input_t *choice)
{
    ngx_uint_t  i;

    json_put(out, "\"", 1);

    for (i = 0; i < value->n; i++) {
        json_write_char(out, value->chars[i], harness_byte(choice));
    }

    json_put(out, "\"", 1);
}


static void
json_write_char(json_buffer_t *out, uint32_t ch, u_char choice)
{
    char         text[16];
    u_char       utf8[4];
    const char  *p;

    static const char  from[] = "\"\\/\b\f\n\r\t";
    static const char  to[] = "\"\\/bfnrt";

    p = (ch && ch < 0x80) ? strchr(from, (int) ch) : NULL;

    if (p && (choice & 1)) {
        text[0] = '\\';
        text[1] = to[p - from];
        json_put(out, text, 2);
        return;
    }

    if (ch >= 0x10000 && (choice & 2)) {
        snprintf(text, sizeof(text), (choice & 4) ? "\\u%04x\\u%04X"
                                                  : "\\u%04X\\u%04x",
                 (unsigned) (0xd800 + ((ch - 0x10000) >> 10)),
                 (unsigned) (0xdc00 + ((ch - 0x10000) & 0x3ff)));
        json_put(out, text, 12);
        return;
    }

    if (ch < 0x20 || ch == '"' || ch == '\\' || (ch >= 0xd800 && ch <= 0xdfff)
        || (ch < 0x10000 && (choice & 2)))
    {
        snprintf(text, sizeof(text), (choice & 4) ? "\\u%04x" : "\\u%04X",
                 (unsigned) ch);
        json_put(out, text, 6);
        return;
    }

    if (ch < 0x80) {
        utf8[0] = ch;
        json_put(out, utf8, 1);

    } else if (ch < 0x800) {
        utf8[0] = 0xc0 | ch >> 6;
        utf8[1] = 0x80 | (ch & 0x3f);
        json_put(out, utf8, 2);

    } else if (ch < 0x10000) {
        utf8[0] = 0xe0 | ch >> 12;
        utf8[1] = 0x80 | (ch >> 6 & 0x3f);
        utf8[2] = 0x80 | (ch & 0x3f);
        json_put(out, utf8, 3);

    } else {
        utf8[0] = 0xf0 | ch >> 18;
        utf8[1] = 0x80 | (ch >> 12 & 0x3f);
        utf8[2] = 0x80 | (ch >> 6 & 0x3f);
        utf8[3] = 0x80 | (ch & 0x3f);
        json_put(out, utf8, 4);
    }
}


/* As it is, with zeros behind the point, or as digits and an exponent. */

static void
json_write_number(json_buffer_t *out, ngx_str_t *text, u_char choice)
{
    char         exponent[32];
    u_char      *digits;
    int64_t      power;
    ngx_uint_t   n, i;

    digits = ngx_alloc(text->len + 1, ngx_cycle->log);
    harness_check(digits != NULL);

    if (choice % 4 == 0 || !json_digits(text, digits, &n, &power)) {
        json_put(out, text->data, text->len);

    } else if (n == 0) {
        json_put(out, (choice & 4) ? "0.00e+7" : "-0", (choice & 4) ? 7 : 2);

    } else {

        if (text->data[0] == '-') {
            json_put(out, "-", 1);
        }

        if (choice % 4 == 1) {                      /* 1234e5 */
            json_put(out, digits, n);

        } else if (choice % 4 == 2) {               /* 1.2340e8 */
            json_put(out, digits, 1);
            json_put(out, ".", 1);
            json_put(out, digits + 1, n - 1);
            json_put(out, "0", 1);
            power += n - 1;

        } else {                                    /* 0.0001234E12 */
            json_put(out, "0.", 2);

            for (i = 0; i < (ngx_uint_t) choice >> 5; i++) {
                json_put(out, "0", 1);
            }

            json_put(out, digits, n);
            power += n + i;
        }

        if (power || (choice & 8)) {
            snprintf(exponent, sizeof(exponent), "%c%s%s%lld",
                     (choice & 4) ? 'E' : 'e',
                     (power >= 0 && (choice & 8)) ? "+" : "",
                     (power >= 0 && (choice & 16)) ? "00" : "",
                     (long long) power);
            json_put(out, exponent, ngx_strlen(exponent));
        }
    }

    ngx_free(digits);
}


/* The digits without zeros at either end, and the power of ten of the last.
 * 0: the exponent is beyond what is compared by value. */

static ngx_uint_t
json_digits(ngx_str_t *text, u_char *digits, ngx_uint_t *n, int64_t *power)
{
    size_t      i;
    int64_t     exponent;
    ngx_uint_t  point, minus;

    *n = 0;
    *power = 0;
    point = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] == '.') {
            point = 1;

        } else if (isdigit(text->data[i])) {

            if (*n || text->data[i] != '0') {
                digits[(*n)++] = text->data[i];
            }

            *power -= point;

        } else if (text->data[i] != '-') {
            break;
        }
    }

    while (*n && digits[*n - 1] == '0') {
        (*n)--;
        (*power)++;
    }

    exponent = 0;
    minus = 0;

    for ( /* void */ ; i < text->len; i++) {

        if (text->data[i] == '-') {
            minus = 1;

        } else if (isdigit(text->data[i])) {

            if (exponent > 1000000000000) {
                return *n == 0;
            }

            exponent = exponent * 10 + (text->data[i] - '0');
        }
    }

    *power += minus ? -exponent : exponent;

    return 1;
}


ngx_uint_t
json_change(ngx_pool_t *pool, json_value_t *value, harness_input_t *choice)
{
    uint32_t       ch, *chars;
    ngx_uint_t     n, at;
    json_value_t  *child;

    for (n = 0, child = value->first; child; child = child->next) {
        n++;
    }

    at = harness_byte(choice);

    /* within one of its children */

    if (n && at % 4) {

        for (child = value->first; at % n; at--) {
            child = child->next;
        }

        if (child->name && (harness_byte(choice) & 1)) {
            return json_change(pool, child->name, choice);
        }

        return json_change(pool, child, choice);
    }

    switch (value->type) {

    case '"':
        chars = ngx_palloc(pool, (value->n + 1) * sizeof(uint32_t));
        harness_check(chars != NULL);

        if (value->n) {
            ngx_memcpy(chars, value->chars, value->n * sizeof(uint32_t));
        }

        value->chars = chars;
        ch = 'a' + at % 26;

        if (value->n == 0 || at < 64) {
            chars[value->n++] = ch;

        } else {
            at %= value->n;
            chars[at] = (chars[at] == ch) ? 'A' : ch;
        }

        return 1;

    case '0':
        if (value->text.len == 2 && ngx_memcmp(value->text.data, "42", 2) == 0)
        {
            ngx_str_set(&value->text, "43");

        } else {
            ngx_str_set(&value->text, "42");
        }

        return 1;

    case '{':
    case '[':

        /* one child less, or another type of an empty one */

        if (n) {
            value->first = value->first->next;

        } else {
            value->type = 'n';
        }

        return 1;

    case 't':
        value->type = 'f';
        return 1;

    default:
        value->type = 't';
        return 1;
    }
}


ngx_uint_t
json_same(json_value_t *one, json_value_t *two)
{
    u_char        *a, *b;
    int64_t        power_a, power_b;
    ngx_uint_t     n, m, known_a, known_b, same;
    json_value_t  *child, *other;

    if (one->type != two->type) {
        return 0;
    }

    switch (one->type) {

    case '"':
        return one->n == two->n
               && (one->n == 0 || ngx_memcmp(one->chars, two->chars,
                                             one->n * sizeof(uint32_t)) == 0);

    case '0':
        a = ngx_alloc(one->text.len + 1, ngx_cycle->log);
        b = ngx_alloc(two->text.len + 1, ngx_cycle->log);
        harness_check(a && b);

        known_a = json_digits(&one->text, a, &n, &power_a);
        known_b = json_digits(&two->text, b, &m, &power_b);

        if (known_a && known_b) {
            same = n == m && ngx_memcmp(a, b, n) == 0
                   && (n == 0 || (power_a == power_b
                                  && (one->text.data[0] == '-')
                                     == (two->text.data[0] == '-')));

        } else {
            same = harness_equal(&one->text, &two->text);
        }

        ngx_free(a);
        ngx_free(b);

        return same;

    case '[':
        for (child = one->first, other = two->first;
             child && other;
             child = child->next, other = other->next)
        {
            if (!json_same(child, other)) {
                return 0;
            }
        }

        return child == NULL && other == NULL;

    case '{':
        for (n = 0, child = one->first; child; child = child->next, n++) {

            for (other = two->first; other; other = other->next) {
                if (json_same(child->name, other->name)) {
                    break;
                }
            }

            if (other == NULL || !json_same(child, other)) {
                return 0;
            }
        }

        for (m = 0, other = two->first; other; other = other->next) {
            m++;
        }

        return n == m;

    default:
        return 1;
    }
}


static void
json_put(json_buffer_t *out, const void *data, size_t len)
{
    harness_check((size_t) (out->last - out->p) >= len);

    out->p = ngx_cpymem(out->p, data, len);
}
