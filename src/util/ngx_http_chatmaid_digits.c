
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_digits.h"


/* The texts of the sixteen bytes whose first digit is d. */
#define NGX_HTTP_CHATMAID_DIGITS_HEX(d)                                       \
    d "0" d "1" d "2" d "3" d "4" d "5" d "6" d "7"                           \
    d "8" d "9" d "a" d "b" d "c" d "d" d "e" d "f"


static ngx_int_t ngx_http_chatmaid_digits_value(u_char ch);


/* Most numbers are lengths of one or two digits, so these are fast. */

u_char *
ngx_http_chatmaid_digits_decimal(u_char *p, uint64_t number)
{
    u_char    *last;
    uint64_t   n;

    if (number < 100) {

        if (number >= 10) {
            *p++ = (u_char) ('0' + number / 10);
        }

        *p++ = (u_char) ('0' + number % 10);

        return p;
    }

    last = p + 1;

    for (n = number; n >= 10; n /= 10) {
        last++;
    }

    p = last;

    do {
        *--p = (u_char) ('0' + number % 10);
        number /= 10;
    } while (number);

    return last;
}


u_char *
ngx_http_chatmaid_digits_hex(u_char *p, const u_char *data, size_t len)
{
    size_t  i, byte;

    static const char  bytes[] =
        NGX_HTTP_CHATMAID_DIGITS_HEX("0") NGX_HTTP_CHATMAID_DIGITS_HEX("1")
        NGX_HTTP_CHATMAID_DIGITS_HEX("2") NGX_HTTP_CHATMAID_DIGITS_HEX("3")
        NGX_HTTP_CHATMAID_DIGITS_HEX("4") NGX_HTTP_CHATMAID_DIGITS_HEX("5")
        NGX_HTTP_CHATMAID_DIGITS_HEX("6") NGX_HTTP_CHATMAID_DIGITS_HEX("7")
        NGX_HTTP_CHATMAID_DIGITS_HEX("8") NGX_HTTP_CHATMAID_DIGITS_HEX("9")
        NGX_HTTP_CHATMAID_DIGITS_HEX("a") NGX_HTTP_CHATMAID_DIGITS_HEX("b")
        NGX_HTTP_CHATMAID_DIGITS_HEX("c") NGX_HTTP_CHATMAID_DIGITS_HEX("d")
        NGX_HTTP_CHATMAID_DIGITS_HEX("e") NGX_HTTP_CHATMAID_DIGITS_HEX("f");

    for (i = 0; i < len; i++) {
        byte = data[i];
        ngx_memcpy(&p[2 * i], &bytes[2 * byte], 2);
    }

    return p + 2 * len;
}


ngx_int_t
ngx_http_chatmaid_digits_from_hex(u_char *data, const u_char *p, size_t len)
{
    u_char     *last;
    ngx_int_t   high, low;

    for (last = data + len; data < last; p += 2) {
        high = ngx_http_chatmaid_digits_value(p[0]);
        low = ngx_http_chatmaid_digits_value(p[1]);

        if (high < 0 || low < 0) {
            return NGX_ERROR;
        }

        *data++ = (u_char) (high << 4 | low);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_chatmaid_digits_value(u_char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    return (ch >= 'a' && ch <= 'f') ? ch - 'a' + 10 : NGX_ERROR;
}
