# Chatmaid's own clients with nothing changed but their base URL and any key: what
# they read through the gateway is what they read at Chatmaid.

use Chatmaid::Test;
use Chatmaid::Test::Mcp;
use Chatmaid::Test::Sdk;
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

my $api   = sandbox;
my %place = (
    live     => 'chatmaid_api_key_file %DIR%/live;',
    scoped   => 'chatmaid_scope account:read;',
    sender   => 'chatmaid_sender +15550100002 fixed;',
    once     => 'chatmaid_retries 0;',
    limited  => 'chatmaid_retries 0; chatmaid_account limited; chatmaid_timeout 2s;',
    deny     => 'deny all;',
    busy     => 'limit_req zone=busy;',
    hasty    => 'chatmaid_timeout 500ms;',
    refused  => 'chatmaid_retries 0; chatmaid_gateway /.refused/;',
);
my $nginx = nginx(
    gateway => 'chatmaid_sender +15550100001;',
    files   => {live => live_key},
    http    => 'limit_req_zone $server_port zone=busy:1m rate=1r/m;',
    server  => join "\n", "location ^~ /.refused/ { %PROXY% proxy_pass https://127.0.0.1:%PORT:nobody%/; }",
        map { "location ^~ /$_/ { $place{$_} " . ($place{$_} =~ /gateway/ ? '' : 'chatmaid_gateway /.chatmaid/; ') . ($place{$_} =~ /sender/ ? '' : 'chatmaid_sender +15550100001;') . ' }' } sort keys %place,
);


sub sdk ($place = 'chatmaid', $end = '/v1', %more) { Chatmaid::Test::Sdk->new(base_url => $nginx->url("/$place$end"), key => 'sk_live_any-dummy', %more) }
sub mcp ($place = 'chatmaid', $end = '', %more)    { Chatmaid::Test::Mcp->new(base_url => $nginx->url("/$place$end"), key => 'any', %more) }

# The same clients at Chatmaid itself, with its keys.
my $at = 'https://127.0.0.1:' . $api->port;
my %straight = (
    sdk => {map { my $key = $_; $_ => Chatmaid::Test::Sdk->new(base_url => "$at/v1", key => $key) } test_key, live_key},
    mcp => {map { my $key = $_; $_ => Chatmaid::Test::Mcp->new(base_url => $at, key => $key) } test_key, live_key},
);

my @ids     = map { sdk->send(native_message)->{id} } 1 .. 3;
my $live    = sdk('live')->send(native_message)->{id};
my $phone   = $straight{sdk}{+test_key}->phones->[0]{id};
my $inbound = $straight{sdk}{+live_key}->inbound->{data}[0]{id};

my %call = (
    'list'             => sub ($client) { $client->messages },
    'list with a query' => sub ($client) { $client->messages(status => 'sent', phoneNumberId => '+15550100001', page => 2, limit => 1) },
    'get'              => sub ($client) { $client->message($ids[0]) },
    'phones'           => sub ($client) { $client->phones },
    'phone by id'      => sub ($client) { $client->phone($phone) },
    'phone by number'  => sub ($client) { $client->phone('+15550100001') },
    'phone status'     => sub ($client) { $client->phone_status('+15550100002') },
    'groups'           => sub ($client) { $client->groups('+15550100001') },
    'account'          => sub ($client) { $client->account },
    'inbound of a test key' => sub ($client) { $client->inbound },
);
my %live_call = (
    'inbound'          => sub ($client) { $client->inbound(page => 1, limit => 5, phoneNumberId => '+15550100001') },
    'inbound message'  => sub ($client) { $client->inbound_message($inbound) },
    'live list'        => sub ($client) { $client->messages(status => 'pending') },
    'live get'         => sub ($client) { $client->message($live) },
);
my %wrong_call = (
    'unknown message'  => sub ($client) { $client->message('msg_none') },
    'unknown inbound'  => sub ($client) { $client->inbound_message('inmsg_none') },
    'unknown phone'    => sub ($client) { $client->phone('+15550100777') },
    'unknown status'   => sub ($client) { $client->phone_status('none') },
    'unknown sender'   => sub ($client) { $client->groups('none') },
    'wrong query'      => sub ($client) { $client->messages(limit => 0, page => 0) },
    'wrong period'     => sub ($client) { $client->usage(period => 'year') },
    'send from nobody' => sub ($client) { $client->send({%{+native_message}, fromPhoneId => '+15550100777'}) },
    'send with environment' => sub ($client) { $client->send({%{+native_message}, environment => 'test'}) },
);


