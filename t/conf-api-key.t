# The API key: once in what Chatmaid gets, nowhere else, and not sent where it
# would not be safe.  With it, what else of the caller's request goes on.

use Chatmaid::Test;
use Chatmaid::Test::World qw(leaks_in);

debug_logs;

my $plain  = sandbox(plain => 1, name => 'plain');
my $second = sandbox(name => 'second');
my $rogue  = sandbox(name => 'rogue', cert => 'foreign');
my $api    = sandbox;

my $tls = 'proxy_http_version 1.1; proxy_set_header Host developers-api.chatmaid.net; proxy_set_header Connection ""; '
    . 'proxy_ssl_server_name on; proxy_ssl_name developers-api.chatmaid.net; proxy_ssl_trusted_certificate %CA%; ';
my $on   = "$tls proxy_ssl_verify on;";
my $pass = "internal; proxy_pass https://chatmaid_api/; $on";
my $live = 'chatmaid_api_key_file %DIR%/live;';

# name => [the internal location, its directives, more for the gateway]
my %sent = (
    body  => ["^~ /.body/",  qq($pass proxy_set_body '{"to":"+15550100099"}';)],
    peers => ["^~ /.peers/", "internal; proxy_pass https://peers/; proxy_next_upstream error http_503 non_idempotent; $on"],
    clear => ["^~ /.clear/", 'internal; proxy_pass http://127.0.0.1:' . $plain->port . '/;'],
    live  => ["^~ /.live/",  $pass, $live],
    plain => ["/.plain/",    $pass],
);

# What only a call can show; all else is refused at start, see conf-directives.t.
my %unsent = (
    own        => ['^~ /.own/',        "$pass set \$own 'Bearer other'; proxy_set_header Authorization \$own;"],
    own_case   => ['^~ /.own_case/',   "$pass proxy_set_header aUTHORIZATION \$request_method;"],
    last       => ['^~ /.last/',       "$pass rewrite ^ /.plain/ last;"],
    break      => ['^~ /.break/',      "$pass rewrite ^ /v1/account break;"],
    rewritten  => ['^~ /.rewritten/',  "$pass rewrite ^/.rewritten/(.*) /.rewritten/\$1 break;"],
    if         => ['^~ /.if/',         "$pass if (\$request_id) { add_header X-If yes; }"],
    regex      => ['/.regex/',         "$pass } location ~ ^/.regex/ { internal; proxy_pass https://chatmaid_api; $on"],
    open       => ['/.open/',          "$pass } location ~ ^/.open/ { proxy_pass https://chatmaid_api; $on"],
    live_lax   => ['/.live_lax/',      "$pass } location ~ ^/.live_lax/ { internal; proxy_pass https://chatmaid_api; $tls", $live],
    returned   => ['^~ /.returned/',   "$pass if (\$request_id) { return 200 '{\"success\":true,\"data\":{\"id\":\"msg_1\"}}'; }"],
    fastcgi    => ['^~ /.fastcgi/',    "$pass fastcgi_pass chatmaid_api;"],
    file       => ['/.file/',          "$pass } location ~ ^/.file/ { internal; root %DIR%;"],
);

my %all   = (%sent, %unsent);
my $nginx = nginx(
    files   => {live => live_key},
    gateway => 'chatmaid_sender +15550100001;',
    http    => 'chatmaid_idempotency off; chatmaid_retries 0; upstream peers { server 127.0.0.1:%API%; server 127.0.0.1:' . $second->port . '; keepalive 8; }',
    server  => join "\n", 'chatmaid_sender +15550100001;',
        "location ^~ /page/ { chatmaid_gateway /.page/; }",
        "location ^~ /.page/ { internal; proxy_pass http://127.0.0.1:%PORT:nobody%/; error_page 502 = \@fallback; }",
        "location \@fallback { proxy_pass https://chatmaid_api; $on }",
        map {
            my ($location, $text, $more, $uri) = @{$all{$_}};
            $uri //= "/.$_/";
            $more //= '';
            "location ^~ /$_/ { chatmaid_gateway $uri; $more }\nlocation $location { $text }";
        } sort keys %all,
);

my $m = {to => '+15550100099', text => 'Your table is ready'};

sub keys_in ($api, $seen)   { join ' | ', $api->header($seen, 'Authorization') }
sub to ($name)              { post(url("/$name/send"), $m) }


