# The directives of webhooks: what nginx -t says about wrong ones, and what it
# lets through.

use Chatmaid::Test;
use Chatmaid::Test::Conf;
use Chatmaid::Test::Webhook;
use POSIX qw(mkfifo);

my ($one, $two) = map { secret("whsec_secret-number-$_-01234") } qw(one two);
my @files = (files => {one => "$one\n", same => $one, two => "$two\n", key => test_key});

# In the usual location, or one of several beside it.
sub with ($webhook, @option)  { edge_t(@files, webhook => $webhook, $webhook =~ /secret_file/ ? (http => '-chatmaid_webhook_secret_file;') : (), @option) }
sub beside ($server, @option) { edge_t(@files, server => $server, @option) }

my $file = 'chatmaid_webhook_secret_file';
my $up   = 'proxy_pass http://127.0.0.1:1;';


subtest 'wrong values' => sub {
    my @table = (
        ['chatmaid_webhook maybe;',             qr/"chatmaid_webhook"/],
        ['chatmaid_webhook;',                   qr/"chatmaid_webhook"/],
        ["$file;",                              qr/"$file"/],
        ["$file \"\";",                         qr/"$file"/],
        ["$file %DIR%/one %DIR%/two;",          qr/"$file"/],
        ['chatmaid_webhook_tolerance;',         qr/"chatmaid_webhook_tolerance"/],
        ['chatmaid_webhook_tolerance soon;',    qr/"chatmaid_webhook_tolerance"/],
        ['chatmaid_webhook_tolerance -1s;',     qr/"chatmaid_webhook_tolerance"/],
        ['chatmaid_webhook_dedup;',             qr/"chatmaid_webhook_dedup"/],
        ['chatmaid_webhook_dedup ever;',        qr/"chatmaid_webhook_dedup"/],
        ['chatmaid_webhook_dedup 1799s;',       qr/"chatmaid_webhook_dedup"/],
        ['chatmaid_webhook_dedup 1s;',          qr/"chatmaid_webhook_dedup"/],
        ['chatmaid_webhook_tolerance 1h; chatmaid_webhook_dedup 3899s;', qr/"chatmaid_webhook_dedup"/],
        ['chatmaid_webhook_tolerance 24h;',     qr/"chatmaid_webhook_(?:dedup|tolerance)"/],
        ['chatmaid_webhook_stream;',            qr/"chatmaid_webhook_stream"/],
        ['chatmaid_webhook_stream "";',         qr/"chatmaid_webhook_stream"/],
        (map { ["chatmaid_webhook_stream inbox maxlen=$_;", qr/"chatmaid_webhook_stream".*maxlen/] } 0, 'x', '', -1, '1k'),
        ['chatmaid_webhook_stream inbox nonsense;', qr/nonsense/],
        ['chatmaid_webhook_stream inbox;',      qr/"chatmaid_webhook_stream".*"?chatmaid_redis"?/],
    );
    refused($_->[0], $_->[1], with($_->[0])) for @table;
    for my $name (qw(chatmaid_webhook chatmaid_webhook_tolerance chatmaid_webhook_dedup chatmaid_webhook_stream)) {
        my $value = {chatmaid_webhook => 'on', chatmaid_webhook_stream => 'inbox'}->{$name} // '24h';
        refused("$name twice", qr/"$name" directive is duplicate/, with("$name $value; $name $value;"));
    }
};

subtest 'right values' => sub {
    my $redis = [http => 'chatmaid_redis redis://127.0.0.1:1;'];
    fine($_, with($_)) for 'chatmaid_webhook_tolerance 0;', 'chatmaid_webhook_tolerance 300;', 'chatmaid_webhook_tolerance 5m;',
        'chatmaid_webhook_dedup 0;', 'chatmaid_webhook_dedup 1800s;', 'chatmaid_webhook_tolerance 0; chatmaid_webhook_dedup 300s;',
        'chatmaid_webhook_tolerance 1h; chatmaid_webhook_dedup 65m;', 'chatmaid_webhook_tolerance 2d; chatmaid_webhook_dedup 0;',
        "$file %DIR%/one; $file %DIR%/two;", 'chatmaid_account shop;';
    fine('a stream', with('chatmaid_webhook_stream inbox;', @$redis));
    fine('a stream of a length', with('chatmaid_webhook_stream inbox maxlen=1000;', @$redis));
    fine('a stream and no other handler', with('-proxy_pass; chatmaid_webhook_stream inbox;', @$redis));
    fine('no API key at all', with(''));
};

