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
        'a NUL'                   => ["$a\0",            qr/./],
        'a NUL, then more'        => ["$a\0\n",          qr/./],
        'a header within'         => ["sk_test_a\r\nX: y", qr/more than one line/],
        'not ASCII'               => ["sk_test_\xc3\xa9t\xc3\xa9", qr/./],
        'a byte order mark'       => ["\xef\xbb\xbf$a",  qr/./],
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
        like(said($out, 'warn'), qr/\[warn\].*"chatmaid_api_key_file".*"\Q$file\E".*$name/, "$name: a warning");
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
        ['chatmaid_environment prod;',           qr/invalid value "prod".*in/],
        ['chatmaid_environment;',                qr/"chatmaid_environment"/],
        ['chatmaid_scope messages:write;',       qr/invalid value "messages:write"/],
        ['chatmaid_scope messages:send nothing;', qr/invalid value "nothing"/],
        ['chatmaid_scope;',                      qr/"chatmaid_scope"/],
        ['chatmaid_sender;',                     qr/"chatmaid_sender"/],
        ['chatmaid_sender "";',                  qr/"chatmaid_sender".*empty/],
        ['chatmaid_sender +1 Fixed;',            qr/"chatmaid_sender".*"Fixed"/],
        ['chatmaid_sender +1 fixed fixed;',      qr/"chatmaid_sender"/],
        ['chatmaid_sender $nosuch;',             qr/"nosuch" variable/],
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

    my %twice = (chatmaid_api_key_file => '%DIR%/api_key', chatmaid_environment => 'any',
        chatmaid_account => 'a', chatmaid_sender => '+1',
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
        chatmaid_sender => '+1', chatmaid_scope => 'messages:send account:read');
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

    refused('no key', qr/"chatmaid_gateway".*"\/l0\/".*"chatmaid_api_key_file"/, $try->(''));
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

subtest 'the internal location' => sub {
    my %warned = (
        'missing'              => ['chatmaid_gateway /nowhere/;', ''],
        'not internal'         => ['chatmaid_gateway /open/;',    'location /open/ { proxy_pass http://127.0.0.1:1/; }'],
        'a shorter one'        => ['chatmaid_gateway /.chatmaid/x/;', ''],
        'a regular expression' => ['chatmaid_gateway /re/;',      'location ~ ^/re/ { internal; }'],
        'of another server'    => ['chatmaid_gateway /there/;',   ''],
    );
    my $other = 'server { listen 127.0.0.1:%PORT:other%; location /there/ { internal; } }';
    for my $name (sort keys %warned) {
        my ($gateway, $server) = @{$warned{$name}};
        my ($code, $out) = nginx_t(gateway => $gateway, server => $server, servers => $other);
        my ($uri) = $gateway =~ m{ (/\S+/)};
        is($code, 0, "$name: taken");
        like(said($out, 'warn'), qr/\[warn\].*"chatmaid_gateway".*"\Q$uri\E".*nginx\.conf:\d+/, "$name: a warning");
    }
    fine('named before it stands', beside('location /before/ { chatmaid_gateway /.zz/; } location /.zz/ { internal; }'));
    fine('within another location', with('chatmaid_gateway /a/b/;', server => 'location /a/ { location /a/b/ { internal; } }'));
    fine('many', with('chatmaid_gateway /i7/;', server => join '', map { "location /i$_/ { internal; }" } 1 .. 20));
};

done;
