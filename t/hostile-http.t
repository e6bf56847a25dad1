# Clients that want to use a gateway up: slow ones, idle ones, those that leave
# at each byte, and streams that are reset as soon as they are opened.  The worker
# lives, others are answered, and what is sent is sent once.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Webhook;
use IO::Socket::IP;
use Mojo::JSON qw(encode_json);

my $receiver = receiver;
my $api      = sandbox;
my $nginx    = nginx(
    api         => $api,
    connections => 8192,
    main        => 'worker_rlimit_nofile 16384;',
    http        => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; limit_conn_zone $binary_remote_addr zone=sends:1m;',
    files       => {webhook_secret => webhook_secret . "\n"},
    gateway     => 'chatmaid_sender +15550100001; chatmaid_retries 0;',
    internal    => 'proxy_connect_timeout 20s;',
    server      => <<"END");
        listen 127.0.0.1:%PORT:h2% http2 backlog=4096;
        listen 127.0.0.1:%PORT:slow% sndbuf=16k;
        http2_max_concurrent_streams 128;
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_body_timeout 1s; send_timeout 1s; }
        location ^~ /few/       { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_retries 0; limit_conn sends 4; }
        location = /webhook     { chatmaid_webhook on; client_body_timeout 1s; proxy_pass http://127.0.0.1:@{[$receiver->port]}; }
        location = /status      { stub_status; }
END

my $worker = ($nginx->workers)[0];

sub head_of ($path, $length, @more) { join "\r\n", "POST $path HTTP/1.1", 'Host: localhost', 'Content-Type: application/json', "Content-Length: $length", @more, '', '' }
sub dialled ($port = $nginx->port) { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port) // die "connect: $@" }
sub others_are_answered ($name) {
    my $send = message;
    is(post('/send', $send)->{status}, 201, "$name: others send");
    is(made($send), 1, "$name: once");
    is(get('/account')->{status}, 200, "$name: others read");
}

subtest 'slow bodies' => sub {
    my $before = $api->sends;
    my @slow   = map { my $socket = dialled; syswrite $socket, head_of($_ % 2 ? '/impatient/send' : '/webhook', 500, 'X-Chatmaid-Signature: ' . sign('x')) . '{"to"'; $socket } 1 .. volume(200, 20);
    others_are_answered('meanwhile');
    for my $socket (@slow) {
        my $answer = '';
        1 while sysread $socket, $answer, 65536, length $answer;
        like($answer, qr{\A(?:HTTP/1.1 408 |\z)}, 'a request timeout, or the end');
    }
    is($api->sends, $before + 1, 'none of them was sent');
    is($receiver->count, 0, 'nor handed on');
};

# The answer stays in the module's memory: the call has ended.
subtest 'slow readers' => sub {
    my $body = '{"success":true,"data":{"data":[{"id":"' . 'x' x 3_000_000 . '"}],"pagination":{}}}';
    my $slow = volume(40, 4);
    $api->fault({status => 200, body => $body, times => $slow, match => {path => '/v1/messages'}});
    my @slow = map {
        my $socket = dialled($nginx->port('slow'));
        syswrite $socket, "GET /impatient/messages HTTP/1.1\r\nHost: localhost\r\n\r\n";
        $socket;
    } 1 .. $slow;
    ok(wait_for(sub { $api->count(path => '/v1/messages') == $slow }), 'all are called');
    others_are_answered('meanwhile');
    ok(wait_for(sub { $nginx->log_lines && (() = $nginx->error_log =~ /client timed out/g) >= $slow }), 'they are given up');
    close $_ for @slow;
};

subtest 'idle connections' => sub {
    my $count = volume(5000, 100);
    my @idle  = map { dialled } 1 .. $count;
    syswrite $_, "POST /chatmaid/send HTTP/1.1\r\nHost: lo" for @idle;
    ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: (\d+)/ && $1 > $count }), "$count connections");
    others_are_answered('meanwhile');
    close $_ for @idle;
    ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: 1 / }), 'and all are gone');
};

subtest 'gone at each byte' => sub {
    my $step = volume(1) < 1 ? 1 : ($ENV{CHATMAID_VOLUME} // 0.1) >= 1 ? 1 : 7;
    for my $how ('reset', 'close') {
        my $send   = message;
        my $body   = encode_json($send);
        my $whole  = head_of('/chatmaid/send', length $body) . $body;
        my $before = $api->count;
        my $at     = 0;
        while ($at < length $whole) {
            raw($whole, abort => $how, abort_after => $at);
            $at += $step;
        }
        get('/account');
        is($api->count, $before + 1, "$how: nothing was called");
        raw($whole, abort => $how);
        is(post('/send', $send)->{status}, 201, "$how: sent again");
        is(made($send), 1, "$how: one message");

        my $event = event('message.sent');
        $whole = head_of('/webhook', length $event, 'X-Chatmaid-Signature: ' . sign($event)) . $event;
        $at = 0;
        while ($at < length $whole) {
            raw($whole, abort => $how, abort_after => $at);
            $at += $step;
        }
        get('/account');
        is(passed($receiver, $event), 0, "$how: an event that did not arrive is not handed on");
    }
};

# CVE-2023-44487: each stream is reset as soon as it is opened, far more often
# than streams may be open.
subtest 'rapid reset' => sub {
    my ($sent, $before) = (0, $api->sends);
    for my $location ('chatmaid', 'few') {
        for my $round (1 .. volume(100, 4)) {
            my $h2 = connect_h2($nginx->port('h2'));
            for (1 .. 100) {
                my ($id, $head) = opened($h2, POST => "/$location/send", 0);
                put($h2, $head, data($id, encode_json(message)), reset_($id));
                $sent++;
            }
            drop($h2, $round % 2 ? 'reset' : 'close');
        }
        others_are_answered($location);
    }
    ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: 1 / }), 'their connections are gone');
    my $made = $api->sends - $before;
    cmp_ok($made, '<=', $sent + 2, "of $sent sends $made were made, none twice");
};

subtest 'limit_conn' => sub {
    my $h2 = connect_h2($nginx->port('h2'));
    $api->fault({hold => 'before', times => 100});
    my $before = $api->sends;
    my @ids;
    for (1 .. 40) {
        my ($id, $head) = opened($h2, POST => '/few/send', 0);
        put($h2, $head, data($id, encode_json(message)));
        push @ids, $id;
    }
    $api->wait_held(4);
    put($h2, map { reset_($_) } @ids);
    my ($id, $head) = opened($h2, POST => '/few/send', 0);
    put($h2, $head, data($id, encode_json(message)));
    is(answer($h2, $id)->{status}, 503, 'a reset stream counts until its send has ended');
    is($api->sends, $before + 4, 'four are under way, no more');
    $api->release;
    $api->clear_faults;
    ok(wait_for(sub { post(url('/few/send'), message)->{status} == 201 }), 'then there is room again');
};

is(($nginx->workers)[0], $worker, 'the worker is the same');
others_are_answered('at the end');
done;
