#!/bin/sh
#
# page_strings.sh FILE... > HEADER.h
#
# Makes of each file a macro NGX_HTTP_CHATMAID_PAGE_EXTENSION, a C string.

set -e

echo '/* Made by page_strings.sh from the page in src/status. */'

for file
do
    name=$(printf '%s' "${file##*.}" | tr '[:lower:]' '[:upper:]')

    printf '\n#define NGX_HTTP_CHATMAID_PAGE_%s \\\n' "$name"

    sed -e 's/[\\"]/\\&/g' -e 's/.*/    "&\\n" \\/' "$file"
done

echo
