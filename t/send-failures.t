# What can go wrong on the way to Chatmaid and back: the status, code and outcome
# that the caller is told of a single try, for a send and for a read.

use Chatmaid::Test;
use IO::Socket::IP;

my ($wrong, $foreign) = map { sandbox(cert => $_, name => $_) } qw(wrong foreign);
my $api = sandbox;

# A port whose queue of connections is full: the next one is not answered.
my $full = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Listen => 0) or die "listen: $@";
my @waiting = map { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0) } 1 .. 3;

# One gateway /NAME/ and its internal location for each way to be wrong.
my $pass  = "proxy_pass https://chatmaid_api/; %PROXY%";
my %place = (
    refused   => "proxy_pass https://127.0.0.1:%PORT:nobody%/; %PROXY%",
    clear     => 'internal; proxy_pass http://127.0.0.1:%PORT:nobody%/;',
    down      => "proxy_pass https://down/; %PROXY%",
    wrong     => 'proxy_pass https://127.0.0.1:' . $wrong->port . "/; %PROXY%",
    foreign   => 'proxy_pass https://127.0.0.1:' . $foreign->port . "/; %PROXY%",
    full      => 'proxy_pass https://127.0.0.1:' . $full->sockport . "/; %PROXY% proxy_connect_timeout 100ms;",
    slow      => "$pass proxy_read_timeout 300ms;",
    accel     => "$pass",
    intercept => "$pass proxy_intercept_errors on; error_page 400 401 404 429 500 502 503 504 =200 /page;",
    errors    => "$pass error_page 502 504 =200 /page; proxy_read_timeout 300ms;",
    cache     => "$pass proxy_cache answers; proxy_cache_valid any 1h; proxy_cache_methods GET HEAD POST; "
        . 'proxy_cache_key a; proxy_ignore_headers Cache-Control Expires Set-Cookie;',
    store     => "$pass proxy_store %DIR%/stored; proxy_store_access user:rw;",
    small     => "$pass proxy_buffers 2 1k; proxy_buffer_size 1k; proxy_busy_buffers_size 1k; "
        . 'proxy_max_temp_file_size 100m; proxy_temp_file_write_size 1k; subrequest_output_buffer_size 1k;',
);

my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    http    => 'chatmaid_idempotency off; chatmaid_retries 0; proxy_cache_path %DIR%/cache keys_zone=answers:1m; upstream down { server 127.0.0.1:1 down; server 127.0.0.1:2 down; }',
    server  => join "\n", 'chatmaid_sender +15550100001;',
        'location = /page { return 200 \'{"success":true,"data":{"id":"msg_page"}}\'; }',
        (map { "location ^~ /$_/ { chatmaid_gateway /.$_/; } location ^~ /.$_/ { $place{$_} }" } sort keys %place),
        map { "location ^~ /limited$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account limited$_; }" } 1 .. 8,
);

my $other = api_key('test');
my $m = {to => '+15550100099', text => 'Your table is ready'};

# Where nothing is held back yet: a 429 cools its whole account down.
sub fresh () { state $n = 0; 'limited' . ++$n }

# Asserts a send and a read through the gateway "at", after the fault.
sub both ($name, $fault, $sent, $read = $sent =~ s/ \w+$//r, $at = 'chatmaid') {
    for my $try ([send => $sent, sub ($at) { post(url("/$at/send"), $m) }], [read => $read, sub ($at) { get(url("/$at/messages/msg_1")) }]) {
        my ($what, $want, $code) = @$try;
        $api->fault($fault) if $fault;
        my $answer = $code->($sent =~ /^429/ ? fresh : $at);
        is(told($answer), $want, "$name: $what");
        is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: $what, a problem");
        ok($answer->{headers}{'x-request-id'} && $answer->{headers}{'x-request-id'} eq $answer->{json}{requestId},
            "$name: $what, X-Request-Id");
        like($answer->{headers}{'idempotency-key'}, qr/^auto-/, "$name: the operation key") if $what eq 'send';
        $api->clear_faults;
    }
}

my $envelope = sub ($status, @more) {
    {status => $status, json => {success => \0, error => 'x', message => ['one', 'two'], statusCode => $status, @more}};
};
my $invalid = '502 upstream_invalid_response';
my $error   = '502 upstream_error';
my $html    = '<html><body>Bad</body></html>';


