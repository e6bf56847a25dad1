# The native face: which request under v1/ becomes which call, byte for byte, and
# what of a call's answer comes back.

use Chatmaid::Test;
use Mojo::JSON qw(encode_json);

my $api   = sandbox;
my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    http    => 'chatmaid_retries 0;',
    files   => {live => live_key},
    server  => join "\n", 'location ^~ /live/ { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/live; chatmaid_sender +15550100001; }',
        'location ^~ /once/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency off; }',
        map { 'location ^~ /' . tr/:/-/r . "/ { chatmaid_gateway /.chatmaid/; chatmaid_scope $_; chatmaid_sender +15550100001; }" }
            qw(messages:send messages:read phone_numbers:read account:read),
);

my $chatmaid = client(base => 'https://127.0.0.1:' . $api->port, keepalive => 1);

sub direct ($target, $key = test_key) { $chatmaid->get($target, Authorization => "Bearer $key") }

# [answer, targets at Chatmaid]
sub asked ($target, $method = 'GET', @lines) {
    my $from   = $api->count + 1;
    my $answer = raw(join "\r\n", "$method $target HTTP/1.1", 'Host: localhost', 'Connection: close', @lines, '', '');
    return ($answer, map { "$_->{method} $_->{target}" } $api->requests(from => $from));
}

sub passes ($path, $name = $path) {
    my ($answer, @calls) = asked("/chatmaid/v1/$path");
    is("@calls", "GET /v1/$path", $name);
}

my $sent    = post('/v1/messages/send', native_message);
my $id      = $sent->{json}{data}{id};
my $phone   = direct('/v1/phone-numbers')->{json}{data}[0]{id};
my $inbound = direct('/v1/messages/inbound', live_key)->{json}{data}{data}[0]{id};

# [path, scope]
my @reads = (
    ['messages', 'messages-read'], ['messages?status=sent&limit=1', 'messages-read'], ["messages/$id", 'messages-read'],
    ['messages?phoneNumberId=%2B15550100001&page=1', 'messages-read'],
    ['messages/inbound', 'messages-read'], ['messages/inbound?page=1&limit=5', 'messages-read'],
    ['phone-numbers', 'phone_numbers-read'], ["phone-numbers/$phone", 'phone_numbers-read'], ['phone-numbers/%2B15550100001', 'phone_numbers-read'],
    ["phone-numbers/$phone/status", 'phone_numbers-read'], ['groups?fromPhoneId=%2B15550100001', 'phone_numbers-read'],
    ['account', 'account-read'], ['account/usage', 'account-read'], ['account/usage?period=day', 'account-read'],
);

sub envelope ($answer, $status, $name) {
    is($answer->{status}, $status, "$name: $status");
    is($answer->{headers}{'content-type'}, 'application/json', "$name: JSON");
    is($answer->{json}{statusCode}, $status, "$name: in an envelope");
}


subtest 'reads' => sub {
    for my $read (@reads) {
        my ($path) = @$read;
        my $direct = direct("/v1/$path");
        my ($answer, @calls) = asked("/chatmaid/v1/$path");
        is($answer->{status}, 200, $path);
        is("@calls", "GET /v1/$path", "$path: the call");
        like($answer->{headers}{'content-type'}, qr/\Aapplication\/json\b/, "$path: type");
        is($answer->{headers}{'content-length'}, length $answer->{body}, "$path: length");
        ok($answer->{headers}{'x-request-id'}, "$path: X-Request-Id");
        $path =~ /usage/ ? is_deeply([sort keys %{$answer->{json}{data}}], [sort keys %{$direct->{json}{data}}], "$path: Chatmaid's envelope")
            : is($answer->{body}, $direct->{body}, "$path: Chatmaid's envelope, byte for byte");
    }
    my ($one) = asked("/live/v1/messages/inbound/$inbound");
    is($one->{body}, direct("/v1/messages/inbound/$inbound", live_key)->{body}, 'an inbound message');
};

