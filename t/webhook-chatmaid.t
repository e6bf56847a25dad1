# A whole nginx as an operator has it: services send through the gateway, Chatmaid
# (the sandbox) tells of each message by webhooks over TLS, with its retries, and
# the edge hands every event on once.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(decode_json);

my $receiver = receiver;
my $api      = sandbox;
my $redis    = redis_server;

my $nginx = nginx(
    workers => 2,
    http    => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_redis ' . $redis->url . ' timeout=30s;',
    gateway => 'chatmaid_sender +15550100001; chatmaid_api_key_file %DIR%/live_key;',
    files   => {webhook_secret => webhook_secret . "\n", live_key => live_key},
    servers => <<"END_CONF");
    server {
        listen 127.0.0.1:%PORT:edge% ssl;
        ssl_certificate     %CRT:edge%;
        ssl_certificate_key %KEY:edge%;
        location = /webhooks/chatmaid {
            chatmaid_webhook          on;
            proxy_pass                http://127.0.0.1:${\$receiver->port};
            proxy_read_timeout        4s;
            proxy_ignore_client_abort on;
            proxy_set_header          X-Chatmaid-Event \$chatmaid_webhook_event;
        }
        location = /webhooks/patient {
            chatmaid_webhook          on;
            proxy_pass                http://127.0.0.1:${\$receiver->port};
            proxy_read_timeout        1h;
            proxy_ignore_client_abort on;
        }
    }
END_CONF

my $edge = 'https://localhost:' . $nginx->port('edge');
my $url  = "$edge/webhooks/chatmaid";
my $count = 0;
my @life = ([10, 'sent'], [20, 'delivered'], [30, 'read']);

sub chatmaid (%webhooks) {
    $_->reset, $_->clear_faults for $api, $receiver;
    $api->config(schedule => \@life, webhooks => {endpoints => [{url => $url, secret => webhook_secret}],
        scale => 0.002, resign => 1, timeout => 30, retries => [60, 300, 900], %webhooks});
}

sub send_one () { post('/send', {to => '+15550100099', text => 'Your table is ready, ' . ++$count})->{json}{id} }
sub delivered () { map { join ' ', @{decode_json($_->{body})->{data}}{qw(messageId status)} } grep { ($_->{status} // 0) == 200 } $receiver->requests }
sub tries () { sort map { join ' ', map { $_->{status} } @{$_->{tries}} } $api->deliveries }
sub all_of ($id) { map { "$id $_" } qw(delivered read sent) }


subtest 'the life of a message' => sub {
    chatmaid;
    my $id = send_one;
    ok(wait_for(sub { $api->deliveries == 3 }), 'three events');
    is($api->wait_deliveries, 3, 'Chatmaid is content');
    is_deeply([sort +delivered()], [all_of($id)], 'each is handed on once');
    is_deeply([sort map { $receiver->header($_, 'X-Chatmaid-Event') } $receiver->requests], [map { "message.$_" } qw(delivered read sent)], 'with its name');
    is_deeply([tries], [(200) x 3], 'at the first try');
};

for my $resign (1, 0) {
    subtest $resign ? 'retries that are signed anew' : "retries with the first one's signature" => sub {
        chatmaid(resign => $resign);
        $receiver->fault({status => 500}, {close => 'before'}, {hold => 'before'}, {status => 404});
        my $id = send_one;
        ok(wait_for(sub { $api->deliveries == 3 }), 'three events');
        is($api->wait_deliveries, 3, 'Chatmaid is content in the end');
        is_deeply([sort +delivered()], [all_of($id)], 'each is handed on successfully, once');
        is($receiver->count, 7, 'after four failures');
        my %failures = map { $_ => 1 } grep { $_ != 200 } map { split / / } tries;
        is_deeply([sort keys %failures], [404, 500, 502, 504], 'of which it was told');
    };
}

# Chatmaid gives up on an answer that the receiver is still working on.
subtest 'an impatient Chatmaid' => sub {
    chatmaid(timeout => 3, scale => 0.01, endpoints => [{url => "$edge/webhooks/patient", secret => webhook_secret}]);
    $receiver->fault({hold => 'before', times => 3});
    my $id = send_one;
    $receiver->wait_held(3);
    ok(wait_for(sub { 3 == grep { defined $_->{tries}[0]{status} } $api->deliveries }), 'three events');
    $receiver->release;
    is($api->wait_deliveries, 3, 'is content in the end');
    is_deeply([sort +delivered()], [all_of($id)], 'each is handed on once');
    is(scalar(grep { /^0(?: 0| 503)* 200$/ } tries), 3, 'a repeat is told that it has been delivered');
};

subtest 'another account at the same time' => sub {
    chatmaid(endpoints => [{url => $url, secret => secret('whsec_another-secret-0123')}], scale => 0.0001);
    send_one;
    ok(wait_for(sub { $api->deliveries == 3 }), 'three events');
    is($api->wait_deliveries, 0, 'with a secret of its own: none is taken');
    is_deeply([tries], [('401 401 401 401') x 3], 'and Chatmaid gives up');
    is($receiver->count, 0, 'none is handed on');
};

subtest 'inbound and others' => sub {
    chatmaid;
    $api->event($_) for qw(message.received message.outgoing phone.disconnected phone.connected message.of-tomorrow);
    is($api->wait_deliveries, 5, 'all are taken');
    is($receiver->count, 5, 'and handed on');
};

done;