subtest 'answers that are none' => sub {
    my @made = (json => {success => \1, data => {id => 'msg_1'}});
    both(@$_) for (
        ['5 MiB',               {oversize => 5 << 20},                         "$invalid unknown"],
        ['5 MiB in chunks',     {oversize => 5 << 20, chunked => 80},          "$invalid unknown"],
        ['truncated',           {truncate => 20, @made, status => 201},        "$invalid unknown"],
        ['truncated chunks',    {truncate => 20, chunked => 3, @made, status => 201}, "$invalid unknown"],
        ['nothing of its body', {truncate => 0, @made, status => 201},         "$invalid unknown"],
        ['longer than said',    {length => 20, @made, status => 201},          "$invalid unknown"],
        ['compressed',          {status => 201, body => "\x{1f}\x{8b}\x{8}\0", headers => {'Content-Encoding' => 'gzip'}}, "$invalid unknown"],
        ['shorter than said',   {length => 500, @made, status => 201},         "$invalid unknown"],
        ['not JSON',            {status => 201, body => 'created'},            "$invalid unknown"],
        ['half JSON',           {status => 201, body => '{"success":true,"data":{"id":"msg_1"}'}, "$invalid unknown"],
        ['garbage behind',      {status => 201, body => '{"success":true,"data":{"id":"msg_1"}}x'}, "$invalid unknown"],
        ['HTML 200',            {status => 200, body => $html, type => 'text/html'}, "$invalid unknown"],
        ['HTML 400',            {status => 400, body => $html, type => 'text/html'}, "$invalid not_sent"],
        ['HTML 409',            {status => 409, body => $html, type => 'text/html'}, "$invalid unknown"],
        ['HTML 502',            {status => 502, body => $html, type => 'text/html'}, "$error unknown"],
        ['HTML 503',            {status => 503, body => $html, type => 'text/html'}, "$error unknown"],
        ['empty 200',           {status => 200, body => ''},                   "$invalid unknown"],
        ['empty 201',           {status => 201, body => ''},                   "$invalid unknown"],
        ['204',                 {status => 204, body => ''},                   "$invalid unknown"],
        ['301',                 {status => 301, body => '', headers => {Location => 'https://evil.example/'}}, "$invalid unknown"],
        ['302 with a message',  {status => 302, @made, headers => {Location => '/v1/messages/msg_1'}}, "$invalid unknown"],
        ['304',                 {status => 304, body => ''},                   "$invalid unknown"],
        ['a number',            {status => 201, body => '1'},                  "$invalid unknown"],
        ['an array',            {status => 201, body => '[]'},                 "$invalid unknown"],
        ['success: false',      {status => 201, json => {success => \0, data => {id => 'msg_1'}}}, "$invalid unknown"],
        ['without data',        {status => 201, json => {success => \1}},      "$invalid unknown"],
        ['garbage',             {raw => "\x16\x03garbage\xff\r\n\r\n"},        "$error unknown"],
        ['a bad status line',   {raw => "HTTP/1.1 OK\r\n\r\n"},                "$error unknown"],
        ['a bad header',        {raw => "HTTP/1.1 201 Created\r\nA: 1\r\nno header\0\r\n\r\n"}, "$error unknown"],
        ['closed before the effect', {close => 'before'},                      "$error unknown"],
        ['reset before',        {close => 'before', reset => 1},               "$error unknown"],
        ['closed after it',     {close => 'after'},                            "$error unknown"],
        ['reset after it',      {close => 'after', reset => 1},                "$error unknown"],
    );
    for my $data ('{}', '{"id":null}', '{"id":""}', '{"id":1}', '[]', 'null', '"msg_1"') {
        $api->fault({status => 201, body => "{\"success\":true,\"data\":$data}"});
        is(told(post('/send', $m)), "$invalid unknown", "a send answered with data $data");
    }
    is(post('/send', $m)->{status}, 201, 'the next one is fine');
};