subtest 'a send' => sub {
    is($sent->{status}, 201, 'status');
    is($sent->{body}, $chatmaid->post('/v1/messages/send', (map { Mojo::JSON::decode_json($_->{body}) } grep { $_->{method} eq 'POST' } $api->requests)[0],
        Authorization => 'Bearer ' . test_key)->{body}, "Chatmaid's envelope, byte for byte");
    like($sent->{headers}{'content-type'}, qr/\Aapplication\/json\b/, 'type');
    ok($sent->{headers}{$_}, "the header $_") for qw(x-request-id idempotency-key);

    my $m = native_message;
    is(post('/v1/messages/send?x=1', $m)->{status}, 201, 'with a query');
    is($api->last->{target}, '/v1/messages/send', 'which a send has not');
    is(post('/v1/messages/send', {%{+native_message}, fromPhoneId => undef})->{status}, 400, 'with a sender that is none');
    my $sender = native_message;
    delete $sender->{fromPhoneId};
    is(post('/v1/messages/send', $sender)->{json}{data}{from}, '+15550100001', "without one: the gateway's");
    like($api->last->{body}, qr/"idempotencyKey":"[0-9a-f]{64}"/, 'the key that Chatmaid gets');
    my $before = $api->count;
    is(post('/v1/messages/send', {to => '+15550100099', text => 'a', from => '+15550100001'})->{status}, 400, 'in the names of the other face');
    is($api->count, $before, 'is not sent');
};

# As they are, whatever their spelling; a read's insides are not looked at.
subtest 'bodies byte for byte' => sub {
    my $odd  = qq( {"data" : {"z":1.50,"id":"msg_odd", "a":"\\u0047r\\u00fc\\/", "n":12345678901234567,"e":1E3} ,\n\t"success":true, "more":[ ] }\r\n);
    my %read = (odd => $odd =~ s/^ //r, 'more than JSON can tell' => '{"a":1,"a":2,"n":123456789012345678901234567890,"r":1e999}', 'half of it' => '{"success":true,"data":',
        'no envelope' => '{"id":"msg_1"}', 'success: false' => '{"success":false,"data":{}}', 'not UTF-8' => "{\"a\":\"\xff\"}");
    for my $name (sort keys %read) {
        for my $status (200, 202, 206) {
            $api->fault({raw => "HTTP/1.1 $status Fine\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${\length $read{$name}}\r\n\r\n$read{$name}"});
            my ($answer) = asked('/chatmaid/v1/account');
            is($answer->{status}, $status, "a read, $name: status $status");
            ok($answer->{body} eq $read{$name}, "a read, $name: body of $status");
        }
    }
    my @own = ('Set-Cookie' => 'a=b', ETag => '"x"', 'Last-Modified' => 'Thu, 01 Jan 1970 00:00:01 GMT', 'X-Powered-By' => 'x', 'Accept-Ranges' => 'bytes', 'Cache-Control' => 'max-age=60');
    $api->fault({headers => {@own}});
    my ($bare) = asked('/chatmaid/v1/account');
    is(join(' ', grep { $bare->{headers}{lc $_} } keys %{{@own}}), '', "none of Chatmaid's own headers");

    my $large = '{"x":"' . 'x' x (4 * 1024 * 1024 - 8) . '"}';
    for my $more ('', ' ') {
        $api->fault({status => 200, body => $large . $more});
        my ($answer) = asked('/chatmaid/v1/messages');
        is($answer->{status}, $more ? 502 : 200, length($large . $more) . ' bytes');
        ok($answer->{body} eq $large, 'are all there') unless $more;
    }
    for my $status (200, 201, 202) {
        $api->fault({status => $status, body => $odd});
        my $answer = post(url('/once/v1/messages/send'), native_message);
        is($answer->{status}, $status, "a send: status $status");
        ok($answer->{body} eq $odd, "a send: body of $status");
    }
    $api->fault({chunked => 5, drip => {bytes => 40, every => 1}});
    is(get('/v1/phone-numbers')->{body}, direct('/v1/phone-numbers')->{body}, 'in chunks, dripping');
};

