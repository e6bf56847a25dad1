# Directives: what nginx -t says about wrong ones, and what it lets through.

use Chatmaid::Test;
use Chatmaid::Test::Conf;
use POSIX qw(mkfifo);

my $api = sandbox;                     # never called: -t makes no connection
my ($a, $b, $alive) = (api_key('test'), api_key('test'), api_key('live'));

# A location beside /chatmaid/, which itself is fine.
sub with ($gateway, @option)  { nginx_t(gateway => $gateway, @option) }
sub beside ($server, @option) { nginx_t(server => $server, @option) }


subtest 'what the key file holds' => sub {
    my %wrong = (
        'empty'                   => ['',                qr/empty/],
        'white space'             => [" \r\n\n\t ",      qr/empty/],
        'two lines'               => ["$a\n$b\n",        qr/more than one line/],
        'an empty line first'     => ["\n$a\n",          qr/more than one line/],
        'a comment line'          => ["# key\n$a\n",     qr/more than one line/],
        'lines of CR'             => ["$a\r$b",          qr/more than one line/],
        'another prefix'          => ['pk_' . substr($a, 3), qr/sk_test_.*sk_live_/],
        'a prefix in upper case'  => [uc $a,             qr/sk_test_.*sk_live_/],
        'whsec'                   => ['whsec_' . 'x' x 24, qr/sk_test_.*sk_live_/],
        'only the prefix'         => ['sk_test_',        qr/sk_test_.*sk_live_/],
        'the live prefix'         => ["sk_live_\n",      qr/sk_test_.*sk_live_/],
        'something before'        => ["x$a",             qr/sk_test_.*sk_live_/],
        'a space before'          => [" $a",             qr/./],
        'a space within'          => ["sk_test_a b",     qr/./],
        'a NUL'                   => ["$a\0",            qr/NUL/],
        'a NUL, then more'        => ["$a\0\n",          qr/./],
        'a header within'         => ["sk_test_a\r\nX: y", qr/more than one line/],
        'not ASCII'               => ["sk_test_\xc3\xa9t\xc3\xa9", qr/./],
        'a byte order mark'       => ["\xef\xbb\xbf$a",  qr/begins with a byte order mark: save it as plain ASCII/],
        'UTF-16'                  => [join('', "\xff\xfe", map { "$_\0" } split //, $a), qr/begins with a byte order mark: save it as plain ASCII/],
        '4097 bytes'              => [$a . ' ' x (4097 - length $a), qr/4096/],
        '1 MiB'                   => ['sk_test_' . 'x' x 1048576, qr/4096/],
    );
    for my $name (sort keys %wrong) {
        my ($text, $pattern) = @{$wrong{$name}};
        refused($name, qr{chatmaid_api_key_file.*/k".*$pattern|chatmaid_api_key_file.*$pattern.*/k"},
            with('chatmaid_api_key_file %DIR%/k;', files => {k => $text}));
    }
    my %right = ('without a line feed' => $a, 'with one' => "$a\n", 'with CR LF' => "$a\r\n",
        'with more white space' => "$a \t\r\n\n \x0b\x0c", 'of 4096 bytes' => $a . "\n" x (4096 - length $a),
        'live' => $alive, 'short' => 'sk_test_x');
    fine("a key $_", with('chatmaid_api_key_file %DIR%/k;', files => {k => $right{$_}})) for sort keys %right;
};

subtest 'what is no key file' => sub {
    my $top = dir;
    mkdir "$top/directory";
    mkfifo("$top/fifo", 0600) or die "mkfifo: $!";
    symlink "$top/nowhere", "$top/dangling";
    my %wrong = (
        'missing'         => ["$top/missing",   qr/No such file/],
        'a directory'     => ["$top/directory", qr/regular file|is a directory/],
        'a FIFO'          => ["$top/fifo",      qr/regular file/],
        'a device'        => ['/dev/zero',      qr/regular file/],
        'a dangling link' => ["$top/dangling",  qr/No such file/],
        'below a file'    => ["$top/fifo/x",    qr/Not a directory/],
    );
    for my $name (sort keys %wrong) {
        my ($path, $pattern) = @{$wrong{$name}};
        refused($name, qr/"chatmaid_api_key_file".*"\Q$path\E".*$pattern/s, with("chatmaid_api_key_file $path;"));
    }
    refused('an empty name', qr/chatmaid_api_key_file/, with('chatmaid_api_key_file "";'));

    spurt("$top/real", "$a\n");
    symlink "$top/real", "$top/link";
    fine('a symbolic link', with("chatmaid_api_key_file $top/link;"));
    spurt("$top/nginx-rel", "$a\n");
    fine('a relative name', with('chatmaid_api_key_file k;', files => {k => $a}));
};

subtest 'mode of the key file' => sub {
    my $file = dir . '/mode';
    for my $mode (0600, 0400, 0640, 0440) {
        spurt($file, $a, $mode);
        fine(sprintf('mode %04o', $mode), with("chatmaid_api_key_file $file;"));
    }
    for my $mode (0644, 0604, 0660, 0620, 0602, 0601, 0637, 0666) {
        spurt($file, $a, $mode);
        my ($code, $out) = with("chatmaid_api_key_file $file;");
        my $name = sprintf 'mode %04o', $mode;
        is($code, 0, "$name: taken");
        like(said($out, 'warn'), qr/\[warn\].*"chatmaid_api_key_file".*"\Q$file\E".*$name.*chmod 600 \Q$file\E in/, "$name: a warning");
        unlike($out, qr/\Q$a\E/, "$name: without the secret");
    }
    symlink $file, "$file-link";
    like(said((with("chatmaid_api_key_file $file-link;"))[1], 'warn'), qr/0666/, "a link: its target's mode");
};

subtest 'wrong directives' => sub {
    my $g     = 'chatmaid_gateway /.chatmaid/;';
    my @table = (
        # gateway options (/chatmaid/), what is said
        ['chatmaid_environment live;',           qr/"chatmaid_environment".*live.*api_key".*test/],
        ['chatmaid_environment prod;',           qr/"chatmaid_environment": invalid value "prod", there are "test", "live" and "any" in/],
        ['chatmaid_environment Live;',           qr/invalid value "Live"/],
        ['chatmaid_environment;',                qr/"chatmaid_environment"/],
        ['chatmaid_scope messages:write;',       qr/"chatmaid_scope": invalid value "messages:write", there are "messages:send", "messages:read", "phone_numbers:read" and "account:read" in/],
        ['chatmaid_scope messages:send nothing;', qr/invalid value "nothing"/],
        ['chatmaid_recipients none;',            qr/"chatmaid_recipients": invalid value "none", there are "checked" and "any"/],
        ['chatmaid_recipients;',                 qr/"chatmaid_recipients"/],
        ['chatmaid_recipients checked any;',     qr/"chatmaid_recipients"/],
        ['chatmaid_scope;',                      qr/"chatmaid_scope"/],
        ['chatmaid_sender;',                     qr/"chatmaid_sender"/],
        ['chatmaid_sender "";',                  qr/"chatmaid_sender".*empty/],
        ['chatmaid_sender +1 Fixed;',            qr/"chatmaid_sender".*"Fixed"/],
        ['chatmaid_sender +1 fixed fixed;',      qr/"chatmaid_sender"/],
        ['chatmaid_account;',                    qr/"chatmaid_account"/],
        ['chatmaid_account a b;',                qr/"chatmaid_account"/],
        ["chatmaid_account \"a\nb\";",           qr/"chatmaid_account".*control/],
        ['chatmaid_gateway;',                    qr/"chatmaid_gateway"/],
        ['chatmaid_gateway .chatmaid/;',         qr/"chatmaid_gateway".*"\.chatmaid\/"/],
        ['chatmaid_gateway /.chatmaid;',         qr/"chatmaid_gateway".*"\/\.chatmaid"/],
        ['chatmaid_gateway "";',                 qr/"chatmaid_gateway"/],
        ['chatmaid_gateway https://a.example/;', qr/"chatmaid_gateway".*"https:/],
        ['chatmaid_gateway /chatmaid/;',         qr/"chatmaid_gateway".*itself/],
        ['chatmaid_gateway /a/ /b/;',            qr/"chatmaid_gateway"/],
    );
    refused($_->[0] =~ s/\n/\\n/r, $_->[1], with($_->[0])) for @table;

    my ($code, $out) = with('chatmaid_sender $nosuch;');
    is($code, 1, 'an unknown variable: refused');
    like($out, qr/\[emerg\].*"nosuch" variable/, 'an unknown variable: nginx says so, not where');

    my %twice = (chatmaid_api_key_file => '%DIR%/api_key', chatmaid_environment => 'any',
        chatmaid_account => 'a', chatmaid_sender => '+15550100001', chatmaid_recipients => 'any',
        chatmaid_gateway => '/.chatmaid/');
    for my $name (sort keys %twice) {
        my $text = ($name eq 'chatmaid_gateway' ? '' : $g) . "$name $twice{$name};" x 2;
        refused("$name twice", qr/"$name" directive is duplicate/, beside("location /two/ { $text }"));
    }
    refused('chatmaid_account "" twice', qr/"chatmaid_account"/, with('chatmaid_account ""; chatmaid_account "";'));
};

subtest 'places' => sub {
    my %place = (
        'exact'              => 'location = /x/ { %s }',
        'regular expression' => 'location ~ ^/x/ { %s }',
        'regex, any case'    => 'location ~* /x/$ { %s }',
        'named'              => 'location @x { %s }',
        'not ending in /'    => 'location /x { %s }',
        'beside proxy_pass'  => 'location /x/ { %s proxy_pass http://127.0.0.1:1/; }',
        'behind proxy_pass'  => 'location /x/ { proxy_pass http://127.0.0.1:1/; %s }',
        'beside fastcgi'     => 'location /x/ { %s fastcgi_pass 127.0.0.1:1; }',
        'beside empty_gif'   => 'location /x/ { %s empty_gif; }',
        'beside stub_status' => 'location /x/ { stub_status; %s }',
    );
    refused($_, qr/"chatmaid_gateway"/, beside(sprintf $place{$_}, 'chatmaid_gateway /.chatmaid/;'))
        for sort keys %place;

    refused('a gateway in http',   qr/"chatmaid_gateway" directive is not allowed/, nginx_t(http => 'chatmaid_gateway /.chatmaid/;'));
    refused('a gateway in server', qr/"chatmaid_gateway" directive is not allowed/, beside('chatmaid_gateway /.chatmaid/;'));
    refused('a gateway in "if"',   qr/"chatmaid_gateway" directive is not allowed/,
        beside('location /x/ { if ($arg_a) { chatmaid_gateway /.chatmaid/; } }'));
    my %any = (chatmaid_api_key_file => '%DIR%/api_key', chatmaid_environment => 'test', chatmaid_account => 'a',
        chatmaid_sender => '+15550100001', chatmaid_recipients => 'any', chatmaid_scope => 'messages:send account:read');
    for my $name (sort keys %any) {
        my $line = "$name $any{$name};";
        refused("$name in main", qr/"$name" directive is not allowed/, nginx_t(main => $line));
        refused("$name in upstream", qr/"$name" directive is not allowed/, nginx_t(upstream => $line));
        fine("$name in http", nginx_t(http => $line));
        fine("$name in server", beside($line));
        fine("$name in location", with($line));
    }
    fine('a nested location', beside('location /x/ { location /x/y/ { chatmaid_gateway /.chatmaid/; } }'));
    fine('a plain prefix',    beside('location /x/ { chatmaid_gateway /.chatmaid/; }'));
    fine('the root',          beside('location / { chatmaid_gateway /.chatmaid/; }'));
    fine('proxy directives',  with('proxy_read_timeout 1s; limit_except POST GET { deny all; }'));
};

subtest 'keys and accounts' => sub {
    my $locations = sub (@more) {
        my $n = 0;
        return (gateway => '', http => '-chatmaid_api_key_file;', server => join "\n",
            map { "location /l" . $n++ . "/ { chatmaid_gateway /.chatmaid/; $_ }" } @more);
    };
    my ($ka, $kb, $kl, $same) = map { "chatmaid_api_key_file %DIR%/$_;" } qw(a b live same);
    my @files = (files => {a => $a, b => $b, live => $alive, same => "$a\n"}, gateway => "$ka chatmaid_account main;");
    my $try   = sub (@more) { nginx_t($locations->(@more), @files) };

    my @out = $try->("$ka chatmaid_account x;", '');
    refused('no key', qr/"chatmaid_gateway".*"\/l1\/".*"chatmaid_api_key_file"/, @out);
    like(line_of($out[1]), qr/location \/l1\//, 'the line of the location');
    refused('test, but live is wanted', qr/"chatmaid_environment".*\/a".*test/, $try->("$ka chatmaid_environment live;"));
    refused('live, but test is wanted', qr/"chatmaid_environment".*\/live".*live/, $try->("$kl chatmaid_environment test;"));
    refused('environment from above', qr/"chatmaid_environment".*\/live".*live/,
        nginx_t($locations->($kl), @files, http => '-chatmaid_api_key_file; chatmaid_environment test;'));
    fine('environments', $try->("$ka chatmaid_account x; chatmaid_environment test;", "$kl chatmaid_environment live;",
        "$kl chatmaid_environment any;"));
    refused('two keys of one name', qr/"chatmaid_account".*"x".*test.*\/a".*\/b"/,
        $try->("$ka chatmaid_account x;", "$kb chatmaid_account x;"));
    refused('two keys without a name', qr/"chatmaid_account".*""/, $try->($ka, $kb));
    refused('two keys in two servers', qr/"chatmaid_account".*"x"/, nginx_t(@files, gateway => "$ka chatmaid_account x;",
        servers => "server { listen 127.0.0.1:%PORT:two%; location /x/ { chatmaid_gateway /i/; $kb chatmaid_account x; } location /i/ { internal; } }"));
    fine('the same key twice', $try->("$ka chatmaid_account x;", "$same chatmaid_account x;", "$ka chatmaid_account x;"));
    fine('test and live of one name', $try->("$ka chatmaid_account x;", "$kl chatmaid_account x;"));
    fine('two keys of two names', $try->("$ka chatmaid_account x;", "$kb chatmaid_account X;"));
    fine('a name for one location, none above', $try->("$ka chatmaid_account x;", "$kb chatmaid_account '';"));
};

# Calls go to /.i/, whose block is that of one line.
sub internal ($text, %option) {
    my $gateway = delete $option{gateway} // '';
    return nginx_t(gateway => "chatmaid_gateway /.i/; $gateway", server => "\nlocation ^~ /.i/ {\n$text\n}", %option);
}

subtest 'the internal location' => sub {
    my $pass = 'proxy_pass http://127.0.0.1:1/;';
    my %none = (
        'missing'              => ['chatmaid_gateway /nowhere/;', ''],
        'a shorter one'        => ['chatmaid_gateway /.chatmaid/x/;', ''],
        'a regular expression' => ['chatmaid_gateway /re/;',      "location ~ ^/re/ { internal; proxy_pass http://127.0.0.1:1; }"],
        'of another server'    => ['chatmaid_gateway /there/;',   ''],
    );
    my $other = "server { listen 127.0.0.1:%PORT:other%; location /there/ { internal; $pass } }";
    for my $name (sort keys %none) {
        my ($gateway, $server) = @{$none{$name}};
        my ($code, $out) = nginx_t(gateway => $gateway, server => $server, servers => $other);
        my ($uri) = $gateway =~ m{ (/\S+/)};
        refused($name, qr/"chatmaid_gateway".*"\Q$uri\E".*this server does not have/, $code, $out);
        like(line_of($out), qr/\Q$gateway\E/, "$name: the line of the gateway");
    }

    my $no_host = qr/no "proxy_pass" to an upstream block or a literal host/;
    my $no_uri  = qr/"proxy_pass" has no URI, only a host: append "\/"/;
    my $path    = qr/"proxy_pass" has a path behind its host/;
    my $own     = qr/sets an "Authorization" of its own/;
    my %wrong   = (
        'not internal'            => [$pass, qr/is not internal/],
        'nothing in it'           => ['internal;', $no_host],
        'a file'                  => ['internal; root %DIR%;', $no_host],
        'fastcgi_pass'            => ['internal; fastcgi_pass 127.0.0.1:1;', $no_host],
        "a variable's host"       => ['internal; set $peer 127.0.0.1:1; proxy_pass https://$peer/;', $no_host],
        "a variable's upstream"   => ['internal; set $peer chatmaid_api; proxy_pass https://$peer/;', $no_host],
        "a variable's URL"        => ['internal; set $to http://127.0.0.1:1/; proxy_pass $to;', $no_host],
        "a variable's path"       => ['internal; proxy_pass http://127.0.0.1:1/$arg_a;', $no_host],
        'only a host'             => ['internal; proxy_pass http://127.0.0.1:1;', $no_uri],
        'only an upstream'        => ['internal; proxy_pass https://chatmaid_api;', $no_uri],
        'only an address'         => ['internal; proxy_pass https://[::1]:1;', $no_uri],
        'only a socket'           => ['internal; proxy_pass http://unix:/tmp/x;', $no_uri],
        'HTTPS in upper case'     => ['internal; proxy_pass HTTPS://chatmaid_api;', $no_uri],
        'a path'                  => ['internal; proxy_pass https://chatmaid_api/v1/;', $path],
        'a path without a slash'  => ['internal; proxy_pass https://chatmaid_api/v1;', $path],
        'two slashes'             => ['internal; proxy_pass https://chatmaid_api//;', $path],
        'a query'                 => ['internal; proxy_pass "https://chatmaid_api/?a=1";', $path],
        'a query and no path'     => ['internal; proxy_pass "https://chatmaid_api?a=1";', $path],
        'a path behind a socket'  => ['internal; proxy_pass http://unix:/tmp/x:/v1/;', $path],
        'an Authorization'        => ["internal; $pass proxy_set_header Authorization 'Bearer x';", $own],
        'another spelling'        => ["internal; $pass proxy_set_header X-A 1; proxy_set_header aUTHORIZATION x;", $own],
        'no body'                 => ["internal; $pass proxy_pass_request_body off;", qr/"proxy_pass_request_body" is off/],
        'no headers'              => ["internal; $pass proxy_pass_request_headers off;", qr/"proxy_pass_request_headers" is off/],
        'a limit_except'          => ["internal; $pass limit_except GET POST { deny all; }", qr/"limit_except"/],
        'a return'                => ["internal; $pass return 200;", qr/"return"/],
        'a return behind others'  => ["internal; $pass set \$a 1; if (\$a) { set \$b 2; } return 200 x;", qr/"return"/],
    );
    for my $name (sort keys %wrong) {
        my ($code, $out) = internal($wrong{$name}[0]);
        refused($name, qr/"chatmaid_gateway".*"\/chatmaid\/".*"\/\.i\/".*$wrong{$name}[1]/, $code, $out);
        like(line_of($out), qr/location \^~ \/\.i\/ \{/, "$name: the line of the location");
    }
    refused("a header of the server's", $own, internal("internal; $pass", http => 'proxy_set_header Authorization x;', internal => 'proxy_set_header Authorization "";'));
    refused("a body that http takes away", qr/"proxy_pass_request_body" is off/,
        internal("internal; $pass", http => 'proxy_pass_request_body off;', internal => 'proxy_pass_request_body on;'));

    my ($known) = nginx_t(server => 'proxy_http_version 2;');
    SKIP: {
        skip 'an nginx without it', 2 if $known;
        refused('proxy_http_version 2', qr/"proxy_http_version" is 2/, internal("internal; $pass proxy_http_version 2;"));
    }

    my @live = (gateway => 'chatmaid_api_key_file %DIR%/live; chatmaid_account l;', files => {live => $alive});
    my $tls  = 'internal; proxy_pass https://chatmaid_api/; proxy_ssl_trusted_certificate %CA%;';
    refused('a live key in the clear', qr/"proxy_ssl_verify" is off.*live key/, internal("internal; $pass", @live));
    refused('in the clear, to be verified', qr/"proxy_pass" has no TLS.*live key/, internal("internal; $pass proxy_ssl_trusted_certificate %CA%; proxy_ssl_verify on;", @live));
    refused('a live key, not verified', qr/"proxy_ssl_verify" is off.*live key/, internal($tls, @live));
    refused('a live key, verify off', qr/"proxy_ssl_verify" is off.*live key/, internal("$tls proxy_ssl_verify off;", @live, http => 'proxy_ssl_verify on; proxy_ssl_trusted_certificate %CA%;'));
    fine('a live key, verified', internal("$tls proxy_ssl_verify on;", @live));
    fine('a live key, verified by what http says', internal($tls, @live, http => 'proxy_ssl_verify on; proxy_ssl_trusted_certificate %CA%;'));

    fine($_->[0], internal("internal; $_->[1]")) for ['a test key in the clear', $pass], ['a test key, not verified', 'proxy_pass https://chatmaid_api/;'],
        ['a socket', 'proxy_pass http://unix:/tmp/x:/;'], ['an address', 'proxy_pass https://[::1]:1/;'],
        ['an Authorization that is none', "$pass proxy_set_header Authorization '';"],
        ['one that may be none', "$pass proxy_set_header Authorization \$arg_a;"],
        ['a return in an if', "$pass if (\$arg_a) { return 403; }"], ['a return behind a break', "$pass break; return 403;"],
        ['a method of its own', "proxy_method POST; $pass"];
    fine('named before it stands', beside("location /before/ { chatmaid_gateway /.zz/; } location /.zz/ { internal; $pass }"));
    fine('within another location', with('chatmaid_gateway /a/b/;', server => "location /a/ { location /a/b/ { internal; $pass } }"));
    fine('many', with('chatmaid_gateway /i7/;', server => join '', map { "location /i$_/ { internal; $pass }" } 1 .. 20));
};

# Warnings, each with its line; nginx starts all the same.
subtest 'what is unlikely' => sub {
    my $return = qr/"chatmaid_gateway".*"\/x\/".*"return" of its/;
    warned('return',           qr/$return location/, beside('location /x/ { chatmaid_gateway /.chatmaid/; return 200; }'));
    warned('return, first',    qr/$return location/, beside('location /x/ { return 404; chatmaid_gateway /.chatmaid/; }'));
    warned('behind a rewrite', qr/$return location/, beside('location /x/ { rewrite ^/x/y /z last; return 403; chatmaid_gateway /.chatmaid/; }'));
    warned("the server's",     qr/$return server/,   beside('return 301 /y; location /x/ { chatmaid_gateway /.chatmaid/; }'));
    fine('a return in an if',  beside('if ($arg_a) { return 403; } location /x/ { chatmaid_gateway /.chatmaid/; if ($arg_b) { return 403 no; } }'));

    warned("a sender: $_", qr/"chatmaid_sender": "\Q$_\E" is no number in E\.164 form/, with(qq{chatmaid_sender "$_";}))
        for '15550100001', '+1 555 0100001', '+0555010001', '+1555010000123456', '+1', 'front desk', '66a2f0c4d1e5b7a890123456';
    fine("a sender: $_", with("chatmaid_sender $_;")) for '+15550100001', '+441632960001', '+123456789012345', '$arg_a', '+1555$arg_a';
};

# Whatever is in the place of another thing, a secret is not shown.
subtest 'a secret in the configuration' => sub {
    my $hook = secret('whsec_pasted-0123456789abcdef');
    my $path = qr/takes the path of a file, not the key itself/;
    my $none = qr/takes no key and no secret/;
    for my $secret ($a, $alive, $hook) {
        my @table = (
            ['chatmaid_api_key_file %s;',                   $path],
            ['chatmaid_api_key_file " %s";',                $path],
            [q{chatmaid_api_key_file "'%s'";},              $path],
            ['chatmaid_webhook_secret_file %s;',            $path],
            ['chatmaid_environment %s;',                    $none],
            ['chatmaid_account %s;',                        $none],
            ['chatmaid_sender %s;',                         $none],
            ['chatmaid_sender +15550100001 %s;',            $none],
            ['chatmaid_scope messages:send %s;',            $none],
            ['chatmaid_gateway %s;',                        $none],
            ['chatmaid_idempotency %s;',                    $none],
            ['chatmaid_webhook %s;',                        $none],
            ['chatmaid_webhook_stream %s;',                 $none],
            ['chatmaid_webhook_stream inbox %s;',           $none],
            ['chatmaid_webhook_stream inbox maxlen=%s;',    qr/"maxlen="/],
            (map { ["$_ %s;", qr/"$_" directive/] } qw(chatmaid_retries chatmaid_timeout chatmaid_idempotency_ttl chatmaid_webhook_dedup)),
        );
        for my $row (@table) {
            my ($code, $out) = with(sprintf $row->[0], $secret);
            refused($row->[0] =~ s/%s/substr $secret, 0, 6/er, $row->[1], $code, $out);
        }
        for my $row (['chatmaid_zone %s:8m;', $none], ['chatmaid_redis %s;', $none], ['chatmaid_redis redis://127.0.0.1 %s;', $none],
            ['chatmaid_redis redis://127.0.0.1 password_file=%s;', qr/"password_file=" $path/], ['chatmaid_redis rediss://127.0.0.1 ca_file=%s;', qr/"ca_file=" $path/],
            ['chatmaid_redis redis://127.0.0.1 timeout=%s;', qr/"timeout="/], ['chatmaid_redis redis://127.0.0.1 fallback=%s;', qr/"fallback="/]) {
            my ($code, $out) = nginx_t(http => sprintf $row->[0], $secret);
            refused($row->[0] =~ s/%s/substr $secret, 0, 6/er, $row->[1], $code, $out);
        }
    }
    for my $name (qw(chatmaid_api_key_file chatmaid_webhook_secret_file)) {
        my ($code, $out) = with("$name no-such-file-a1b2;");
        refused("$name: a name that may be anything", qr/"$name": open\(\) of a path below "\S+\/" failed.*No such file/, $code, $out);
        unlike($out, qr/a1b2/, 'is not shown');
    }
    mkdir dir . '/sk_directory';
    spurt(dir . '/sk_directory/key', "$a\n");
    fine('a path that has it further on', with('chatmaid_api_key_file ' . dir . '/sk_directory/key;'));
};

done;