subtest 'odd, but whole' => sub {
    my %odd = ('in chunks' => {chunked => 5}, 'dripping' => {drip => {bytes => 50, every => 1}}, 'ended by close' => {length => 'none'},
        'dripping chunks' => {chunked => 9, drip => {bytes => 50, every => 1}}, '3 MiB' => {oversize => 3 << 20},
        '200' => {status => 200, effect => \1}, '202' => {status => 202, effect => \1}, 'no type' => {type => 'text/plain'});
    for my $name (sort keys %odd) {
        $api->fault($odd{$name});
        my $answer = post('/send', {%$m, text => "odd: $name"});
        is($answer->{status}, 201, "$name: status");
        is($answer->{json}{content}, "odd: $name", "$name: the message");
    }
};

subtest 'Chatmaid cannot be reached' => sub {
    my $before = $api->count;
    both('connect refused',        undef, "$error not_sent", "$error", 'refused');
    is(scalar($nginx->logged(qr{connect\(\) failed.* subrequest: "/\.refused/v1/messages/(?:send|msg_1)"})), 2, "nginx's own lines name the call");
    both('refused, without TLS',   undef, "$error not_sent", "$error", 'clear');
    both('all peers down',         undef, "$error not_sent", "$error", 'down');
    both('TLS name wrong',         undef, "$error not_sent", "$error", 'wrong');
    both('TLS CA wrong',           undef, "$error not_sent", "$error", 'foreign');
    both('no connection in time',  undef, '504 upstream_timeout not_sent', '504 upstream_timeout', 'full');
    is($_->count, 0, $_->name . ' heard nothing') for $wrong, $foreign;
    is($api->count, $before, 'nor did Chatmaid');
    both('no answer in time', {hold => 'after'}, '504 upstream_timeout unknown', '504 upstream_timeout', 'slow');
    $api->fault({hold => 'after'});
    is(told(post(url('/slow/send'), {%$m, text => 'late'})), '504 upstream_timeout unknown', 'no answer in time, a new message');
    is(($api->messages)[-1]{content}, 'late', 'it was made');
    $api->release;
};