subtest 'queries and IDs' => sub {
    passes("messages?$_") for 'a=%2B', 'a+b=c+d', 'a=%', 'a=%zz&%', '%00', 'a=/../b', 'a?b??', '&&a&=&', "\xc3\xa9=\xff", 'a=%2f..%2F', 'from=1', 'environment=test';
    passes("messages/msg_1?$_") for qw(wait=5 wait=5&until=read until=x wait= wait=x);
    passes('groups?from=%2B15550100001', 'from is not renamed');
    for my $part ('%2B1', '%2b1', '+1', '%3F', '%252F', '%252e%252e', 'a%20b', '%C3%A9', "\xff\xfe", ';x=1', '...', 'x' x 3000) {
        passes("messages/$part", substr "messages/$part", 0, 30);
        passes("phone-numbers/$part/status?a=$part", substr "phone-numbers/$part/status", 0, 40);
        passes("messages/inbound/$part", substr "messages/inbound/$part", 0, 40);
    }
    for my $bad ('%2F', '%2f', 'a%2Fb', '..', '.', '%2e%2e', '%2E%2e', '.%2E', 'x/..', 'x/../y', '%2e%2e/account', 'a\\b', '%01', 'a%09', '%0a', '%0D%0A', '%1f', '%7f') {
        my ($answer, @calls) = asked("/chatmaid/v1/messages/$bad");
        envelope($answer, 400, "messages/$bad");
        is("@calls", '', "messages/$bad: nothing is called");
    }
};

# As the MCP server writes it with a slash at the end of its base.
subtest '//v1' => sub {
    for my $case (['/chatmaid//v1/account', 'account'], ['//chatmaid///v1//account', 'account'], ['/chatmaid//v1/messages/%2B1?x=//%2B', 'messages/%2B1?x=//%2B'],
        ['/chatmaid/%761/account', 'account'], ['http://localhost/chatmaid//v1/account', 'account'])
    {
        my ($answer, @calls) = asked($case->[0]);
        is("@calls", "GET /v1/$case->[1]", $case->[0]);
        is($answer->{status}, 200, "$case->[0]: status") if $case->[1] eq 'account';
    }
    is(post(url('/chatmaid//v1/messages/send'), native_message)->{status}, 201, 'a send');
    is($api->last->{target}, '/v1/messages/send', 'its target');
};

subtest 'nothing but what is documented' => sub {
    my @paths = ('v1', 'v1/', 'v1/send', 'v1/phones', 'v1/health', 'v1/nothing', 'v1/Messages', 'v1/messages/', 'v1/messages/x/y', 'v1/messages/inbound/', 'v1/messages/inbound/x/y',
        'v1/messages/send/', 'v1/messages/send/x', 'v1/phone-numbers/', 'v1/phone-numbers/x/other', 'v1/phone-numbers/x/status/', 'v1/groups/x', 'v1/account/', 'v1/account/x',
        'v1/account/usage/x', 'v1/webhooks', 'v1/v1/account', 'v1/api-keys', 'v1x/account');
    for my $path (@paths) {
        for my $method (qw(GET POST)) {
            my $before = $api->count;
            my $answer = request($method => "/$path", $method eq 'POST' ? native_message : ());
            is($answer->{status}, 404, "$method $path");
            is($answer->{json}{statusCode}, 404, "$method $path: in an envelope") if $path =~ m{^v1/};
            is($api->count, $before, "$method $path: nothing is called");
        }
    }
    for my $path ('V1/account', 'v2/account', 'messages/send/v1') {
        is(get("/$path")->{json}{code}, 'not_found', "$path: a problem");
    }
    my $before = $api->count;
    for my $method (qw(POST PUT PATCH DELETE OPTIONS FOO)) {
        for my $path (map { $_->[0] } grep { $_->[0] !~ /\?/ } @reads) {
            my $answer = request($method => "/v1/$path", $method eq 'POST' ? native_message : ());
            envelope($answer, 405, "$method $path");
            is($answer->{headers}{allow}, 'GET, HEAD', "$method $path: Allow");
        }
    }
    for my $method (qw(PUT PATCH DELETE OPTIONS FOO)) {
        my $answer = request($method => '/v1/messages/send');
        envelope($answer, 405, "$method messages/send");
        like($answer->{headers}{allow}, qr/\bPOST\b/, "$method messages/send: Allow");
    }
    is($api->count, $before, 'nothing is called');
};