subtest 'places' => sub {
    refused("chatmaid_webhook in $_->[0]", qr/"chatmaid_webhook" directive is not allowed/, edge_t(@files, $_->[1] => 'chatmaid_webhook on;'))
        for ['main', 'main'], ['http', 'http'], ['server', 'server'];
    my %any = ("$file" => '%DIR%/one', chatmaid_webhook_tolerance => '1m', chatmaid_webhook_dedup => '24h', chatmaid_account => 'a');
    for my $name (sort keys %any) {
        my $line = "$name $any{$name};";
        refused("$name in main", qr/"$name" directive is not allowed/, edge_t(@files, main => $line));
        my @http = $name eq $file ? (http => "-$file;") : ();
        fine("$name in $_", edge_t(@files, @http, $_ => $line)) for qw(http server webhook);
    }
    my $stream = 'chatmaid_webhook_stream inbox;';
    fine('a stream in http', edge_t(@files, http => "chatmaid_redis redis://127.0.0.1:1; $stream"));
    fine('a stream in server', edge_t(@files, http => 'chatmaid_redis redis://127.0.0.1:1;', server => $stream));
    fine('an exact location, a regex, a named one', beside("location = /a { chatmaid_webhook on; $up } location ~ b { chatmaid_webhook on; $up }"
        . " location \@c { chatmaid_webhook on; $up }"));
};

subtest 'what verifies without handing on' => sub {
    my %wrong = (
        'nothing'           => '-proxy_pass;',
        'return'            => '-proxy_pass; return 200;',
        'return of a text'  => '-proxy_pass; return 200 "OK";',
        'rewrite'           => '-proxy_pass; rewrite ^ /other last;',
        'try_files'         => '-proxy_pass; try_files $uri @other;',
        'a nested one with a handler' => "-proxy_pass; location /webhooks/chatmaid/a { $up }",
    );
    for my $name (sort keys %wrong) {
        my ($code, $out) = with($wrong{$name} =~ s/location \S+/location = \/x/r, server => "location \@other { $up }");
        refused($name, qr/"chatmaid_webhook"/, $code, $out) unless $name eq 'a nested one with a handler';
    }
    refused('a nested location', qr/"chatmaid_webhook".*"\/h\/n\/"|"chatmaid_webhook"/,
        beside("location /h/ { chatmaid_webhook on; $up location /h/n/ { add_header X-A 1; } }"));
    fine('a nested location that is off', beside("location /h/ { chatmaid_webhook on; $up location /h/n/ { chatmaid_webhook off; } }"));
    fine('a nested location with its own', beside("location /h/ { chatmaid_webhook on; $up location /h/n/ { $up } }"));
    fine('handler first', with("-chatmaid_webhook; -proxy_pass; $up chatmaid_webhook on;"));
    fine('"if" and "limit_except"', with("if (\$arg_a) { add_header X-A 1; } limit_except POST { deny all; }"));
    fine($_, with("-proxy_pass; $_")) for map { "${_}_pass 127.0.0.1:1;" } qw(fastcgi uwsgi scgi);
    fine('off', with('-chatmaid_webhook; chatmaid_webhook off; -proxy_pass; return 200;', http => "-$file;"));
};

# return runs before anything is verified.
subtest 'return beside a handler' => sub {
    my $return = qr/"chatmaid_webhook".*"\/webhooks\/chatmaid".*"return" of its/;
    warned('return', qr/$return location/, with('return 200;'));
    warned('return behind others', qr/$return location/, with('set $a 1; if ($a) { set $b 1; } return 200 OK;'));
    warned("the server's", qr/$return server/, edge_t(@files, server => 'return 200;'));
    fine('return in an if', with('if ($arg_a) { return 403; }', server => 'if ($arg_b) { return 403; }'));
};

