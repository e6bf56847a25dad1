# The stand-in for Chatmaid itself: what the other tests rely on it to do.

use Chatmaid::Test;
use Mojo::JSON qw(encode_json);

my %key = (reader => api_key('test'), writer => api_key('test'), other => api_key('test'),
           expired => api_key('test'));
my $api = sandbox(keys => [
    {key => test_key, account => 'main'},
    {key => live_key, account => 'main'},
    {key => $key{reader},  account => 'main', scopes => ['messages:read']},
    {key => $key{writer},  account => 'main', scopes => ['messages:write']},
    {key => $key{other},   account => 'other'},
    {key => $key{expired}, account => 'main', expired => 1},
]);

my $http = client(base => 'https://127.0.0.1:' . $api->port . '/v1', keepalive => 1);
my $m    = {fromPhoneId => '+15550100001', to => '+15550100099', content => 'Your table is ready'};

sub auth ($key = test_key)             { (Authorization => "Bearer $key") }
sub read_ ($path, $key = test_key)     { $http->get($path, auth($key)) }
sub send_ ($body = $m, $key = test_key) { $http->post('/messages/send', $body, auth($key)) }
sub with ($fault, @send)               { $api->fault($fault); send_(@send) }

# Bytes over TLS, with a head that is ours to the letter.
sub wire ($head, $body = '', %option) {
    return raw($api->port, "$head\r\nHost: localhost\r\n" . "Authorization: Bearer ${\test_key}\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body", tls => 1, %option);
}


subtest 'keys and scopes' => sub {
    my $none = $http->get('/account');
    is($none->{status}, 401, 'no key');
    like($none->{body}, qr/"success":false/, 'no success');
    is_deeply([@{$none->{json}}{qw(error message statusCode path)}],
        ['Unauthorized', ['Missing API key'], 401, '/v1/account'], 'its envelope');
    like($none->{json}{timestamp}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'its timestamp');
    is_deeply(read_('/account', 'sk_test_nobody')->{json}{message}, ['Invalid API key'], 'unknown key');
    is(read_('/account', $key{expired})->{status}, 401, 'expired key');
    is(send_($m, $key{reader})->{status}, 403, 'a reader does not send');
    is(read_('/messages', $key{reader})->{status}, 200, 'a reader reads');
    is(read_('/account', $key{reader})->{status}, 200, 'messages:read opens the account');
    is(send_($m, $key{writer})->{status}, 201, 'messages:write sends');
    is(read_('/messages', $key{writer})->{status}, 403, 'messages:write does not read');
    is(read_('/phone-numbers', $key{writer})->{status}, 200, 'any messages scope sees phones');
    is(read_('/nothing')->{json}{message}[0], 'Cannot GET /v1/nothing', 'unknown path');
    is($http->request('DELETE', '/messages', undef, auth)->{status}, 404, 'unknown method');
};

subtest 'a send' => sub {
    $api->reset;
    my $sent = send_();
    my $data = $sent->{json}{data};
    is($sent->{status}, 201, 'accepted');
    ok($sent->{json}{success}, 'success');
    like($data->{id}, qr/^msg_\w+$/, 'id');
    is($data->{status}, 'sent', 'a test message is sent at once');
    is($data->{from}, '+15550100001', 'from');
    is_deeply($data->{mediaUrls}, [], 'mediaUrls');
    is(read_("/messages/$data->{id}")->{json}{data}{id}, $data->{id}, 'can be read');
    is(read_("/messages/$data->{id}", live_key)->{status}, 404, 'not with the live key');
    is(read_("/messages/$data->{id}", $key{other})->{status}, 404, 'not by another account');

    my $phone = read_('/phone-numbers')->{json}{data}[0]{id};
    is(send_({%$m, fromPhoneId => $phone})->{json}{data}{from}, '+15550100001', 'sender by id');
    is(send_({%$m, to => '120363000000000001@g.us'})->{json}{data}{isGroup}, 1, 'to a group');
    is(send_({%$m, fromPhoneId => '+15550100777'})->{status}, 404, 'unknown sender');
    is(send_({%$m, fromPhoneId => '+15550100002'})->{status}, 201, 'disconnected, test');
    is(send_({%$m, fromPhoneId => '+15550100002'}, live_key)->{status}, 404, 'disconnected, live');
    is($api->made, 4, 'messages made');
};