subtest 'scopes' => sub {
    for my $location (qw(messages-send messages-read phone_numbers-read account-read)) {
        for my $read (@reads) {
            my $status = get(url("/$location/v1/$read->[0]"))->{status};
            is($status, $location eq $read->[1] ? 200 : 403, "$location: $read->[0]");
        }
        is(post(url("/$location/v1/messages/send"), native_message)->{status}, $location eq 'messages-send' ? 201 : 403, "$location: a send");
    }
};

subtest 'HEAD' => sub {
    for my $path ((map { $_->[0] } grep { $_->[0] !~ /usage/ } @reads), "messages/$id?wait=5", 'messages/nobody', 'nothing') {
        my ($get, $head) = map { request($_ => "/v1/$path", undef, 'X-Request-Id' => 'head-1') } qw(GET HEAD);
        delete $_->{headers}{date} for $get, $head;
        is($head->{status}, $get->{status}, $path);
        is($head->{body}, '', "$path: no body");
        is_deeply($head->{headers}, $get->{headers}, "$path: headers");
    }
    is($api->last->{method}, 'GET', 'asked for by GET');
    my $two = raw("HEAD /chatmaid/v1/account HTTP/1.1\r\nHost: localhost\r\n\r\nGET /chatmaid/v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", all => 1);
    like($two->{raw}, qr/\AHTTP\/1\.1 200 .*?\r\n\r\nHTTP\/1\.1 404 /s, 'the next answer follows at once');
};

subtest 'what goes on of a request' => sub {
    my @caller = (Authorization => 'Bearer sk_live_any', Cookie => 'a=b', 'Accept-Encoding' => 'gzip, deflate, br', Accept => '*/*', 'User-Agent' => 'chatmaid-sdk-js/0.3.0',
        'Content-Type' => 'application/json', 'X-Forwarded-For' => '10.0.0.1', 'Sec-Fetch-Mode' => 'cors', 'If-None-Match' => '*', Range => 'bytes=0-1', 'X-Request-Id' => 'mine-1');
    for my $case (['a read', sub { get('/v1/account', @caller) }], ['a send', sub { post('/v1/messages/send', native_message, @caller) }]) {
        my ($name, $ask) = @$case;
        my $answer = $ask->();
        my $seen   = $api->last;
        like($answer->{status}, qr/^20[01]$/, "$name: status");
        is($answer->{headers}{'x-request-id'}, 'mine-1', "$name: its ID");
        ok(join(' ', $api->header($seen, 'Authorization')) eq 'Bearer ' . test_key, "$name: one key, the gateway's");
        is_deeply([sort map { lc $_->[0] } @{$seen->{headers}}], [sort qw(accept authorization host user-agent x-request-id),
            $name eq 'a send' ? qw(content-length content-type) : ()], "$name: its headers");
        is(join(' ', $api->header($seen, 'User-Agent')), 'chatmaid-sdk-js/0.3.0', "$name: User-Agent");
        is(join(' ', $api->header($seen, 'Accept')), 'application/json', "$name: Accept");
    }
    is(get('/v1/account', Authorization => undef)->{status}, 200, 'without any key');
};

done;
