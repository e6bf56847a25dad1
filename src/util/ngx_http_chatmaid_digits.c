
/*
 * Copyright (C) the ngx_http_chatmaid_module authors
 */


#include "ngx_http_chatmaid_digits.h"


u_char *
ngx_http_chatmaid_digits_decimal(u_char *p, uint64_t number)
{
    u_char  digits[NGX_INT64_LEN], *first, *last;

    last = digits + sizeof(digits);
    first = last;

    do {
        *--first = (u_char) ('0' + number % 10);
        number /= 10;
    } while (number);

    return ngx_cpymem(p, first, last - first);
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
