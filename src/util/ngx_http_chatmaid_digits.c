
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_digits.h"


static ngx_int_t ngx_http_chatmaid_digits_value(u_char ch);


u_char *
ngx_http_chatmaid_digits_decimal(u_char *p, uint64_t number)
{
    u_char    *last;
    uint64_t   n;

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
    const u_char  *last;

    static const u_char  digits[] = "0123456789abcdef";

    for (last = data + len; data < last; data++) {
        *p++ = digits[*data >> 4];
        *p++ = digits[*data & 0xf];
    }

    return p;
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