subtest 'validation' => sub {
    my %wrong = (
        'not JSON'        => '{',
        'not an object'   => '[]',
        'no sender'       => {%$m, fromPhoneId => ''},
        'no recipient'    => {%$m, to => undef},
        'bad recipient'   => {%$m, to => '0123'},
        'no content'      => {%$m, content => undef},
        'long content'    => {%$m, content => 'x' x 4097},
        'content type'    => {%$m, content => [1]},
        'media over HTTP' => {%$m, mediaUrls => ['http://example.com/a.png']},
        'media type'      => {%$m, mediaUrls => 'https://example.com/a.png'},
        'long key'        => {%$m, idempotencyKey => 'k' x 65},
        'environment'     => {%$m, environment => 'test'},
    );
    my $before = $api->made;
    is(send_($wrong{$_})->{status}, 400, $_) for sort keys %wrong;
    is(scalar @{send_({to => 'x', content => ''})->{json}{message}}, 3, 'all faults at once');
    is(send_({%$m, content => "\x{1F600}" x 4096})->{status}, 201, '4096 characters');
    is(send_({%$m, content => undef, mediaUrls => ['https://example.com/a.png']})->{status}, 201, 'media');
    is($api->made, $before + 2, 'only what is valid');
};

subtest 'idempotencyKey' => sub {
    $api->reset;
    my $first = send_({%$m, idempotencyKey => 'k1'});
    my $again = send_({%$m, idempotencyKey => 'k1', content => 'Another text'});
    is($again->{status}, 201, 'known key, another body');
    is($again->{json}{data}{id}, $first->{json}{data}{id}, 'the original message');
    is($again->{json}{data}{content}, $m->{content}, 'the original text');
    isnt(send_({%$m, idempotencyKey => 'k1'}, live_key)->{json}{data}{id}, $first->{json}{data}{id}, 'live is apart');
    is($api->made, 2, 'messages');
    is(($api->messages)[0]{times}, 2, 'answered twice');
    is(($api->messages)[0]{idempotencyKey}, 'k1', 'its key');
    is_deeply([map { $_->{effect} } $api->requests], [1, 0, 1], 'effects in the journal');

    $api->config(dedup => \0);
    send_({%$m, idempotencyKey => 'k1'});
    is($api->made, 3, 'without deduplication');
    $api->config(dedup => \1);
};

subtest 'lives' => sub {
    $api->reset;
    my $id   = send_($m, live_key)->{json}{data}{id};
    my $look = sub { read_("/messages/$id", live_key)->{json}{data} };
    is($look->()->{status}, 'pending', 'a live message waits');
    is($api->move($id, 'sent'), 1, 'moved by hand');
    is($look->()->{status}, 'sent', 'sent');
    ok($look->()->{sentAt}, 'sentAt');
    $api->move(undef, 'failed', 'NOT_CONNECTED');
    is($look->()->{errorCode}, 'NOT_CONNECTED', 'failed');
    ok($look->()->{failedAt}, 'failedAt');

    $api->config(schedule => [[10, 'sent'], [20, 'delivered'], [30, 'read']]);
    $id = send_($m, live_key)->{json}{data}{id};
    ok(wait_for(sub { $look->()->{status} eq 'read' }), 'by schedule');
    ok($look->()->{deliveredAt}, 'by way of delivered');
    $api->config(schedule => []);

    my $usage = read_('/account/usage?period=day', live_key)->{json}{data};
    is_deeply($usage->{messages}, {total => 2, pending => 0, sent => 1, delivered => 1,
        read => 1, failed => 1}, 'counted in the usage');
};

