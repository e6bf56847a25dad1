#!/bin/sh
#
# lua_strings.sh FILE.lua... > HEADER.h
#
# Makes of each script a macro NGX_HTTP_CHATMAID_FILE_LUA, a C string.  Lines
# that are only a comment, empty lines and indentation are left out: they need
# not travel to Redis.

set -e

echo '/* Made by lua_strings.sh from the scripts of src/store. */'

for file
do
    name=$(basename "$file" .lua | tr '[:lower:]' '[:upper:]')

    printf '\n#define NGX_HTTP_CHATMAID_%s_LUA \\\n' "$name"

    sed -e '/^ *--/d' -e '/^ *$/d' -e 's/^ *//' -e 's/[\\"]/\\&/g' \
        -e 's/.*/    "&\\n" \\/' "$file"
done

echo
