# nginx's own errors in a gateway location are problem+json, unless the operator's
# error_page takes them; everywhere else nothing is touched.

use Chatmaid::Test;

my %location = (
    deny         => 'deny all;',
    small        => 'client_max_body_size 100; chatmaid_sender +15550100001;',
    basic        => 'auth_basic "staff"; auth_basic_user_file %DIR%/users;',
    any          => 'satisfy any; allow 10.0.0.0/8; deny all; auth_basic "any"; auth_basic_user_file %DIR%/users;',
    auth401      => 'auth_request /auth/basic;',
    auth403      => 'auth_request /auth/403;',
    auth500      => 'auth_request /auth/dead;',
    limit        => 'limit_req zone=a; chatmaid_sender +15550100001;',
    limit429     => 'limit_req zone=b; limit_req_status 429; chatmaid_sender +15550100001;',
    conn         => 'limit_conn c 1;',
    conn429      => 'limit_conn d 1; limit_conn_status 429;',
    returned     => 'return 404;',
    words        => 'return 403 "as the operator wishes";',
    headers      => 'deny all; add_header X-Shown yes always; charset utf-8; default_type text/plain;',
    own          => 'deny all; error_page 403 /sorry; error_page 404 /sorry;',
    other_status => 'deny all; error_page 401 /sorry;',
    changed      => 'deny all; error_page 403 =200 /sorry;',
    named        => 'deny all; error_page 403 @sorry;',
    scoped       => 'chatmaid_scope messages:send; error_page 400 403 404 405 415 502 /sorry; chatmaid_sender +15550100001;',
    operator     => 'return 200 "for the operator";',
    led          => 'deny all; error_page 403 /operator/page;',
    led_equals   => 'deny all; error_page 403 = /operator/page;',
    led_changed  => 'deny all; error_page 403 =200 /operator/page;',
    led_moved    => 'deny all; error_page 403 =418 /operator/page;',
    led_words    => 'deny all; error_page 403 /words/page;',
    led_on       => 'deny all; error_page 403 /deny/page;',
    led_around   => 'deny all; error_page 403 /led_around/page;',
    led_lost     => 'deny all; error_page 403 /returned/page;',
    led_endpoint => 'deny all; error_page 403 /chatmaid/account;',
    proxied      => 'deny all; error_page 403 = @backend;',
);
my %gateway = (missing => '/.nowhere/', open => '/.open/', forbidden => '/.forbidden/', empty => '/.empty/');
my %calls   = (
    nowhere   => 'rewrite ^ /no/such/file last;',
    open      => '} location ~ ^/.open/ { proxy_pass https://chatmaid_api;',
    forbidden => 'if ($request_id) { return 403; }',
    empty     => '} location ~ ^/.empty/ { internal;',
);

