
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_digits.h"


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