subtest 'it arrives, once' => sub {
    my $key = 'Bearer ' . test_key;
    my $once = sub ($name, $api = $api) { ok(keys_in($api, $api->last) eq $key, $name) };

    is(post('/send', $m)->{status}, 201, 'a send');
    $once->('with the key');
    is(get('/account')->{status}, 200, 'a read');
    is($api->last->{reused}, 1, 'on the same connection');
    $once->('with the key');
    is(post('/send', $m, Authorization => 'Bearer sk_test_of_the_caller')->{status}, 201, "a caller's own");
    $once->("is replaced");
    is(to('body')->{status}, 400, 'proxy_set_body');
    is($api->last->{body}, '{"to":"+15550100099"}', 'its body');
    $once->('with the key');
    is(to('clear')->{status}, 201, 'a test key in the clear');
    $once->('with the key', $plain);
    is(to('plain')->{status}, 201, 'a location without ^~');
    $once->('with the key');

    my @from = ($api->count + 1, $second->count + 1);
    $_->fault({status => 503}) for $api, $second;
    is(to('peers')->{status}, 502, 'both peers fail');
    is(to('peers')->{status}, 201, 'a peer answers');
    my @seen = ((map { [$api, $_] } $api->requests(from => $from[0])), map { [$second, $_] } $second->requests(from => $from[1]));
    is(scalar @seen, 3, 'three tries');
    ok(keys_in(@$_) eq $key, 'with the key') for @seen;

    is(to('live')->{status}, 201, 'a live key over verified TLS');
    ok(keys_in($api, $api->last) eq 'Bearer ' . live_key, 'with the key');
};

subtest 'it is not sent' => sub {
    my @before = map { $_->count } $api, $plain;
    for my $name (sort keys %unsent) {
        my $answer = to($name);
        is(told($answer), '502 upstream_error not_sent', "$name: send");
        is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: a problem");
        is(told(get(url("/$name/account"))), '502 upstream_error', "$name: read");
        my $uri = $all{$name}[3] // "/.$name/";
        is(scalar $nginx->logged(qr/\[error\].*chatmaid sent nothing.*"\Q$uri\E": \S/), 2, "$name: error lines that say why");
    }
    is_deeply([map { $_->count } $api, $plain], \@before, 'Chatmaid heard nothing');

    is(told(to('page')), '502 upstream_error not_sent', 'an error_page that leads elsewhere');
    is(scalar(grep { keys_in($api, $_) } $api->requests(from => $before[0] + 1)), 0, 'does not take the key along');
};