my $api   = sandbox;
my $nginx = nginx(
    http  => "limit_req_zone \$server_port zone=a:1m rate=1r/m; limit_req_zone \$server_port zone=b:1m rate=1r/m;\n"
        . "limit_conn_zone \$server_port zone=c:1m; limit_conn_zone \$server_port zone=d:1m;",
    files => {users => "ann:{PLAIN}swordfish\n"},
    server => join("\n",
        (map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; $location{$_} }" } sort keys %location),
        (map { "location ^~ /$_/ { chatmaid_gateway $gateway{$_}; chatmaid_sender +15550100001; }" } sort keys %gateway),
        # fine at start, but it is not where calls arrive
        (map { "location /.$_/ { internal; proxy_pass https://chatmaid_api/; $calls{$_} }" } sort keys %calls),
        'location = /sorry        { default_type text/plain; return 200 "so sorry"; }',
        'location @sorry          { default_type text/plain; return 418 "so very sorry"; }',
        'location @backend        { proxy_pass http://127.0.0.1:%PORT:backend%; }',
        'location = /auth/basic   { internal; proxy_pass http://127.0.0.1:%PORT:backend%/basic; proxy_pass_request_body off; proxy_set_header Content-Length ""; }',
        'location = /auth/403     { internal; return 403; }',
        'location = /auth/dead    { internal; proxy_pass http://127.0.0.1:1; }',
        'location /denied/        { deny all; }',
        'location /denied/led/    { deny all; error_page 403 /deny/page; }'),
    servers => <<'END');
    server {
        listen 127.0.0.1:%PORT:inherited%;
        error_page 403 404 502 /sorry;
        location = /sorry      { default_type text/plain; return 200 "so sorry"; }
        location ^~ /chatmaid/ { chatmaid_gateway /.nowhere/; deny all; }
        location ^~ /lost/     { chatmaid_gateway /.nowhere/; }
        location ^~ /cleared/  { chatmaid_gateway /.nowhere/; deny all; error_page 418 /sorry; }
        location /.nowhere/    { internal; proxy_pass https://chatmaid_api/; rewrite ^ /no/such/file last; }
    }
    server {
        listen 127.0.0.1:%PORT:backend%;
        location = /basic { auth_basic "far away"; auth_basic_user_file %DIR%/users; }
        location /        { default_type text/html; return 403 "<html>the backend's own</html>"; }
    }
END

my $m = {to => '+15550100099', text => 'Your table is ready'};

sub at ($path, $port = 0) { $port ? 'http://127.0.0.1:' . $nginx->port($port) . $path : url($path) }
sub basic ($password)     { ('Authorization' => 'Basic ' . {swordfish => 'YW5uOnN3b3JkZmlzaA=='}->{$password}) }

sub problem ($answer, $status, $code, $name, $outcome = undef) {
    my $json = $answer->{json};
    is($answer->{status}, $status, "$name: status");
    is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: type");
    is($answer->{headers}{'content-length'}, length $answer->{body}, "$name: length");
    is_deeply([@$json{qw(status code outcome)}], [$status, $code, $outcome], "$name: $code");
    ok(length $json->{$_}, "$name: $_") for qw(type title detail);
    like($json->{requestId}, qr/\A[0-9a-f]{32}\z/, "$name: request ID");
    is($answer->{headers}{'x-request-id'}, $json->{requestId}, "$name: X-Request-Id");
    return $answer;
}

sub untouched ($answer, $status, $pattern, $name) {
    is($answer->{status}, $status, "$name: status");
    like($answer->{body}, $pattern, "$name: body");
    unlike($answer->{headers}{'content-type'}, qr/problem/, "$name: type");
}


subtest 'access control' => sub {
    problem(get(at('/deny/account')), 403, 'forbidden', 'deny');
    problem(post(at('/deny/send'), $m), 403, 'forbidden', 'deny, a send', 'not_sent');
    problem(get(at('/deny/nothing')), 403, 'forbidden', 'deny, no endpoint');

    my $basic = problem(get(at('/basic/account')), 401, 'unauthorized', 'auth_basic');
    is($basic->{headers}{'www-authenticate'}, 'Basic realm="staff"', 'its challenge');
    is(get(at('/basic/account'), basic('swordfish'))->{status}, 200, 'and with a password');

    my $asked = problem(get(at('/auth401/account')), 401, 'unauthorized', 'auth_request, 401');
    is($asked->{headers}{'www-authenticate'}, 'Basic realm="far away"', 'its challenge');
    problem(post(at('/auth403/send'), $m), 403, 'forbidden', 'auth_request, 403', 'not_sent');
    problem(get(at('/auth500/account')), 500, 'internal_error', 'auth_request without a backend');

    my $any = problem(get(at('/any/account')), 401, 'unauthorized', 'satisfy any');
    is($any->{headers}{'www-authenticate'}, 'Basic realm="any"', 'its challenge');
    is(get(at('/any/account'), basic('swordfish'))->{status}, 200, 'satisfied');

    problem(get(at('/returned/account')), 404, 'not_found', 'return 404');
    is(get(at('/headers/account'))->{headers}{'x-shown'}, 'yes', 'add_header always');
    problem(get(at('/headers/account')), 403, 'forbidden', 'charset and default_type');
    is(get(at('/deny/account'), 'X-Request-Id' => 'mine-1')->{json}{requestId}, 'mine-1', "the caller's request ID");
    problem(get(at('/deny/account'), 'X-Request-Id' => 'not mine'), 403, 'forbidden', 'an unfit request ID');
};

subtest 'a body that is too large' => sub {
    my $head = "POST /small/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    my $big  = '{"text":"' . 'x' x 200 . '"}';
    problem(raw($head . "Content-Length: ${\length $big}\r\n\r\n$big"), 413, 'body_too_large', 'with its body', 'not_sent');
    problem(raw($head . "Content-Length: 1000000\r\n\r\n"), 413, 'body_too_large', 'by its length', 'not_sent');
    problem(raw($head . "Content-Length: 101\r\nExpect: 100-continue\r\n\r\n"), 413, 'body_too_large', 'expecting', 'not_sent');
    problem(raw([$head . "Transfer-Encoding: chunked\r\n\r\n", map { sprintf "%x\r\n%s\r\n", length, $_ } $big, $big]),
        413, 'body_too_large', 'chunked', 'not_sent');
    problem(raw($head . "Transfer-Encoding: chunked\r\n\r\nfff\r\nx"), 413, 'body_too_large', 'chunked, by its size', 'not_sent');
    problem(raw($head . "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400, 'invalid_request', 'not chunked at all', 'not_sent');
    is(post(at('/small/send'), $m)->{status}, 201, 'a small one');
};

subtest 'limits' => sub {
    is(get(at('/limit/account'))->{status}, 200, 'limit_req: the first');
    problem(get(at('/limit/account')), 503, 'unavailable', 'limit_req');
    problem(get(at('/limit/account')), 503, 'unavailable', 'limit_req again');
    is(get(at('/limit429/account'))->{status}, 200, 'limit_req_status: the first');
    my $slow = problem(get(at('/limit429/account')), 429, 'rate_limited', 'limit_req_status');
    like($slow->{headers}{'retry-after'}, qr/\A[1-9][0-9]*\z/, 'its Retry-After');
    like(post(at('/limit/send'), $m)->{json}{outcome}, qr/^(?:not_sent|unknown)$/, 'the outcome of a send');

    for my $case (['conn', 503, 'unavailable'], ['conn429', 429, 'rate_limited']) {
        my ($name, $status, $code) = @$case;
        $api->fault({hold => 'before'});
        my $first = later(GET => at("/$name/account"));
        $api->wait_held;
        problem(get(at("/$name/account")), $status, $code, "limit_conn, $status");
        $api->release;
        is($first->result->{status}, 200, 'limit_conn: the first');
        is(get(at("/$name/account"))->{status}, 200, 'limit_conn: the next');
    }
};

subtest 'an internal location that is none' => sub {
    my $before = $api->count;
    for my $name (sort keys %gateway) {
        problem(get(at("/$name/account")), 502, 'upstream_error', "$name: a read");
        problem(post(at("/$name/send"), {%$m, text => $name}), 502, 'upstream_error', "$name: a send", 'not_sent');
        is(scalar(grep { /\Q"$gateway{$name}"/ } $nginx->logged(qr/\[error\].*chatmaid/)), 2, "$name: the log says so");
    }
    is($api->count, $before, 'nothing was called');
};

subtest 'the shape of the connection' => sub {
    my $head = raw("HEAD /deny/account HTTP/1.1\r\nHost: localhost\r\n\r\nGET /deny/account HTTP/1.1\r\n"
        . "Host: localhost\r\nConnection: close\r\n\r\n", all => 1);
    my ($first, $second) = $head->{raw} =~ /\A(HTTP\/1\.1 403 .*?\r\n\r\n)(HTTP\/1\.1 403 .*)\z/s;
    ok($second, 'HEAD: no body before the next answer');
    like($first, qr{^Content-Type: application/problem\+json\r$}m, 'HEAD: type');
    like($first, qr/^Content-Length: (?!0)/m, 'HEAD: length');

    my $old = raw("GET /deny/account HTTP/1.0\r\n\r\n");
    problem($old, 403, 'forbidden', 'HTTP/1.0');
    my $kept = raw("GET /deny/account HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /chatmaid/account HTTP/1.0\r\n\r\n", all => 1);
    like($kept->{raw}, qr/ 403 .* 200 /s, 'HTTP/1.0: kept alive');

    my $body = '{"text":"' . 'x' x 70_000 . '"}';
    for my $path ('/deny/send', '/basic/send', '/limit/send', '/returned/x', '/chatmaid/nothing', '/chatmaid/account', '/auth403/send') {
        my $two = raw("POST $path HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${\length $body}\r\n\r\n$body"
            . "GET /chatmaid/account HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", all => 1);
        like($two->{raw}, qr/\AHTTP\/1\.1 [45]\d\d .*\}HTTP\/1\.1 200 /s, "$path: the next request on the connection");
    }
};

subtest "the operator's pages" => sub {
    untouched(get(at('/own/account')), 403, qr/^so sorry$/, 'error_page');
    untouched(get(at('/changed/account')), 200, qr/^so sorry$/, 'error_page =200');
    like(get(at('/named/account'))->{body}, qr/^so very sorry$/, 'a named location');
    untouched(get(at('/proxied/account')), 403, qr/the backend's own/, 'a backend');
    untouched(get(at('/led/account')), 403, qr/^for the operator$/, 'a page in a gateway location');
    untouched(get(at('/led_changed/account')), 200, qr/^for the operator$/, 'a page in a gateway location, =200');
    untouched(get(at('/led_moved/account')), 418, qr/^for the operator$/, 'a page in a gateway location, =418');
    untouched(get(at('/led_equals/account')), 200, qr/^for the operator$/, 'a page in a gateway location, =');
    untouched(get(at('/led_words/account')), 403, qr/^as the operator wishes$/, 'a page in a gateway location that has its own status');
    untouched(get(at('/words/account')), 403, qr/^as the operator wishes$/, 'return with a text');
    untouched(get(at('/chatmaid/account', 'inherited')), 403, qr/^so sorry$/, 'inherited');
    problem(get(at('/other_status/account')), 403, 'forbidden', 'for another status');
    problem(get(at('/cleared/account', 'inherited')), 403, 'forbidden', 'inherited no more');

    # an error of nginx's own where an error_page has led is one as well
    problem(get(at('/led_on/account')), 403, 'forbidden', 'led to a location that denies');
    problem(post(at('/led_on/send'), $m), 403, 'forbidden', 'led to a location that denies, a send');
    problem(get(at('/led_around/account')), 403, 'forbidden', 'led to the same location');
    problem(get(at('/led_lost/account')), 404, 'not_found', 'led to a return without a text');
    problem(get(at('/denied/led/x')), 403, 'forbidden', 'led here from elsewhere');
    is(get(at('/led_endpoint/account'))->{status}, 200, 'led to an endpoint');

    # the module's own answers are never taken
    problem(get(at('/scoped/account')), 403, 'scope_denied', 'own 403');
    problem(get(at('/scoped/nothing')), 404, 'not_found', 'own 404');
    problem(get(at('/scoped/send')), 405, 'method_not_allowed', 'own 405');
    problem(post(at('/scoped/send'), '{'), 400, 'invalid_json', 'own 400', 'not_sent');
    problem(post(at('/scoped/send'), $m, 'Content-Type' => 'text/plain'), 415, 'unsupported_media_type', 'own 415', 'not_sent');
    problem(get(at('/lost/account', 'inherited')), 502, 'upstream_error', 'own 502');
    problem(post(at('/scoped/send'), {%$m, from => '+15550100777'}), 404, 'not_found', "Chatmaid's 404", 'not_sent');
};

subtest 'other locations' => sub {
    untouched(get(at('/denied/x')), 403, qr/<html>.*403 Forbidden/s, 'deny elsewhere');
    untouched(get(at('/no-such-file')), 404, qr/<html>.*404 Not Found/s, 'no such file');
    untouched(get(at('/.chatmaid/v1/account')), 404, qr/<html>/, 'the internal location from outside');
    is(get(at('/denied/x'))->{headers}{'x-request-id'}, undef, 'no X-Request-Id there');
    untouched(raw("GET /deny/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n"), 400, qr/<html>/, 'a broken request line');
};

done;