# Nothing verifies: the location's own handler, if any, would get all.
subtest 'what no location uses' => sub {
    my @redis  = (http => 'chatmaid_redis redis://127.0.0.1:1;');
    my $unused = sub ($name) { qr/"$name" "\S+" is used by no location with "chatmaid_webhook on"/ };
    my $stream = $unused->('chatmaid_webhook_stream');

    my @out = beside("location /s/ {\n chatmaid_webhook_stream inbox;\n $up }", @redis);
    refused('a stream', $stream, @out);
    like(line_of($out[1]), qr/chatmaid_webhook_stream/, 'its line');
    refused('a stream, off', $stream, beside("location /s/ { chatmaid_webhook off; chatmaid_webhook_stream inbox; $up }", @redis));
    refused('a stream and nothing else', $stream, beside('location /s/ { chatmaid_webhook_stream inbox; }', @redis));
    refused('a stream of an outer location', $stream,
        beside("location /s/ { chatmaid_webhook_stream a; location /s/x/ { chatmaid_webhook on; chatmaid_webhook_stream b; } }", @redis));
    fine('a stream for a location within', beside('location /s/ { chatmaid_webhook_stream a; location /s/x/ { chatmaid_webhook on; } }', @redis));
    fine('off within', beside("location /s/ { chatmaid_webhook on; chatmaid_webhook_stream a; location /s/x/ { chatmaid_webhook off; $up } }", @redis));
    warned('a stream of the server', $stream, beside('chatmaid_webhook_stream a;', http => 'chatmaid_redis redis://127.0.0.1:1;', webhook => 'chatmaid_webhook_stream b;'));

    my $secret = $unused->($file);
    @out = with('-chatmaid_webhook; chatmaid_webhook off;');
    warned('a secret', $secret, @out);
    like(line_of($out[1]), qr/$file/, 'its line');
    warned('one that is not inherited', $secret, edge_t(@files, webhook => "$file %DIR%/one;"));
    warned('one without any webhook', $secret, nginx_t(http => "$file %DIR%/one;", files => {one => $one}));
    fine('one that is', edge_t(@files, server => "location /x/ { chatmaid_webhook on; $up location /x/y/ { $up } }"));
};