subtest 'what is good' => sub {
    for my $name (sort keys %call) {
        for my $end ('/v1', '/v1/') {
            is_deeply($call{$name}->(sdk('chatmaid', $end)), $call{$name}->($straight{sdk}{+test_key}), "SDK, $end: $name");
        }
        for my $end ('', '/') {
            is_deeply($call{$name}->(mcp('chatmaid', $end)), $call{$name}->($straight{mcp}{+test_key}), "MCP, \"$end\": $name");
        }
    }
    for my $name (sort keys %live_call) {
        is_deeply($live_call{$name}->(sdk('live')), $live_call{$name}->($straight{sdk}{+live_key}), "SDK: $name");
        is_deeply($live_call{$name}->(mcp('live', '/')), $live_call{$name}->($straight{mcp}{+live_key}), "MCP: $name");
    }
    is(sdk->usage(period => 'day')->{period}, 'day', 'SDK: usage');
    is(mcp->usage->{period}, 'month', 'MCP: usage');
    is_deeply([map { $_->{id} } sdk->every_message(limit => 2)], [reverse @ids], 'SDK: page by page');
    is_deeply(sdk->message(sdk->send(native_message)->{id})->{status}, 'sent', 'SDK: sent and read');
};

subtest 'sends' => sub {
    for my $case (['SDK', sdk], ['SDK, /v1/', sdk('chatmaid', '/v1/')], ['MCP', mcp], ['MCP, /', mcp('chatmaid', '/')]) {
        my ($name, $client) = @$case;
        my $m    = native_message;
        my $sent = $client->send($m);
        like($sent->{id}, qr/^msg_/, "$name: the message");
        is($sent->{content}, $m->{content}, "$name: its text");
        is(made($m), 1, "$name: one message");
        my %keyed = (%{+native_message}, idempotencyKey => key);
        my @twice = map { $client->send({%keyed}) } 1, 2;
        is_deeply($twice[1], $twice[0], "$name: twice with a key");
        is(made(\%keyed), 1, "$name: one message");
        like($client->send({%{+native_message}, to => '120363000000000001@g.us'})->{groupId}, qr/\@g\.us$/, "$name: to a group");
        is_deeply($client->send({fromPhoneId => '+15550100001', to => '+15550100099', mediaUrls => ['https://cdn.example/x.png?a=1']})->{mediaUrls}, ['https://cdn.example/x.png?a=1'], "$name: a picture");
        ok($_->{key} eq test_key, "$name: with the gateway's key") for ($api->requests)[-1];
        is(scalar(() = $api->header(($api->requests)[-1], 'Accept-Encoding')), 0, "$name: and no encoding");
    }
    my ($one, $two) = map { my $m = native_message; $_->send($m); ($api->requests)[-1]{body} =~ /"idempotencyKey":"(\w+)"/ } sdk, sdk;
    isnt($one, $two, 'each send of the SDK is one of its own');
    my $m = native_message;
    sdk->send({%$m}) for 1, 2;
    is(made($m), 2, 'also of an equal message');
    $m = native_message;
    mcp->send({%$m}) for 1, 2;
    is(made($m), 1, 'while the MCP server gives no key: equal ones are one');
};

subtest "Chatmaid's own errors" => sub {
    for my $name (sort keys %wrong_call) {
        my $direct = $straight{sdk}{+test_key}->caught(sub { $wrong_call{$name}->($straight{sdk}{+test_key}) });
        my $sdk    = sdk;
        my $error  = $sdk->caught(sub { $wrong_call{$name}->($sdk) });
        is("$error", "$direct", "SDK: $name: $direct");
        is($error->path, $direct->path, "SDK: $name: its path");
        ok($error->request_id, "SDK: $name: a request ID");
        is($sdk->attempts, 1, "SDK: $name: no retry");
        is(mcp->caught(sub { $wrong_call{$name}->(mcp) }), mcp->caught(sub { $wrong_call{$name}->($straight{mcp}{+test_key}) }), "MCP: $name");
    }
};