subtest 'callers from outside' => sub {
    my $before = $api->count;
    for my $path ('/.chatmaid/v1/account', '/.chatmaid/', '/%2echatmaid/v1/account', '//.chatmaid/v1/account',
        '/chatmaid/../.chatmaid/v1/account', '/chatmaid/%2e%2e/.chatmaid/v1/account', 'http://a/.chatmaid/v1/account') {
        my $answer = raw("GET $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        is($answer->{status}, 404, $path);
    }
    is($api->count, $before, 'Chatmaid heard nothing');
    is(get(url('/.open/v1/account'))->{status}, 401, 'a location that is not internal');
    is(keys_in($api, $api->last), '', 'has no key');
};

sub headers ($seen) { [sort map { lc $_->[0] } @{$seen->{headers}}] }

subtest 'what goes on of a request' => sub {
    my @always = qw(accept authorization host user-agent x-request-id);
    my @caller = (Authorization => 'Bearer x', Cookie => 'a=b', 'Accept-Encoding' => 'gzip, br', Accept => 'text/html',
        'X-Forwarded-For' => '10.0.0.1', 'X-Forwarded-Proto' => 'https', 'X-Forwarded-Host' => 'a', Forwarded => 'for=10.0.0.1',
        'X-Real-IP' => '10.0.0.1', Via => '1.1 a', Referer => 'http://a/', Origin => 'http://a', 'Proxy-Authorization' => 'Basic x',
        'Accept-Language' => 'de', 'Idempotency-Key' => 'k', 'X-Chatmaid-Event' => 'e', 'X-Api-Key' => 'k', 'Cache-Control' => 'no-cache',
        Upgrade => 'h2c', TE => 'trailers', 'If-Match' => '"a"', 'If-None-Match' => '"a"', Range => 'bytes=0-1', Priority => 'u=1',
        'User-Agent' => 'orders/1.0', 'X_Underscore' => 1, 'Content-Language' => 'de');
    is(post('/send', $m, @caller)->{status}, 201, 'a send with all kinds of headers');
    my $seen = $api->last;
    is_deeply(headers($seen), [sort @always, qw(content-length content-type)], 'its headers upstream');
    is_deeply([$api->header($seen, 'Accept')], ['application/json'], 'Accept');
    is_deeply([$api->header($seen, 'Host')], ['developers-api.chatmaid.net'], 'Host');
    is_deeply([$api->header($seen, 'User-Agent')], ['orders/1.0'], 'User-Agent');
    is_deeply([$api->header($seen, 'Content-Type')], ['application/json'], 'Content-Type');
    is(get('/account', @caller)->{status}, 200, 'a read with them');
    is_deeply(headers($api->last), [sort @always], 'its headers upstream');
    is($api->last->{body}, '', 'no body');
    post('/send', $m, 'User-Agent' => undef, 'Content-Type' => 'application/json; charset=utf-8');
    is(scalar(my @agent = $api->header($api->last, 'User-Agent')), 1, 'no User-Agent: one of our own');
    is_deeply([$api->header($api->last, 'Content-Type')], ['application/json'], 'Content-Type without parameters');
};

subtest 'X-Request-Id' => sub {
    my $every = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '._:/+=@-';
    my $id = sub ($value) {
        my $sent   = post('/send', $m, 'X-Request-Id' => $value);
        my ($up)   = my @up = $api->header($api->last, 'X-Request-Id');
        my $failed = post('/send', {}, 'X-Request-Id' => $value);
        return ($sent->{headers}{'x-request-id'}, scalar @up, $up, @{$failed->{headers}}{'x-request-id'}, $failed->{json}{requestId});
    };
    for my $good ('a', '0', '-', $every, 'x' x 128, 'req-1/2:3@host') {
        is_deeply([$id->($good)], [$good, 1, $good, $good, $good], 'kept: ' . substr $good, 0, 20);
    }
    for my $bad ('', 'x' x 129, 'a b', 'a"b', 'a,b', 'a<b', "caf\xc3\xa9", 'a;b', 'a_b~', "a\tb", '$request_id', '%41', undef) {
        my ($sent, $count, $up, $failed, $json) = $id->($bad);
        my $name = 'not kept: ' . substr($bad // 'none', 0, 20) =~ s/[^ -~]/?/gr;
        like($sent, qr/\A[0-9a-f]{32}\z/, $name);
        is($up, $sent, "$name: the same upstream");
        is($count, 1, "$name: once");
        is($json, $failed, "$name: the same in a problem");
    }
    is(get('/nothing', 'X-Request-Id' => 'a')->{headers}{'x-request-id'}, 'a', 'on an unknown endpoint');
    $api->fault({status => 200, headers => {'X-Request-Id' => 'of-chatmaid'}});
    is(get('/account', 'X-Request-Id' => 'a')->{headers}{'x-request-id'}, 'a', "not Chatmaid's");
};

subtest 'trace context' => sub {
    my ($trace, $span) = ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7');
    my $good = "00-$trace-$span-01";
    my %good = ('version 00' => $good, 'version cc' => "cc-$trace-$span-01", 'a later one with more' => "cc-$trace-$span-01-what-follows");
    my %bad  = (
        'empty' => '', 'a word' => 'x', 'upper case' => uc $good, 'version ff' => "ff-$trace-$span-01", 'more in version 00' => "$good-x",
        'no trace' => '00-' . '0' x 32 . "-$span-01", 'no span' => "00-$trace-" . '0' x 16 . '-01', 'short' => substr($good, 0, -1),
        'long' => "${good}0", 'another separator' => $good =~ tr/-/_/r, 'not hex' => $good =~ s/4b/4g/r, 'more, no separator' => "cc-$trace-$span-01x",
    );
    my $up = sub (@headers) {
        post('/send', $m, @headers);
        return join ' | ', map { my $name = $_; map { "$name: $_" } $api->header($api->last, $name) } qw(traceparent tracestate);
    };
    is($up->(Traceparent => $good{$_}, tracestate => 'a=1,b=2'), "traceparent: $good{$_} | tracestate: a=1,b=2", $_) for sort keys %good;
    is($up->(traceparent => $bad{$_}, tracestate => 'a=1'), '', "dropped with its tracestate: $_") for sort keys %bad;
    is($up->(traceparent => [$good, $good], tracestate => 'a=1'), '', 'two of them');
    is($up->(tracestate => 'a=1'), '', 'a tracestate alone');
    is($up->(traceparent => $good), "traceparent: $good", 'a traceparent alone');
    is($up->(traceparent => $good, tracestate => ['a=1', 'b=2']), "traceparent: $good | tracestate: a=1 | tracestate: b=2", 'two tracestates');
    is(get('/account', traceparent => $good)->{status}, 200, 'on a read');
    is_deeply([$api->header($api->last, 'traceparent')], [$good], 'as well');
};

# nginx keeps connections by address, whatever location opened them and however
# little it asked of the peer.
subtest "kept connections of another location's" => sub {
    my $locations = sub ($off) {
        my %ways = (live => "$on", twin => "$on", lax => $off);
        return join "\n", "chatmaid_sender +15550100001; $on", map {
            my $key = $_ eq 'lax' ? '' : $live;
            "location ^~ /$_/ { chatmaid_gateway /.$_/; $key }"
                . "location ^~ /.$_/ { internal; proxy_pass https://chatmaid_api/; $ways{$_} }"
        } sort keys %ways;
    };
    my $on_way = sub ($nginx, $name) { $nginx->client->post($nginx->url("/$name/send"), $m) };
    my $off    = "$tls proxy_ssl_verify off;";

    my $lured = nginx(name => 'lured', http => 'chatmaid_idempotency off;', api => $rogue, files => {live => live_key}, server => $locations->($off));
    is(told($on_way->($lured, 'live')), '502 upstream_error not_sent', 'a foreign certificate: a live send');
    for my $round (1, 2) {
        is($on_way->($lured, 'lax')->{status}, 201, "a test send without verification, $round");
        is(told($on_way->($lured, 'live')), '502 upstream_error not_sent', "a live send afterwards, $round");
        is(told($lured->get($lured->url('/live/account'))), '502 upstream_error', "a live read, $round");
    }
    $rogue->fault({hold => 'before', times => 3});
    my @several = map { $lured->later(POST => $lured->url('/lax/send'), $m) } 1 .. 3;
    $rogue->wait_held(3);
    $rogue->release;
    $_->result for @several;
    is(told($on_way->($lured, 'live')), '502 upstream_error not_sent', 'a live send after several');
    is(scalar(grep { ($_->{key} // '') ne test_key } $rogue->requests), 0, 'the live key never went there');

    my $shared = nginx(name => 'shared', http => 'chatmaid_idempotency off;', api => $api, files => {live => live_key}, server => $locations->($off));
    my $from   = $api->count + 1;
    is($on_way->($shared, $_)->{status}, 201, "locations with equal settings: $_") for qw(live twin live twin twin);
    my @seen = $api->requests(from => $from);
    ok($_->{key} eq live_key, "with the live key, request $_->{n}") for @seen;
    is($seen[-1]{reused}, 1, "and a location's own connection is used again");

    my $inherits = nginx(name => 'inherits', http => 'chatmaid_idempotency off;', api => $api, files => {live => live_key}, server => join "\n",
        "$on chatmaid_sender +15550100001;", map { "location ^~ /$_/ { chatmaid_gateway /.$_/; $live }"
            . "location ^~ /.$_/ { internal; proxy_pass https://chatmaid_api/; }" } qw(one two));
    $from = $api->count + 1;
    is($on_way->($inherits, $_)->{status}, 201, "locations with inherited settings: $_") for qw(one two one two);
    ok($_->{key} eq live_key, "with the live key, request $_->{n}") for $api->requests(from => $from);
};

# What done() looks for in logs and answers, it would find.
subtest 'a key that does leak is found' => sub {
    my $planted = api_key('test');
    my $control = nginx(name => 'control', server => 'location /echo { return 200 $http_authorization; }');
    my $echo    = client(public => 0)->get($control->url('/echo'), Authorization => "Bearer $planted");
    $control->reload;
    is(scalar leaks_in($echo->{body}), 1, 'in an answer');
    wait_for(sub { length $control->access_log });
    is(scalar leaks_in($control->access_log), 1, 'in an access log');
    is(scalar leaks_in($control->error_log), 1, 'in a debug log');
    is(scalar leaks_in("x\n" . unpack('H*', "Bearer $planted")), 1, 'in hex');
    spurt($control->dir . "/$_", '') for qw(access.log error.log);
};

done;