subtest 'reads' => sub {
    $api->reset;
    send_() for 1 .. 3;
    my $list = read_('/messages?limit=2&page=2')->{json}{data};
    is(scalar @{$list->{data}}, 1, 'second page');
    is_deeply($list->{pagination}, {page => 2, limit => 2, total => 3, totalPages => 2}, 'pagination');
    is(read_('/messages?status=failed')->{json}{data}{pagination}{total}, 0, 'by status');
    is(read_('/messages?phoneNumberId=%2B15550100001')->{json}{data}{pagination}{total}, 3, 'by phone');
    is(read_("/messages?$_")->{status}, 400, $_) for qw(limit=101 limit=0 page=0 page=x status=x);
    is(read_('/messages/msg_none')->{status}, 404, 'no such message');

    is(read_('/messages/inbound')->{json}{data}{pagination}{total}, 0, 'inbound is live only');
    my $inbound = read_('/messages/inbound', live_key)->{json}{data}{data}[0];
    like($inbound->{id}, qr/^inmsg_/, 'inbound');
    is(read_("/messages/inbound/$inbound->{id}", live_key)->{json}{data}{content}, 'Thanks!', 'one');
    is(read_('/messages/inbound/x', live_key)->{status}, 404, 'none');

    my $phones = read_('/phone-numbers')->{json}{data};
    my $id     = $phones->[0]{id};
    is(scalar @$phones, 2, 'phones in a flat list');
    is(read_("/phone-numbers/$id")->{json}{data}{displayName}, 'Front desk', 'phone by id');
    is(read_('/phone-numbers/%2B15550100001')->{json}{data}{id}, $id, 'phone by number');
    is(read_('/phone-numbers/%2B15550100002/status')->{json}{data}{connectionStatus}, 'disconnected', 'its status');
    is(read_('/phone-numbers/x')->{status}, 404, 'no such phone');
    isnt(read_('/phone-numbers', live_key)->{json}{data}[0]{id}, $id, 'other ids live');

    is(read_('/groups?fromPhoneId=%2B15550100001')->{json}{data}[0]{name}, 'Night shift', 'groups');
    is(read_('/groups')->{status}, 400, 'groups of nobody');
    is(read_('/groups?fromPhoneId=x')->{status}, 404, 'groups of an unknown phone');
    is(read_('/account')->{json}{data}{accountId}, 'acc_main', 'account');
    is(read_('/account/usage')->{json}{data}{period}, 'month', 'usage');
    is(read_('/account/usage?period=x')->{status}, 400, 'usage of no period');
};