# By kind, and never a crash; the SDK's own retries are counted.
subtest "the gateway's errors" => sub {
    my $send = sub ($client) { $client->send(native_message) };
    my $read = sub ($client) { $client->account };
    my $fail = sub ($times, %fault) { sub { $api->fault({%fault, times => $times}) } };
    my @table = (
        # name, place, call, kind, status, requests of the SDK, what happens before
        ['no scope',        'scoped',   $send, 'permission', 403, 1],
        ['another sender',  'sender',   $send, 'permission', 403, 1],
        ['faults',          'chatmaid', sub ($client) { $client->send({fromPhoneId => 'x', to => 'y', content => 'z' x 4096, mediaUrls => ['http://a.example/x']}) }, 'validation', 400, 1],
        ['a slash in an ID', 'chatmaid', sub ($client) { $client->message('x/y') }, 'validation', 400, 1],
        ['denied',          'deny',     $read, 'permission', 403, 1],
        ['a limit of nginx', 'busy',    $read, 'server', 503, 3, sub { sdk('busy')->account }],
        ['503, a send',     'once',     $send, 'server', 502, 1, $fail->(0, status => 503)],
        ['503, a read',     'once',     $read, 'server', 502, 3, $fail->(0, status => 503)],
        ['HTML, a send',    'once',     $send, 'server', 502, 1, $fail->(0, status => 200, body => '<html>', type => 'text/html')],
        ['HTML, a read',    'once',     $read, 'server', 502, 3, $fail->(0, status => 200, body => '<html>', type => 'text/html')],
        ['a bad key',       'chatmaid', $read, 'server', 502, 3, $fail->(0, status => 401)],
        ['no connection',   'refused',  $send, 'server', 502, 1],
        ['the deadline, a send', 'hasty', $send, 'server', 504, 1, $fail->(0, hold => 'before')],
        ['the deadline, a read', 'hasty', $read, 'server', 504, 3, $fail->(0, hold => 'before')],
    );
    for my $row (@table) {
        my ($name, $place, $call, $kind, $status, $attempts, $before) = @$row;
        $before->() if $before;
        my $sdk   = sdk($place);
        my $error = $sdk->caught(sub { $call->($sdk) });
        is($error && join(' ', $error->kind, $error->status), "$kind $status", "SDK: $name");
        is($sdk->attempts, $attempts, "SDK: $name: its requests");
        ok($error && length $error->code && $error->code !~ /^HTTP_/ && @{$error->details}, "SDK: $name: a code and details");
        ok($error && $error->request_id, "SDK: $name: a request ID");
        my $mcp  = mcp($place, '/');
        my $said = $mcp->caught(sub { $call->($mcp) });
        like($said, qr/\A(?!crashed|HTTP|network)[^:]+: \S/, "MCP: $name: $said");
        $api->clear_faults;
        $api->release;
    }
    my @faults = split /, /, mcp->caught(sub { mcp->send({fromPhoneId => 'x', to => 'y', content => 'z', mediaUrls => ['http://a.example/x', 'ftp://a.example/x']}) });
    is(scalar @faults, 2, 'MCP: all faults at once');
};

