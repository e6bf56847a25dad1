# Read by nginx's configure when it has written the Makefile, and added to it:
# the Lua scripts as C strings, made anew when a script has changed.

cat << END >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_chatmaid_lua.h: \\
		$ngx_addon_dir/src/store/lua_strings.sh \\
		$ngx_addon_dir/src/store/*.lua
	sh $ngx_addon_dir/src/store/lua_strings.sh \\
		$ngx_addon_dir/src/store/*.lua > \$@.new
	mv \$@.new \$@

END

# The status page likewise.

cat << END >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_chatmaid_page.h: \\
		$ngx_addon_dir/src/status/page_strings.sh \\
		$ngx_addon_dir/src/status/page.css \\
		$ngx_addon_dir/src/status/page.html \\
		$ngx_addon_dir/src/status/page.js
	sh $ngx_addon_dir/src/status/page_strings.sh \\
		$ngx_addon_dir/src/status/page.css \\
		$ngx_addon_dir/src/status/page.html \\
		$ngx_addon_dir/src/status/page.js > \$@.new
	mv \$@.new \$@

END