subtest 'rate limit' => sub {
    $api->reset;
    $api->config(rate => {requests => 2, seconds => 60});
    is(send_()->{status}, 201, 'first');
    is(read_('/account')->{status}, 200, 'reads count too');
    my $over = send_();
    is($over->{status}, 429, 'third');
    like($over->{body}, qr/"retryAfter":(?:60|59)\b/, 'an integer');
    is($over->{json}{statusCode}, 429, 'in the envelope');
    is(send_($m, live_key)->{status}, 201, 'other keys have their own');
    $api->config(rate => undef);
    is(send_()->{status}, 201, 'off again');

    $api->reset;
    $api->config(rate => {requests => 3, seconds => 1, window => 'fixed'});
    my @refused = grep { $_->{status} == 429 } map { send_() } 1 .. 20;
    is(scalar(grep { $_->{json}{retryAfter} == 1 } @refused), scalar @refused, 'fixed windows: to the end of one, rounded up');
    my %window;
    push @{$window{$_->{window}}{$_->{status}}}, $_ for $api->requests;
    is(scalar(grep { @{$_->{201}} > 3 } values %window), 0, 'never more than the limit in one');
    is(scalar(grep { $_->{429} && @{$_->{201}} < 3 } values %window), 0, 'nor less where something was refused');
    is(scalar(map { @{$_->{429} // []} } values %window), scalar @refused, 'the journal has them all');
    wait_for(sub { send_()->{status} == 201 }, 'the next window');
    $api->config(rate => undef);
};

subtest 'journal' => sub {
    $api->reset;
    raw($api->port, "GET /v1/phone-numbers/%2B1%2f?a=%2B+b&&c HTTP/1.1\r\nX-One: 1\r\nHost: localhost\r\n"
        . "x-one:  2 \r\nAuthorization: Bearer ${\test_key}\r\n\r\n", tls => 1);
    my $seen = $api->last;
    is($seen->{target}, '/v1/phone-numbers/%2B1%2f?a=%2B+b&&c', 'target byte for byte');
    is($seen->{version}, '1.1', 'version');
    is_deeply([map { "$_->[0]=$_->[1]" } @{$seen->{headers}}[0 .. 2]],
        ['X-One=1', 'Host=localhost', 'x-one=2'], 'headers in order');
    is_deeply([$api->header($seen, 'X-ONE')], [1, 2], 'repeats');
    is_deeply([@$seen{qw(account environment method status)}], ['main', 'test', 'GET', 404], 'who and what');
    is($seen->{sni}, 'localhost', 'server name');

    my $bytes = "\xff\x00\r\n\xc3\xa9";
    send_($bytes);
    is($api->last->{body}, $bytes, 'body byte for byte');
    send_();
    is($api->last->{message_id}, ($api->messages)[0]{id}, 'message id');
    is($api->last->{connection}, ($api->requests)[1]{connection}, 'same connection');
    is($api->last->{reused}, 1, 'reused');
    is($api->count(path => '/v1/messages/*'), 2, 'counted by path');
    is($api->count(method => 'GET'), 1, 'by method');
    is(scalar($api->requests(from => 3)), 1, 'from a number on');
    is($api->sends, 2, 'sends');

    my $before = $api->state->{accepted};
    $api->close_idle;
    send_();
    is($api->state->{accepted}, $before + 1, 'idle connections closed');
    $api->config(max_requests => 1);
    send_();
    ok(wait_for(sub { $api->state->{connections} == 0 }), 'max_requests');
    $api->config(max_requests => 1000, keepalive => 0.05);
    send_();
    ok(wait_for(sub { $api->state->{connections} == 0 }), 'keepalive');
    $api->config(keepalive => 3600);
};

subtest 'faults: other answers' => sub {
    $api->reset;
    my $answer = with({status => 503, body => '<html>', type => 'text/html', headers => {'Retry-After' => 3}});
    is($answer->{status}, 503, 'status');
    is($answer->{body}, '<html>', 'HTML');
    is($answer->{headers}{'content-type'}, 'text/html', 'type');
    is($answer->{headers}{'retry-after'}, 3, 'headers');
    is(with({status => 500, json => {a => 1}})->{json}{a}, 1, 'JSON');
    is(with({status => 302, headers => {Location => '/x'}, body => ''})->{headers}{location}, '/x', 'redirect');
    is(with({status => 200, body => ''})->{body}, '', 'empty 200');
    is($api->made, 0, 'without effect');
    is(send_()->{status}, 201, 'used up');
    is(with({headers => [['X-Accel-Redirect' => '/a'], ['X-A' => 1], ['X-A' => 2]]})->{headers}{'x-a'},
        '1, 2', 'headers on a true answer');
    is(with({status => 500, effect => \1})->{status}, 500, 'an error after the effect');
    is($api->made, 3, 'with effect');
    is($api->last->{message_id}, ($api->messages)[2]{id}, 'known to the journal');
};

subtest 'faults: which request' => sub {
    $api->reset;
    $api->fault({status => 500, match => {method => 'GET', path => '/v1/phone-*'}, times => 2});
    is(read_('/account')->{status}, 200, 'another path');
    is(read_('/phone-numbers')->{status}, 500, 'by prefix');
    is(read_('/phone-numbers/x')->{status}, 500, 'twice');
    is(read_('/phone-numbers')->{status}, 200, 'not more');
    $api->fault({status => 500, times => 0}, {status => 502});
    is(send_()->{status}, 500, 'for ever') for 1 .. 3;
    is(scalar($api->faults), 2, 'both still there');
    $api->clear_faults;
    $api->fault({status => 500}, {status => 502});
    is(send_()->{status}, $_, "in turn: $_") for 500, 502, 201;
    $api->fault({status => 500, match => {request_id => 'one'}, times => 2});
    is(send_()->{status}, 201, 'none of that ID');
    is($http->post('/messages/send', $m, auth, 'X-Request-Id' => $_->[0])->{status}, $_->[1], "by its ID: $_->[0]")
        for ['two', 201], ['one', 500], ['one', 500], ['one', 201];
    is($api->count(request_id => 'one'), 3, 'counted by it');
    $api->fault({close => 'before', match => {reused => 1}});
    is(send_()->{error}, 'Premature connection close', 'on a kept connection only');
    is(send_()->{status}, 201, 'not on a new one');
};

subtest 'faults: broken connections' => sub {
    $api->reset;
    my $request = 'POST /v1/messages/send HTTP/1.1';
    my $body    = encode_json($m);
    my $broken  = sub ($fault) { $api->fault($fault); wire($request, $body) };

    is($broken->({close => 'before'})->{raw}, '', 'closed before');
    is($api->made, 0, 'no effect');
    is($broken->({close => 'after'})->{raw}, '', 'closed after');
    is($api->made, 1, 'effect');
    is($broken->({close => 'after', reset => 1})->{raw}, '', 'reset');
    is($api->made, 2, 'effect too');
    is($broken->({raw => "\x16garbage\xff\n"})->{raw}, "\x16garbage\xff\n", 'garbage');
    is($broken->({raw => "SSH-2.0\r\n", effect => \1})->{raw}, "SSH-2.0\r\n", 'garbage after the effect');
    is($api->made, 3, 'effect of that one only');

    my $cut = $broken->({truncate => 10});
    is(length((split /\r\n\r\n/, $cut->{raw}, 2)[1]), 10, 'truncated to 10 bytes');
    cmp_ok($cut->{headers}{'content-length'}, '>', 100, 'with its full length');
    is($cut->{error}, 'closed', 'seen as such');
    my $chunks = $broken->({chunked => 3, truncate => 20});
    is($chunks->{headers}{'transfer-encoding'}, 'chunked', 'truncated chunks');
    unlike($chunks->{raw}, qr/0\r\n\r\n\z/, 'without the last one');
    is($chunks->{error}, 'closed', 'seen as such');
    is($broken->({length => 5000})->{error}, 'closed', 'shorter than its length');
    is($broken->({length => 'none'})->{headers}{'content-length'}, undef, 'no length');
    is($broken->({length => 4})->{headers}{'content-length'}, 4, 'longer than its length');
};

subtest 'faults: odd but whole' => sub {
    $api->reset;
    my $body = encode_json($m);
    my $odd  = sub ($fault) { $api->fault($fault); wire('POST /v1/messages/send HTTP/1.1', $body) };

    my $chunked = $odd->({chunked => 4});
    is($chunked->{json}{data}{status}, 'sent', 'chunked');
    is(scalar(() = $chunked->{raw} =~ /^[0-9a-f]+\r$/mg), 6, 'in pieces');
    is($odd->({drip => {bytes => 40, every => 1}})->{json}{data}{status}, 'sent', 'dripping');
    is($odd->({drip => {bytes => 40}, chunked => 5})->{json}{data}{status}, 'sent', 'dripping chunks');
    cmp_ok(length with({oversize => 5_000_000})->{body}, '>', 5_000_000, 'oversize with length');
    my $big = $odd->({oversize => 300_000, chunked => 10});
    is(length $big->{json}{padding}, 300_000, 'oversize chunked');
    like($odd->({interim => 103})->{raw}, qr/\AHTTP\/1\.1 103 .*\r\n\r\nHTTP\/1\.1 201 /s, 'early hints');
    is($odd->({delay => 20})->{status}, 201, 'delay');
    is($odd->({delay_before => 20})->{status}, 201, 'delay before the effect');
    is($api->made, 8, 'each had its effect');
};

subtest 'holds' => sub {
    $api->reset;
    $api->fault({hold => 'before'}, {hold => 'after'});

    my $one = $http->later(POST => '/messages/send', $m, auth);
    $api->wait_held;
    is($api->made, 0, 'held before the effect');
    my $two = $http->later(POST => '/messages/send', $m, auth);
    $api->wait_held(2);
    is($api->made, 1, 'held after the effect');
    is_deeply([map { $_->{when} } $api->held], ['before', 'after'], 'which');
    is($api->release(1), 1, 'the first one goes on');
    is($one->result->{status}, 201, 'and is answered');
    ok(!$two->done, 'the other is not');
    is($api->release, 1, 'released');
    is($two->result->{status}, 201, 'answered');

    $api->fault({hold => 'before'});
    my $gone = $http->later(POST => '/messages/send', $m, auth);
    $api->wait_held;
    ok($gone->abort->{error}, 'the caller hangs up');
    ok(wait_for(sub { $api->last->{aborted} }), 'noted');
    $api->release;
    ok(wait_for(sub { $api->made == 3 }), 'the effect comes all the same');
};

subtest 'certificates' => sub {
    my $tries = sub (%option) {
        my $other = sandbox(%option);
        my $scheme = $option{plain} ? 'http' : 'https';
        my $answer = client(base => "$scheme://localhost:" . $other->port)->get('/v1/account');
        $other->stop;
        is($other->status, 0, 'ends with status 0');
        return $answer->{error} // $answer->{status};
    };
    is($tries->(), 401, 'a good one');
    like($tries->(cert => 'wrong'), qr/hostname verification failed/, 'the wrong name');
    like($tries->(cert => 'foreign'), qr/certificate verify failed/, 'another CA');
    is($tries->(plain => 1), 401, 'none');

    $api->stop;
    like(send_()->{error}, qr/refused/i, 'stopped: refused');
    $api->start;
    is(send_()->{status}, 201, 'started again on its port');
    is($api->made, 1, 'with nothing remembered');
};

done;