subtest 'secret files' => sub {
    my $top = dir;
    mkdir "$top/directory";
    mkfifo("$top/fifo", 0600) or die "mkfifo: $!";
    refused('none', qr/"chatmaid_webhook".*"$file"/, with('', http => "-$file;"));
    my %wrong = (
        'missing'     => ["$top/missing",   qr/No such file/],
        'a directory' => ["$top/directory", qr/regular file|is a directory/],
        'a FIFO'      => ["$top/fifo",      qr/regular file/],
        'a device'    => ['/dev/zero',      qr/regular file/],
    );
    refused($_, qr/"$file".*"\Q$wrong{$_}[0]\E".*$wrong{$_}[1]/, with("$file $wrong{$_}[0];")) for sort keys %wrong;

    my $bare    = substr $one, 6;
    my $mark    = qr/begins with a byte order mark: save it as plain ASCII/;
    my %content = (
        'empty'               => ['',                         qr/is empty/],
        'white space'         => [" \r\n\t\n",                qr/is empty/],
        '4097 bytes'          => ['whsec_' . 'x' x 4091,      qr/is larger than 4096/],
        'two lines'           => ["$one\n$two\n",             qr/more than one line/],
        'a byte order mark'   => ["\xef\xbb\xbf$one\n",       $mark],
        'a mark of UTF-16 LE' => [join('', "\xff\xfe", map { "$_\0" } split //, "$one\n"), $mark],
        'a mark of UTF-16 BE' => [join('', "\xfe\xff", map { "\0$_" } split //, "$one\n"), $mark],
        'a mark and no more'  => ["\xef\xbb\xbf\n",           $mark],
        'a space before'      => [" $one\n",                  qr/begins with a blank/],
        'a tab before'        => ["\t$one\n",                 qr/begins with a blank/],
        'quotes'              => [qq("$one"\n),               qr/quotes around/],
        'single quotes'       => [qq('$one'\n),               qr/quotes around/],
        'quotes, another form' => [qq("$bare"),               qr/quotes around/],
        'a NUL'               => ["$one\0",                   qr/NUL/],
        'a tab within'        => ["whsec_a\tb",               qr/control character/],
        'DEL'                 => ["whsec_a\x7f",              qr/control character/],
    );
    refused($_, qr/"$file".*"\S*\/k" .*$content{$_}[1]/, with("$file %DIR%/k;", files => {k => $content{$_}[0]})) for sort keys %content;
    refused('the second of two', qr/"$file".*"\S*\/k"/, with("$file %DIR%/one; $file %DIR%/k;", files => {one => $one, k => ''}));

    my %odd = (
        'of 4096 bytes'   => ['x' x 4096,         qr/does not begin with "whsec_"/],
        'of one letter'   => ["x\n",              qr/does not begin with "whsec_"/],
        'of another form' => ["no such word here\n", qr/does not begin with "whsec_"/],
        'of a prefix'     => ["whsec_\n",         qr/does not begin with "whsec_"/],
        'with a quote'    => ["\"$one\n",         qr/does not begin with "whsec_"/],
        'with a space'    => ["whsec_a b\n",      qr/holds a space or a character that is not ASCII/],
        'with a letter that is not ASCII' => ["whsec_\xc3\xa4\n", qr/holds a space or a character that is not ASCII/],
    );
    warned("one $_", qr/"$file": "\S+\/k" $odd{$_}[1]/, with("$file %DIR%/k;", files => {k => $odd{$_}[0]})) for sort keys %odd;
    my %right = ('with CR LF' => "$one\r\n", 'of 4096 bytes, prefix and all' => 'whsec_' . 'x' x 4090, 'with white space at its end' => "$one \t\n\n");
    fine("one $_", with("$file %DIR%/k;", files => {k => $right{$_}})) for sort keys %right;

    for my $mode (0644, 0620, 0602, 0601, 0666) {
        my ($code, $out) = with("$file " . spurt("$top/mode", $one, $mode) . ';');
        my $name = sprintf 'mode %04o', $mode;
        is($code, 0, "$name: taken");
        like(said($out, 'warn'), qr/\[warn\].*"$file".*"\Q$top\E\/mode".*$name.*chmod 600 \Q$top\E\/mode/, "$name: a warning");
    }
    fine(sprintf('mode %04o', $_), with("$file " . spurt("$top/mode", $one, $_) . ';')) for 0600, 0400, 0640;
};

# A mark goes by name and account, so both must mean the same sender.
subtest 'locations of one name' => sub {
    my $server = sub ($name, $location) { "server { listen 127.0.0.1:%PORT:$name%; $location }" };
    my $hook   = sub ($more, $path = '= /hook') { "location $path { chatmaid_webhook on; $up $more }" };
    my ($of_one, $of_two, $same) = map { "$file %DIR%/$_;" } qw(one two same);
    my $both   = sub ($here, $there) { edge_t(@files, server => $here, servers => $server->('other', $there)) };

    refused('another secret', qr/"$file".*"\/hook"|"\/hook".*"$file"|"chatmaid_account".*"\/hook"|"\/hook".*"chatmaid_account"/,
        $both->($hook->($of_one), $hook->($of_two)));
    refused('one secret more', qr/"\/hook"/, $both->($hook->($of_one), $hook->("$of_one $of_two")));
    refused('another secret, of one account', qr/"\/hook"/, $both->($hook->("$of_one chatmaid_account a;"), $hook->("$of_two chatmaid_account a;")));
    fine('the same secret', $both->($hook->($of_one), $hook->($of_one)));
    fine('the same secret in two files', $both->($hook->($of_one), $hook->($same)));
    fine('another account', $both->($hook->($of_one), $hook->("$of_two chatmaid_account b;")));
    fine('another name', $both->($hook->($of_one), $hook->($of_two, '= /other')));
    warned('not both on', qr/"$file" "\S+\/two" is used by no location/, $both->($hook->($of_one), "location = /hook { $of_two $up }"));
};

done;
