# The native face: every error is Chatmaid's envelope, whoever made it: Chatmaid,
# the gateway, or nginx itself.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(encode url_unescape);

my $api = sandbox;

my %place = (
    sender    => 'chatmaid_sender +15550100001 fixed;',
    nobody    => 'chatmaid_sender $arg_sender;',
    scoped    => 'chatmaid_scope messages:read;',
    unscoped  => 'chatmaid_idempotency_scope $http_x_service;',
    deny      => 'deny all;',
    basic     => 'auth_basic "staff"; auth_basic_user_file %DIR%/users;',
    limit     => 'limit_req zone=a;',
    limit429  => 'limit_req zone=b; limit_req_status 429;',
    small     => 'client_max_body_size 100;',
    returned  => 'return 404;',
    own       => 'deny all; error_page 403 /sorry;',
    impatient => 'chatmaid_idempotency_wait 0;',
    refused   => 'chatmaid_gateway /.refused/;',
    missing   => 'chatmaid_gateway /.nowhere/;',
    hasty     => 'chatmaid_timeout 300ms;',
    limited   => 'chatmaid_account limited; chatmaid_timeout 6s;',
    limited2  => 'chatmaid_account limited2; chatmaid_timeout 6s;',
    limited3  => 'chatmaid_account limited3; chatmaid_timeout 6s;',
);
my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    http    => 'chatmaid_retries 0; limit_req_zone $server_port zone=a:1m rate=1r/m; limit_req_zone $server_port zone=b:1m rate=1r/m;',
    files   => {users => "ann:{PLAIN}swordfish\n"},
    server  => join "\n", 'location = /sorry { return 200 "so sorry"; }',
        'location = /lost { error_page 404 /renamed/old/nothing; return 404; }',
        'location ^~ /renamed/ { rewrite ^/renamed/old/(.*) /renamed/v1/$1 break; chatmaid_gateway /.chatmaid/; }',
        'location ^~ /.nowhere/ { internal; proxy_pass https://chatmaid_api/; rewrite ^ /no/such/file last; }',
        "location ^~ /.refused/ { %PROXY% proxy_pass https://127.0.0.1:%PORT:nobody%/; }",
        map { my $own = $place{$_}; "location ^~ /$_/ { $own " . ($own =~ /chatmaid_gateway/ ? '' : 'chatmaid_gateway /.chatmaid/; ')
            . ($own =~ /chatmaid_sender/ ? '' : 'chatmaid_sender +15550100001; ') . '}' } sort keys %place,
);

sub at ($place, $path) { $nginx->url("/$place/v1/$path") }
sub sent ($place, $m = native_message, @headers) { post(at($place, 'messages/send'), $m, @headers) }
sub fails ($status, %more) { {status => $status, json => {success => \0, error => 'Own Name', message => ['one', 'two'], statusCode => $status, %more}} }

