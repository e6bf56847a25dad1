# The route table of the simplified face: which request becomes which call, and
# what comes back.

use Chatmaid::Test;

my $api   = sandbox;
my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    files   => {live => live_key . "\n"},
    server  => join '',
        gateway_at('live', 'chatmaid_api_key_file %DIR%/live; chatmaid_sender +15550100001;'),
        map { gateway_at(s/:/-/r, "chatmaid_scope $_; chatmaid_sender +15550100001;") }
            'messages:send', 'messages:read', 'phone_numbers:read', 'account:read',
            'account:read messages:send');

sub gateway_at ($name, $more) {
    $name =~ s/\W+/-/g;
    return "location ^~ /$name/ { chatmaid_gateway /.chatmaid/; $more }\n";
}

my $chatmaid = client(base => 'https://127.0.0.1:' . $api->port, keepalive => 1);

sub at ($path) { url($path) }
sub code ($answer) { $answer->{json}{code} // '' }

my $sent    = post('/send', message);
my $message = $sent->{json}{id};
my $phone   = get('/phones')->{json}[0]{id};
my $inbound = get(at('/live/messages/inbound'))->{json}{data}[0]{id};

# [request, target, scope]
my @reads = (
    ['messages',                  '/v1/messages',                     'messages-read'],
    ['messages?status=sent&limit=1', '/v1/messages?status=sent&limit=1', 'messages-read'],
    ['messages?phoneNumberId=%2B15550100001&page=1', '/v1/messages?phoneNumberId=%2B15550100001&page=1', 'messages-read'],
    ["messages/$message",         "/v1/messages/$message",            'messages-read'],
    ['messages/inbound',          '/v1/messages/inbound',             'messages-read'],
    ['messages/inbound?page=1&limit=5', '/v1/messages/inbound?page=1&limit=5', 'messages-read'],
    ['phones',                    '/v1/phone-numbers',                'phone_numbers-read'],
    ["phones/$phone",             "/v1/phone-numbers/$phone",         'phone_numbers-read'],
    ['phones/%2B15550100001',     '/v1/phone-numbers/%2B15550100001', 'phone_numbers-read'],
    ["phones/$phone/status",      "/v1/phone-numbers/$phone/status",  'phone_numbers-read'],
    ['groups?from=%2B15550100001', '/v1/groups?fromPhoneId=%2B15550100001', 'phone_numbers-read'],
    ['account',                   '/v1/account',                      'account-read'],
    ['account/usage',             '/v1/account/usage',                'account-read'],
    ['account/usage?period=day',  '/v1/account/usage?period=day',     'account-read'],
);


subtest 'a read goes on as this call, and comes back unwrapped' => sub {
    for my $read (@reads) {
        my ($path, $target) = @$read;
        my $direct = $chatmaid->get($target, Authorization => 'Bearer ' . test_key)->{json}{data};
        my $answer = get("/$path");
        my $call   = $api->last;

        is($answer->{status}, 200, $path);
        is("$call->{method} $call->{target}", "GET $target", "$path: the call");
        is($call->{body}, '', "$path: no body");
        is($answer->{headers}{'content-type'}, 'application/json', "$path: type");
        delete $_->@{qw(apiRequests startDate endDate)} for grep { ref eq 'HASH' } $direct, $answer->{json};
        is_deeply($answer->{json}, $direct, "$path: Chatmaid's data");
    }

    my $list = get('/messages');
    is_deeply([sort keys %{$list->{json}}], ['data', 'pagination'], 'a list has its pages');
    is($list->{json}{data}[0]{id}, $message, 'a list is nested');
    is(ref get('/phones')->{json}, 'ARRAY', 'phones are a flat array');
    is(ref get('/groups?from=%2B15550100001')->{json}, 'ARRAY', 'groups are a flat array');

    my $received = get(at("/live/messages/inbound/$inbound"));
    is($received->{json}{id}, $inbound, 'an inbound message');
    is($api->last->{target}, "/v1/messages/inbound/$inbound", 'an inbound message: the call');
};

subtest 'a send' => sub {
    my $answer = post('/send', message);
    my $call   = $api->last;
    is($answer->{status}, 201, 'status');
    like($answer->{json}{id}, qr/^msg_/, 'unwrapped');
    is("$call->{method} $call->{target}", 'POST /v1/messages/send', 'the call');
    is(post('/send?x=1&from=y', message)->{status}, 201, 'with a query');
    is($api->last->{target}, '/v1/messages/send', 'which a send has not');
};

subtest 'groups?from=' => sub {
    my @queries = (
        ['from=%2b15550100001',     'fromPhoneId=%2b15550100001'],
        ['from=a+b%20c%26%3d',      'fromPhoneId=a+b%20c%26%3d'],
        ['x=1&from=%ff%00&y',       'x=1&fromPhoneId=%ff%00&y'],
        ['from=a=b',                'fromPhoneId=a=b'],
        ['from=',                   'fromPhoneId='],
        ['fromage=1&xfrom=2&from=3', 'fromage=1&xfrom=2&fromPhoneId=3'],
        ['fromPhoneId=1',           'fromPhoneId=1'],
        ['x=from=1',                'x=from=1&fromPhoneId=%2B15550100001'],
    );
    for my $query (@queries) {
        raw("GET /chatmaid/groups?$query->[0] HTTP/1.1\r\nHost: localhost\r\n\r\n");
        is($api->last->{target}, "/v1/groups?$query->[1]", $query->[0]);
    }
    get('/messages?from=1');
    is($api->last->{target}, '/v1/messages?from=1', 'elsewhere it is not renamed');
};

subtest 'methods' => sub {
    my $before = $api->count;
    for my $path (map { $_->[0] } @reads) {
        for my $method (qw(POST PUT PATCH DELETE OPTIONS PROPFIND FOO)) {
            my $answer = request($method => "/$path", $method eq 'POST' ? message : ());
            is($answer->{status}, 405, "$method $path");
            is($answer->{headers}{allow}, 'GET, HEAD', "$method $path: Allow");
            is(code($answer), 'method_not_allowed', "$method $path: code");
        }
    }
    for my $method (qw(GET PUT PATCH DELETE OPTIONS PROPFIND FOO)) {
        my $answer = request($method => '/send');
        is($answer->{status}, 405, "$method send");
        is($answer->{headers}{allow}, 'POST', "$method send: Allow");
        is(code($answer), 'method_not_allowed', "$method send: code");
    }
    my $head = request(HEAD => '/send');
    is("$head->{status} $head->{headers}{allow} $head->{body}", '405 POST ', 'HEAD send');
    is($api->count, $before, 'nothing was called');
};

subtest 'what is no endpoint' => sub {
    my $before = $api->count;
    my @paths  = ('', 'nothing', 'Send', 'sendx', 'send/', 'send/x', 'messages/', 'messages/x/y', 'messages/inbound/',
        'messages/inbound/x/y', 'phones/', 'phones/x/', 'phones/x/status/', 'phones/x/other',
        'groups/', 'groups/x', 'account/', 'account/x', 'account/usage/', 'account/usage/x', 'phone-numbers', 'a/b/c/d/e/f/g/h');
    for my $path (@paths) {
        for my $method (qw(GET POST)) {
            my $answer = request($method => "/$path", $method eq 'POST' ? message : ());
            is($answer->{status}, 404, "$method $path");
            is(code($answer), 'not_found', "$method $path: code");
        }
    }
    is($api->count, $before, 'nothing was called');
};

subtest 'scopes' => sub {
    my @locations = qw(messages-send messages-read phone_numbers-read account-read account-read-messages-send);
    for my $location (@locations) {
        for my $read (@reads) {
            my $answer = get(at("/$location/$read->[0]"));
            my $status = $location =~ /\Q$read->[2]\E/ ? 200 : 403;
            is($answer->{status}, $status, "$location: $read->[0]");
            is(code($answer), $status == 403 ? 'scope_denied' : '', "$location: $read->[0]: code") unless ref $answer->{json} eq 'ARRAY';
        }
        my $before = $api->sends;
        my $may    = $location =~ /messages-send/;
        my $answer = post(at("/$location/send"), message);
        is($answer->{status}, $may ? 201 : 403, "$location: send");
        is(code($answer), $may ? '' : 'scope_denied', "$location: send: code");
        is($answer->{json}{outcome}, $may ? undef : 'not_sent', "$location: send: outcome");
        is($api->sends, $before + $may, "$location: send: calls");
    }
};

subtest 'HEAD' => sub {
    my @id = ('X-Request-Id' => 'head-1');
    for my $path ((map { $_->[0] } @reads), 'messages/nobody', 'nothing') {
        next if $path =~ /usage/;               # counts its own calls
        my ($get, $head) = map { request($_ => "/$path", undef, @id) } qw(GET HEAD);
        delete $_->{headers}{date} for $get, $head;
        is($head->{status}, $get->{status}, $path);
        is($head->{body}, '', "$path: no body");
        is_deeply($head->{headers}, $get->{headers}, "$path: headers");
        is($head->{headers}{'content-length'}, length $get->{body}, "$path: length");
        is($api->last->{method}, 'GET', "$path: asked for by GET");
    }
    my $two = raw("HEAD /chatmaid/account HTTP/1.1\r\nHost: localhost\r\n\r\n"
        . "GET /chatmaid/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", all => 1);
    like($two->{raw}, qr/\AHTTP\/1.1 200 .*?\r\n\r\nHTTP\/1.1 404 /s, 'the next answer follows at once');
};

subtest 'preconditions and ranges' => sub {
    my $whole = get("/messages/$message")->{body};
    my @headers = (
        ['If-Match' => '"x"'], ['If-None-Match' => '*'], ['If-Modified-Since' => 'Tue, 01 Jan 2036 00:00:00 GMT'],
        ['If-Unmodified-Since' => 'Thu, 01 Jan 1970 00:00:01 GMT'], ['Range' => 'bytes=0-1'], ['Range' => 'bytes=999999-'],
        ['If-Range' => '"x"', Range => 'bytes=0-1'],
    );
    for my $header (@headers) {
        my $answer = get("/messages/$message", @$header);
        is($answer->{status}, 200, "@$header");
        is($answer->{body}, $whole, "@$header: whole");
        is($answer->{headers}{'accept-ranges'}, undef, "@$header: none offered");
        is(get('/messages/nobody', @$header)->{status}, 404, "@$header: error");
        is(post('/send', message, @$header)->{status}, 201, "@$header: send");
        is(get('/nothing', @$header)->{status}, 404, "@$header: no endpoint");
    }
};

subtest "Chatmaid's own errors" => sub {
    my @cases = (
        ['/messages/nobody',            404, 'not_found',       'Message not found'],
        ["/messages/inbound/$inbound",  404, 'not_found',       'Message not found'],
        ['/phones/nobody',              404, 'not_found',       'Phone number not found'],
        ['/phones/nobody/status',       404, 'not_found',       'Phone number not found'],
        ['/groups?from=nobody',         404, 'not_found',       'Phone number not found'],
        ['/groups?from=',               400, 'invalid_request', 'fromPhoneId should not be empty'],
        ['/messages?status=lost',       400, 'invalid_request', 'status must be a known status'],
        ['/messages?limit=0',           400, 'invalid_request', 'limit must be between 1 and 100'],
        ['/account/usage?period=year',  400, 'invalid_request', 'period must be day, week or month'],
    );
    for my $case (@cases) {
        my ($path, $status, $code, $text) = @$case;
        my $answer = get($path);
        is($answer->{status}, $status, $path);
        is($answer->{headers}{'content-type'}, 'application/problem+json', "$path: type");
        is(code($answer), $code, "$path: code");
        like($answer->{json}{detail}, qr/\Q$text/, "$path: message");
        is($answer->{json}{requestId}, $answer->{headers}{'x-request-id'}, "$path: request ID");
        is($answer->{json}{outcome}, undef, "$path: no outcome of a read");
    }
};

subtest "a message's life" => sub {
    is(post('/send', message)->{json}{status}, 'sent', 'test: sent at once');

    my $live = post(at('/live/send'), message)->{json};
    my $path = at("/live/messages/$live->{id}");
    is($live->{status}, 'pending', 'live: pending');
    is(get("/messages/$live->{id}")->{status}, 404, 'not seen with the test key');
    for my $status (qw(sent delivered read)) {
        $api->move($live->{id}, $status);
        is(get($path)->{json}{status}, $status, "live: $status");
        like(get($path)->{json}{"${status}At"}, qr/^20/, "live: $status at");
    }
    is(get(at('/live/messages?status=read'))->{json}{pagination}{total}, 1, 'live: listed by its status');

    my $failed = post(at('/live/send'), message)->{json};
    $api->move($failed->{id}, 'failed', 'NOT_CONNECTED');
    is(get(at("/live/messages/$failed->{id}"))->{json}{errorCode}, 'NOT_CONNECTED', 'live: failed');

    $api->config(schedule => [[5, 'sent'], [10, 'delivered']]);
    my $timed = post(at('/live/send'), message)->{json};
    ok(wait_for(sub { get(at("/live/messages/$timed->{id}"))->{json}{status} eq 'delivered' }), 'live: by itself');
};

# Longer than a call waits, so that it is answered at once.
subtest 'the rate limit' => sub {
    $api->config(rate => {requests => 3, seconds => 60});
    is(get("/messages/$message")->{status}, 200, "request $_ of 3") for 1 .. 3;
    for my $answer (get("/messages/$message"), get('/account'), post('/send', message)) {
        is($answer->{status}, 429, 'one more');
        is(code($answer), 'rate_limited', 'its code');
        is($answer->{headers}{'content-type'}, 'application/problem+json', 'its type');
        like($answer->{headers}{'retry-after'}, qr/\A(?:[1-5]?[0-9]|60)\z/, 'its Retry-After');
    }
    is(post('/send', message)->{json}{outcome}, 'not_sent', 'nothing was sent');
    is(get(at('/live/account'))->{status}, 200, 'another key has its own');
};

subtest 'groups of the default sender' => sub {
    my $api = sandbox;
    nginx(http => 'map $http_x_team $team { default ""; front +15550100001; }', gateway => 'chatmaid_sender +15550100001;',
        server => join ' ', map { "location ^~ /$_->[0]/ { chatmaid_gateway /.chatmaid/; chatmaid_sender $_->[1] fixed; }" }
            ['fixed', '+15550100001'], ['team', '$team']);
    my $groups = sub ($path, @headers) {
        my $before = $api->count;
        my $answer = get(url($path), @headers);
        return join ' ', grep { defined } $answer->{status}, $answer->{json} && ref $answer->{json} eq 'HASH' ? $answer->{json}{code} : undef,
            $api->count > $before ? $api->last->{target} : undef;
    };
    my $own = '/v1/groups?fromPhoneId=%2B15550100001';

    is($groups->('/chatmaid/groups'), "200 $own", 'filled in');
    is($groups->('/chatmaid/groups?x=1'), '200 /v1/groups?x=1&fromPhoneId=%2B15550100001', 'beside others');
    is($groups->('/chatmaid/groups?from=nobody'), '404 not_found /v1/groups?fromPhoneId=nobody', 'another one');
    is($groups->('/chatmaid/v1/groups'), '400 /v1/groups', 'not on the native face');
    is($groups->('/fixed/groups'), "200 $own", 'fixed: filled in');
    is($groups->('/fixed/groups?from=%2b1555010000%31'), '200 /v1/groups?fromPhoneId=%2b1555010000%31', 'fixed: the same, as it was written');
    is($groups->('/fixed/groups?from=%2B15550100002'), '403 sender_denied', 'fixed: another one');
    is($groups->('/fixed/groups?from=%2B15550100001&from=x'), '403 sender_denied', 'fixed: and another one');
    is($groups->('/fixed/groups?fromPhoneId=x'), '403 sender_denied', 'fixed: by its other name');
    is($groups->('/fixed/groups?%66romPhoneId=x'), '403 sender_denied', 'fixed: by a name in disguise');
    is($groups->("/fixed/groups?from=%2B15550100001&$_=x"), '403 sender_denied', "fixed: $_") for 'fromPhoneId[]', 'fromPhoneId%5B0%5D', '[fromPhoneId]';
    is($groups->("/fixed/v1/groups?$_=x"), 403, "fixed: on the native face, $_") for 'fromPhoneId', 'fromPhoneId[]', 'fromPhoneId%5b%5d';
    is($groups->('/fixed/groups?from='), '403 sender_denied', 'fixed: an empty one');
    is($groups->('/team/groups', 'X-Team' => 'front'), "200 $own", 'of a variable');
    is($groups->('/team/groups'), '403 sender_denied', 'of a variable that is empty');
};

done;