# What they would fall into at Chatmaid, they are spared here.
subtest "where the clients' own code is weak" => sub {
    my $both = sub ($fault, $client, $straight) {
        return map { my $one = $_; $api->fault($fault); $one->caught(sub { $one->account }) } $client, $straight;
    };
    my $text = {status => 400, json => {success => \0, error => 'Bad Request', message => 'a text', statusCode => 400}};
    my ($here, $there) = $both->($text, mcp, $straight{mcp}{+test_key});
    is($there, 'crashed: message.join is not a function', 'MCP: a message that is a text');
    is($here, 'Bad Request: a text', 'MCP: is an array here');

    my $html = {status => 200, body => '<html>', type => 'text/html', times => 3};
    my $sdk  = sdk('once');
    $api->fault($html);
    is($sdk->caught(sub { $sdk->account })->status, 502, 'SDK: HTML with status 200 is an error here');
    $api->clear_faults;
    $api->fault({%$html, times => 1});
    is($straight{sdk}{+test_key}->account, undef, 'SDK: where it would read nothing, silently');

    my $base = sdk('chatmaid', '');
    my %missing = (send => sub { $base->send(native_message) }, phones => sub { $base->phones },
        phone => sub { $base->phone('+15550100001') }, status => sub { $base->phone_status('+15550100001') });
    for my $name (sort keys %missing) {
        my $error = $base->caught($missing{$name});
        is($error->status, 404, "SDK without /v1: $name");
        like("@{$error->details}", qr{must end in "/chatmaid/v1"}, "$name: says what to do");
    }
    like(mcp('chatmaid', $_->[0])->caught(sub { mcp('chatmaid', $_->[0])->phone_status('x') }), qr/\ANot Found: .*"v1" twice.*must end without it/,
        "MCP server with $_->[0]: says what to do") for ['/v1'], ['/v1/'];
    my $false = {status => 201, json => {success => \0, data => {id => 'msg_none'}}};
    $api->fault($false);
    is(sdk('once')->caught(sub { sdk('once')->send(native_message) })->status, 502, 'SDK: a send without success is an error here');
    $api->fault($false);
    is($straight{sdk}{+test_key}->send(native_message)->{id}, 'msg_none', 'SDK: where it would take it for one');
};

subtest 'a 429' => sub {
    my $slow = sub ($seconds) { {status => 429, json => {success => \0, error => 'Too Many Requests', message => ['Rate limit exceeded'], statusCode => 429, retryAfter => $seconds}} };
    my $m = native_message;
    $api->fault($slow->(1));
    my $sdk = sdk('chatmaid');
    like($sdk->send($m)->{id}, qr/^msg_/, "is the gateway's to wait for");
    is($sdk->attempts, 1, 'the SDK does not see it');

    $m = native_message;
    $api->fault($slow->(3));
    $sdk = sdk('limited');
    like($sdk->send($m)->{id}, qr/^msg_/, "or the SDK's");
    is_deeply($sdk->waits, [3], 'which waits as long as it is told');
    is(made($m), 1, 'one message');

    $api->fault($slow->(4));
    my $first = mcp('limited')->caught(sub { mcp('limited')->account });
    is($first, 'Too Many Requests: Rate limit exceeded', 'the MCP server says so');
    like(mcp('limited')->caught(sub { mcp('limited')->account }), qr/\A(?!crashed|HTTP|network)[^:]+: \S/, 'also where the gateway holds back');
    $sdk = sdk('limited');
    is($sdk->account->{accountId}, 'acc_main', 'the SDK waits for that as well');
    my ($wait) = @{$sdk->waits};
    ok($wait >= 1 && $wait <= 4, "no longer than it takes: $wait");
};

# The SDK asks again with its key; the record of the dead worker is in flight
# until its lease is over.
subtest 'a worker dies under a send' => sub {
    my ($m, $killed) = (native_message);
    $api->fault({hold => 'after'});
    my $sdk = sdk('chatmaid', '/v1', on_sent => sub ($attempt) {
        return if $killed++;
        $api->wait_held;
        $nginx->kill_workers;
    });
    my $sent = $sdk->send($m);
    is($sdk->attempts, 2, 'two requests');
    is(made($m), 1, 'one message');
    is(($api->messages)[-1]{id}, $sent->{id}, 'its id');
    is(scalar(my @tries = sends_of($m)), 2, 'two tries');
    is(scalar(keys %{{map { decode_json($_->{body})->{idempotencyKey} => 1 } @tries}}), 1, 'with one key');
    $api->release;
};

# Within the 30 s that the SDK gives each of its requests.
subtest 'an answer that never comes' => sub {
    my $m = native_message;
    $api->fault({hold => 'before', times => 0});
    my $sdk   = sdk('hasty');
    my $error = $sdk->caught(sub { $sdk->send({%$m, idempotencyKey => 'never'}) });
    is($error->kind, 'server', 'is told as an error, not by a timeout');
    $api->clear_faults;
    $api->release;
    is(sdk->send({%$m, idempotencyKey => 'never'})->{content}, $m->{content}, 'and with the same key it is found');
    is(made($m), 1, 'one message');
};

done;