# Asserts the envelope of an error, all of it.
sub envelope ($answer, $status, $path, $name) {
    my $json = ref $answer->{json} eq 'HASH' ? $answer->{json} : {};
    my @more = $answer->{headers}{'retry-after'} && exists $json->{retryAfter} ? 'retryAfter' : ();
    is($answer->{status}, $status, "$name: status");
    is($answer->{headers}{'content-type'}, 'application/json', "$name: type");
    is($answer->{headers}{'content-length'}, length $answer->{body}, "$name: length");
    is_deeply([sort keys %$json], [sort qw(success error message statusCode timestamp path), @more], "$name: members");
    like($answer->{body}, qr/"success":false\b/, "$name: success");
    like($answer->{body}, qr/"statusCode":$status\b/, "$name: statusCode");
    ok(!ref $json->{error} && $json->{error} =~ /[A-Za-z]/, "$name: error");
    is(ref $json->{message}, 'ARRAY', "$name: message is an array");
    ok(@{$json->{message} // []} && !(grep { ref || !/\w/ } @{$json->{message}}), "$name: of texts");
    like($json->{timestamp}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/, "$name: timestamp");
    is(url_unescape(encode('UTF-8', $json->{path} // '')), url_unescape("/v1/$path"), "$name: path");
    like($answer->{headers}{'x-request-id'}, qr/\A[0-9a-f]{32}\z/, "$name: X-Request-Id");
    if ($status == 429) {
        like($answer->{body}, qr/"retryAfter":[1-9][0-9]*[,}]/, "$name: retryAfter, an integer");
        is($answer->{headers}{'retry-after'}, $json->{retryAfter}, "$name: Retry-After, the same");
    }
    return $answer;
}


subtest "the gateway's own: what was asked" => sub {
    my $before = $api->count;
    my $wrong  = envelope(sent('chatmaid', {to => 1, content => 2, mediaUrls => ['http://a.example/x', 'https://b.example/y', 3]}), 400, 'messages/send', 'a message with faults');
    is(scalar @{$wrong->{json}{message}}, 4, 'all of them');
    like(join(' | ', @{$wrong->{json}{message}}), qr/\bto\b.*\bcontent\b.*\bmediaUrls\b/, 'by their names');
    envelope(sent('chatmaid', '{'), 400, 'messages/send', 'not JSON');
    envelope(sent('chatmaid', '[]'), 400, 'messages/send', 'not an object');
    envelope(sent('chatmaid', native_message, 'Idempotency-Key' => 'a b'), 400, 'messages/send', 'a bad key');
    envelope(sent('chatmaid', {%{+native_message}, idempotencyKey => 'a'}, 'Idempotency-Key' => 'b'), 400, 'messages/send', 'two keys');
    envelope(sent('chatmaid', native_message, 'Content-Type' => 'text/plain'), 415, 'messages/send', 'another type');
    envelope(sent('chatmaid', native_message, 'Content-Encoding' => 'gzip'), 415, 'messages/send', 'an encoding');
    my $no_sender = native_message;
    delete $no_sender->{fromPhoneId};
    envelope(sent('nobody', $no_sender), 400, 'messages/send', 'no sender');
    envelope(sent('sender', {%{+native_message}, fromPhoneId => '+15550100002'}), 403, 'messages/send', 'another sender');
    envelope(sent('scoped'), 403, 'messages/send', 'a scope that is not allowed');
    envelope(get(at('scoped', 'account')), 403, 'account', 'nor for a read');
    envelope(sent('unscoped'), 403, 'messages/send', 'no name space');
    envelope(get(at('chatmaid', 'nothing?a=b')), 404, 'nothing', 'no endpoint');
    envelope(post(at('chatmaid', 'nothing'), native_message), 404, 'nothing', 'no endpoint, POST');
    is(envelope(post(at('chatmaid', 'account'), native_message), 405, 'account', 'another method')->{headers}{allow}, 'GET, HEAD', 'Allow');
    is(envelope(request(DELETE => at('chatmaid', 'messages/msg_1')), 405, 'messages/msg_1', 'a method that Chatmaid has nowhere')->{headers}{allow}, 'GET, HEAD', 'Allow');
    envelope(get(at('chatmaid', 'messages/a%2Fb')), 400, 'messages/a%2Fb', 'a slash in an ID');
    is($api->count, $before, 'nothing was called');
    is(sent('chatmaid', native_message, 'X-Request-Id' => 'mine-1')->{status}, 201, 'what is right');
    is(sent('chatmaid', {}, 'X-Request-Id' => 'mine-1')->{headers}{'x-request-id'}, 'mine-1', "the caller's ID");
};

# Whatever stands in a path, it is told as JSON.
subtest 'paths' => sub {
    for my $path ('nothing/%22%5C', 'nothing/%C3%A9', 'nothing/%2B+', "nothing/\xc3\xa9", 'x' x 3000) {
        my $answer = raw($nginx->port, "GET /chatmaid/v1/$path HTTP/1.1\r\nHost: localhost\r\n\r\n");
        envelope($answer, 404, $path, substr $path, 0, 30);
    }
    for my $path ('nothing/%FF', "nothing/\xff\xfe", 'nothing/%01', 'nothing/%7f', 'messages/%ED%A0%80/x') {
        my $answer = raw($nginx->port, "GET /chatmaid/v1/$path HTTP/1.1\r\nHost: localhost\r\n\r\n");
        like($answer->{status}, qr/^40[04]$/, "$path: status");
        is(ref $answer->{json}, 'HASH', "$path: JSON");
        is($answer->{json}{statusCode}, $answer->{status}, "$path: an envelope");
    }
};

subtest "the gateway's own: the operation" => sub {
    my $m = native_message;
    $api->fault({hold => 'before'});
    my $held = later(POST => at('chatmaid', 'messages/send'), $m, 'Idempotency-Key' => 'k1');
    $api->wait_held;
    my $busy = envelope(sent('impatient', $m, 'Idempotency-Key' => 'k1'), 409, 'messages/send', 'in flight');
    is($busy->{headers}{'retry-after'}, 1, 'Retry-After');
    is($busy->{headers}{'idempotency-key'}, 'k1', 'the key');
    $api->release;
    is($held->result->{status}, 201, 'the one');
    envelope(sent('chatmaid', native_message, 'Idempotency-Key' => 'k1'), 422, 'messages/send', 'a key used again');

    $api->fault({hold => 'before'});
    my $late = envelope(sent('hasty', native_message, 'Idempotency-Key' => 'k2'), 504, 'messages/send', 'the deadline');
    is($late->{headers}{connection}, 'close', 'its connection ends');
    is($late->{headers}{'idempotency-key'}, 'k2', 'the key');
    $api->release;
    $api->fault({hold => 'before'});
    envelope(get(at('hasty', 'account')), 504, 'account', 'the deadline of a read');
    $api->release;

    my $redis  = redis_server;
    my $strict = nginx(name => 'strict', gateway => 'chatmaid_sender +15550100001;', http => 'chatmaid_redis ' . $redis->url . ' fallback=reject;');
    $redis->stop;
    my $away = envelope($strict->post('/v1/messages/send', native_message), 503, 'messages/send', 'Redis is away');
    ok($away->{headers}{'retry-after'}, 'Retry-After');
    is($strict->get('/v1/account')->{status}, 200, 'a read goes on');
};

subtest 'a call that fails' => sub {
    my $message = 'messages/send';
    my $html    = {body => '<html>', type => 'text/html'};
    my %fault   = ('500' => fails(500), '503' => fails(503), '504' => fails(504), 'HTML 502' => {status => 502, %$html}, 'HTML 200' => {status => 200, %$html},
        'HTML 400' => {status => 400, %$html}, 'closed' => no_answer('before'), 'truncated' => {truncate => 20}, 'truncated chunks' => {truncate => 20, chunked => 3},
        '5 MiB' => {oversize => 5 << 20}, 'empty' => {status => 200, body => ''}, '204' => {status => 204, body => ''}, 'redirected' => {status => 302, body => '', headers => {Location => '/x'}},
        'the key refused' => fails(401), 'the key has no right' => fails(403));
    for my $name (sort keys %fault) {
        $api->fault($fault{$name});
        my $answer = envelope(sent('chatmaid'), 502, $message, "$name: a send");
        like($answer->{headers}{'idempotency-key'}, qr/^auto-/, "$name: the key");
        $api->fault($fault{$name});
        envelope(get(at('chatmaid', 'account')), 502, 'account', "$name: a read");
    }
    envelope(sent('refused'), 502, $message, 'no connection');
    envelope(get(at('missing', 'account')), 502, 'account', 'led away from the internal location');
    my $read = {status => 200, body => '{"success":true,"data":{}}'};
    for my $type ('text/html', 'text/plain; charset=utf-8', 'application/jsonp', 'application/octet-stream', 'application/json-seq') {
        $api->fault({%$read, type => $type});
        envelope(get(at('chatmaid', 'account')), 502, 'account', "a read that is said to be $type");
    }
    for my $body ('fine', '<html>', '"text"', "\xef\xbb\xbf{}", "\0{}") {
        $api->fault({%$read, body => $body});
        envelope(get(at('chatmaid', 'account')), 502, 'account', 'a read that begins with ' . $body =~ s/[^ -~]/?/gr);
    }
    for my $type ('application/json', 'application/json; charset=utf-8', 'Application/JSON') {
        $api->fault({%$read, type => $type});
        is(get(at('chatmaid', 'account'))->{status}, 200, "a read that is said to be $type");
    }
};

subtest "Chatmaid's own" => sub {
    my $chatmaid = client(base => 'https://127.0.0.1:' . $api->port, keepalive => 1);
    my @key      = (Authorization => 'Bearer ' . test_key);
    my %without  = map { $_ => undef } qw(timestamp);
    for my $path ('messages/nobody', 'messages/inbound/nobody', 'phone-numbers/nobody', 'phone-numbers/%2B15550100777/status', 'groups', 'groups?fromPhoneId=nobody',
        'messages?status=lost', 'messages?limit=0&page=x', 'account/usage?period=year')
    {
        my $direct = $chatmaid->get("/v1/$path", @key);
        my $answer = envelope(get(at('chatmaid', $path)), $direct->{status}, $path =~ s/\?.*//r, $path);
        is_deeply({%{$answer->{json}}, %without}, {%{$direct->{json}}, %without}, "$path: as Chatmaid says it");
    }
    my $unknown = {%{+native_message}, fromPhoneId => '+15550100777'};
    my $answer  = envelope(sent('chatmaid', $unknown), 404, 'messages/send', 'a send');
    is_deeply({%{$answer->{json}}, %without}, {%{$chatmaid->post('/v1/messages/send', $unknown, @key)->{json}}, %without}, 'a send: as Chatmaid says it');

    for my $status (402, 404, 409, 410, 413, 415, 418, 422) {
        $api->fault(fails($status));
        my $json = envelope(sent('chatmaid'), $status, 'messages/send', "a send, $status")->{json};
        is_deeply([@$json{qw(error message)}], ['Own Name', ['one', 'two']], "a send, $status: its words");
        $api->fault(fails($status));
        $json = envelope(get(at('chatmaid', 'account')), $status, 'account', "a read, $status")->{json};
        is_deeply([@$json{qw(error message)}], ['Own Name', ['one', 'two']], "a read, $status: its words");
    }
    my @odd = ([{message => 'a text'}, ['a text']], [{message => undef}], [{message => []}], [{message => [1, {}]}], [{message => ['one', 2, 'two']}, ['one', 'two']],
        [{error => undef, message => ['x']}, ['x']], [{error => ['x']}], [{error => ''}]);
    for my $odd (@odd) {
        $api->fault({status => 400, json => {success => \0, %{$odd->[0]}}});
        my $json = envelope(get(at('chatmaid', 'account')), 400, 'account', encode_json($odd->[0]))->{json};
        is_deeply($json->{message}, $odd->[1], 'its message') if $odd->[1];
    }
    $api->fault({status => 404, body => '[]'});
    envelope(get(at('chatmaid', 'account')), 404, 'account', 'an array');
};

subtest 'the rate limit' => sub {
    my $slow = {status => 429, body => '{"success":false,"error":"Rate limit exceeded","retryAfter":17}'};
    $api->fault($slow);
    my $send = envelope(sent('limited'), 429, 'messages/send', 'a send');
    is_deeply([@{$send->{json}}{qw(error retryAfter)}], ['Rate limit exceeded', 17], 'as Chatmaid says it');
    my $before = $api->count;
    my $read   = envelope(get(at('limited', 'account')), 429, 'account', 'a read that is held back');
    like($read->{json}{retryAfter}, qr/\A(?:[1-9]|1[0-7])\z/, 'for the rest of the time');
    envelope(sent('limited'), 429, 'messages/send', 'a send that is held back');
    is($api->count, $before, 'Chatmaid was not asked');
    $api->fault({status => 429, body => '{}', headers => {'Retry-After' => 9}});
    is(envelope(get(at('limited2', 'account')), 429, 'account', 'a read')->{json}{retryAfter}, 9, 'by the header');
    $api->fault({status => 429, body => '<html>slow down</html>', type => 'text/html', headers => {'Retry-After' => 19}});
    my $page = envelope(sent('limited3'), 429, 'messages/send', "a proxy's page");
    is($page->{json}{retryAfter}, 19, 'its Retry-After');
};

subtest "nginx's own" => sub {
    envelope(get(at('deny', 'account')), 403, 'account', 'deny');
    envelope(sent('deny'), 403, 'messages/send', 'deny, a send');
    is(envelope(get(at('basic', 'account')), 401, 'account', 'auth_basic')->{headers}{'www-authenticate'}, 'Basic realm="staff"', 'its challenge');
    is(get(at('limit', 'account'))->{status}, 200, 'limit_req: the first');
    envelope(get(at('limit', 'account')), 503, 'account', 'limit_req');
    is(get(at('limit429', 'account'))->{status}, 200, 'limit_req_status: the first');
    envelope(get(at('limit429', 'account')), 429, 'account', 'limit_req_status');
    envelope(sent('limit429'), 429, 'messages/send', 'limit_req_status, a send');
    envelope(sent('small', {%{+native_message}, content => 'x' x 200}), 413, 'messages/send', 'too large');
    envelope(get(at('returned', 'account')), 404, 'account', 'return 404');
    is(get(at('own', 'account'))->{body}, 'so sorry', "the operator's page");
    is(get($nginx->url('/deny//v1/account'))->{json}{path}, '/v1/account', '//v1: its path');
    envelope(get($nginx->url('/renamed/old/nothing')), 404, 'nothing', 'a rewrite led here');
    envelope(get($nginx->url('/lost')), 404, 'nothing', 'an error_page and a rewrite led here');
    is(get($nginx->url('/deny/account'))->{headers}{'content-type'}, 'application/problem+json', 'the other face has its own form');
};

done;