# One line when it begins to be refused, one when it is accepted again; a key that
# was put in its place is another one.
subtest 'the key is refused' => sub {
    my $lines = sub { join '', map { / (refused|accepts) the API key of "[^"]*api_key" (.*?), client/ ? "$1 $2\n" : () } $nginx->logged(qr/\[error\]/) };
    for my $status (401, 403) {
        both("$status", $envelope->($status), '502 upstream_auth not_sent');
        both("$status, HTML", {status => $status, body => $html, type => 'text/html'}, '502 upstream_auth not_sent');
    }
    my $refused = 'refused with status %d: %s; meanwhile calls are answered 502';
    my $first   = sprintf "$refused\n", 401, 'put a valid one there and reload nginx';
    is($lines->(), $first, 'one error line');
    wait_for(sub { get('/account'); $lines->() =~ /accepts/ }, 'the line that all is well');
    is($lines->(), $first .= "accepts again\n", 'and one afterwards');

    both('403', $envelope->(403), '502 upstream_auth not_sent');
    is($lines->(), $first .= sprintf("$refused\n", 403, "give it the right to this in Chatmaid's dashboard"), 'the next time');
    $nginx->key($other)->reload;
    both('another key', $envelope->(401), '502 upstream_auth not_sent');
    is($lines->(), $first . sprintf("$refused\n", 401, 'put a valid one there and reload nginx'), 'another key');
    $nginx->key(test_key)->reload;
};

subtest "Chatmaid's own errors" => sub {
    my %code = (400 => 'invalid_request', 404 => 'not_found', 405 => 'method_not_allowed', 413 => 'body_too_large',
        415 => 'unsupported_media_type', 422 => 'invalid_request', 429 => 'rate_limited');
    for my $status (sort keys %code) {
        both("$status", $envelope->($status), "$status $code{$status} not_sent");
    }
    my %outcome = (402 => 'not_sent', 407 => 'not_sent', 410 => 'not_sent', 418 => 'not_sent', 451 => 'not_sent', 408 => 'unknown', 409 => 'unknown');
    for my $status (sort keys %outcome) {
        for my $form ($envelope->($status), {status => $status, body => $html, type => 'text/html'}) {
            my $want = $form->{json} ? "$status upstream_error" : $invalid;
            $api->fault($form);
            is(told(post('/send', $m)), "$want $outcome{$status}", "$status: " . ($form->{json} ? 'kept' : 'HTML'));
        }
    }
    both("$_", $envelope->($_), "$error unknown") for 500, 501, 502, 503, 504, 520;

    my $say = sub ($fault, $at = 'chatmaid') { $api->fault($fault); post(url("/$at/send"), $m) };
    my $not_allowed = $say->({%{$envelope->(405)}, headers => {Allow => 'PUT'}});
    is(told($not_allowed), '405 method_not_allowed not_sent', 'a 405');
    is($not_allowed->{headers}{allow}, undef, 'a 405: no Allow, for the method was right');
    is($say->($envelope->(400))->{json}{detail}, 'one; two', 'messages joined');
    is($say->({status => 400, json => {message => 'a "string"'}})->{json}{detail}, 'a "string"', 'one message');
    like($say->({status => 400, json => {}})->{json}{detail}, qr/\w/, 'none');
    like($say->({status => 400, body => '[1]'})->{json}{detail}, qr/\w/, 'no object');
    like($say->({status => 400, json => {message => [1, undef, {}, []]}})->{json}{detail}, qr/\w/, 'no strings');
    is($say->({status => 400, json => {message => ["\x{1F600}\n"]}})->{json}{detail}, "\x{1F600}\n", 'any characters');
    for my $length (2040 .. 2050) {
        my $text = "\x{e9}" . 'a' x $length . "\x{e9}" x 20;
        is($say->({status => 400, json => {message => [$text]}})->{json}{detail}, $text, "one of $length characters and more");
    }
    like($say->({status => 400, json => {message => $_->[1]}})->{json}{detail}, qr/\w.*\w/, $_->[0])
        for ['an empty array', []], ['an array of numbers', [1, 2]], ['an array of null', [undef]], ['an array of arrays', [['x']]];
    is($say->({status => 400, json => {message => [1, 'one', undef, 'two', {}]}})->{json}{detail}, 'one; two', 'strings among others');
    for my $char ('x', "\x{20ac}") {
        my @long = map { $char x $_ } 1500, 3000;
        is($say->({status => 404, json => {message => [@long]}})->{json}{detail}, join('; ', @long), 'long ones');
    }

    my @wait = ([{retryAfter => 17}, {}, 17], [{retryAfter => 17}, {'Retry-After' => 3}, 17], [{}, {'Retry-After' => 3}, 3],
        [{retryAfter => 1.2}, {}, 2], [{retryAfter => 0}, {}, 1]);
    for (@wait) {
        my ($json, $headers, $want) = @$_;
        my $answer = $say->({%{$envelope->(429, %$json)}, headers => $headers}, fresh);
        is($answer->{headers}{'retry-after'}, $want, "retryAfter $want");
    }
    like($say->($envelope->(429), fresh)->{headers}{'retry-after'}, qr/^[1-9]\d*$/, '429 without a time has one all the same');
    is($say->({%{$envelope->(404)}, headers => {'Retry-After' => 9}})->{headers}{'retry-after'}, 9, 'with another status');
    my $leak = $say->({%{$envelope->(400)}, headers => {'Set-Cookie' => 'a=b', 'WWW-Authenticate' => 'Bearer', 'X-Powered-By' => 'x'}});
    is(join(' ', grep { $leak->{headers}{$_} } qw(set-cookie www-authenticate x-powered-by)), '', 'no header of its own passes');
};

# Whatever is wrong with the way there, a caller is not to look for the endpoint.
subtest 'a 404 of the path itself' => sub {
    my $no_route = sub ($what) { {status => 404, json => {success => \0, error => 'Not Found', message => ["Cannot $what"], statusCode => 404}} };
    my $send  = sub { post('/send', $m) };
    my %case = (
        'a send, no route'         => [$no_route->('POST /v1/v1/messages/send'), $send, '404 not_found not_sent', '/v1/messages/send'],
        'a read, no route'         => [$no_route->('GET /v1/v1/messages/msg_1'), sub { get('/messages/msg_1') }, '404 not_found', '/v1/messages/msg_1'],
        'what Chatmaid always has' => [$envelope->(404), sub { get('/account?a=%0a"') }, '404 not_found', '/v1/account\?a=%0a%22'],
        'a page, a send'           => [{status => 404, body => $html, type => 'text/html'}, $send, "$invalid not_sent", '/v1/messages/send'],
        'a page, a read'           => [{status => 404, body => $html, type => 'text/html'}, sub { get('/phones/x') }, $invalid, '/v1/phone-numbers/x'],
    );
    for my $name (sort keys %case) {
        my ($fault, $code, $want, $path) = @{$case{$name}};
        my $from = $nginx->logged(qr/\[error\]/);
        $api->fault($fault);
        my $answer = $code->();
        is(told($answer), $want, $name);
        like($answer->{json}{detail}, qr/(?:the way to it is wrong,|did not come from Chatmaid's API:) the gateway's log says more/, "$name: is told why");
        my @lines = $nginx->logged(qr/\[error\]/);
        like("@lines[$from .. $#lines]", qr{answered 404 for the path "$path" itself: "proxy_pass" of "/\.chatmaid/" must have}, "$name: the cure");
    }

    my $from   = $nginx->logged(qr/itself/);
    my $answer = post('/send', {%$m, from => '+15550100777'});
    is(told($answer), '404 not_found not_sent', 'a sender that Chatmaid does not know');
    is($answer->{json}{detail}, 'Phone number not found (Chatmaid does not know the sender, or its phone is not connected)', 'is told apart');
    is(get('/messages/msg_none')->{json}{detail}, 'Message not found', 'so is a message');
    is(get('/nothing')->{json}{detail}, 'there is no such endpoint', 'and an endpoint');
    is(scalar($nginx->logged(qr/itself/)), $from, 'none of these is logged');
};

subtest 'answers from elsewhere' => sub {
    my $message = {headers => {'X-Accel-Redirect' => '/page'}};
    both('X-Accel-Redirect', $message, "$invalid unknown", "$invalid", 'accel');
    both('X-Accel-Redirect to a gateway', {headers => {'X-Accel-Redirect' => '/.accel/v1/account'}}, "$invalid unknown", "$invalid", 'accel');
    both('X-Accel-Redirect to itself', {headers => {'X-Accel-Redirect' => '/.accel/'}}, "$invalid unknown", "$invalid", 'accel');
    both('intercepted 400', $envelope->(400), '400 invalid_request not_sent', '400 invalid_request', 'intercept');
    both('intercepted 503', $envelope->(503), "$error unknown", "$error", 'intercept');
    both('error_page for a timeout', {hold => 'after'}, '504 upstream_timeout unknown', '504 upstream_timeout', 'errors');
    $api->release;
    both('error_page for no answer', {close => 'before'}, "$error unknown", "$error", 'errors');
};

sub files ($where) { my @found = `find $where -type f 2>/dev/null`; return scalar @found }

subtest 'nothing is kept' => sub {
    my $dir = $nginx->dir;
    my $before = $api->count;
    is(post(url('/cache/send'), {%$m, text => $_})->{json}{content}, $_, "cache: send $_") for qw(one two);
    my $id = post(url('/cache/send'), $m)->{json}{id};
    is(get(url("/cache/messages/$id"))->{json}{id}, $id, 'cache: read') for 1 .. 2;
    is(get(url('/cache/messages/none'))->{status}, 404, 'cache: another read');
    is($api->count, $before + 6, 'cache: each reached Chatmaid');
    is(post(url('/store/send'), $m)->{status}, 201, 'store: send');
    is(get(url("/store/messages/$id"))->{json}{id}, $id, 'store: read');
    is(files("$dir/cache $dir/stored"), 0, 'no file');

    my $big = 'x' x 4000;
    is(post(url('/small/send'), {%$m, text => $big})->{json}{content}, $big, 'small buffers: send');
    $api->fault({oversize => 3 << 20});
    is(post(url('/small/send'), {%$m, text => 'large answer'})->{status}, 201, 'small buffers: 3 MiB');
    $api->fault({oversize => 3 << 20, chunked => 50, headers => {'X-Accel-Buffering' => 'yes'}});
    is(get(url("/small/messages/$id"))->{status}, 200, 'small buffers: 3 MiB in chunks');
    is(scalar(grep { /buffered to a temporary file/ } $nginx->log_lines), 0, 'no temporary file');
    is(files("$dir/proxy"), 0, 'nothing left of one');
};

done;
