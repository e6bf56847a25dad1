# A worker dies while it has the zone locked.  nginx unlocks it, and the zone starts
# empty: calls and deliveries of the other worker end as if nothing had been.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
edge;                                   # whose client sends the events
my $api      = sandbox;
my $redis    = redis_server;
my %store    = (zone => '', redis => 'chatmaid_redis ' . $redis->url . ' timeout=30s;');

sub start_nginx ($name) {
    return nginx(
        name     => "with-$name",
        workers  => 2,
        probe    => 'zone',
        http     => "chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_sender +15550100001; $store{$name}",
        files    => {webhook_secret => webhook_secret . "\n"},
        internal => 'proxy_read_timeout 60s;',
        server   => "$STATUS listen 127.0.0.1:%PORT:both% reuseport;
            location = /die { zone_probe; }
            location = /hook { chatmaid_webhook on; proxy_ignore_client_abort on; proxy_pass http://127.0.0.1:${\$receiver->port}; }
            location ^~ /paced/ { chatmaid_gateway /.chatmaid/; chatmaid_account paced; chatmaid_rate 10r/s burst=1; }",
    );
}

# Ends when its worker has died and another one is there.
sub die_locked ($nginx) {
    my $before = () = $nginx->logged(qr/was locked by/);
    $nginx->expect(qr/shared memory zone "chatmaid" was locked by|exited on signal 9/, 'it dies with the zone locked');
    $nginx->expect(qr/chatmaid zone has lost its records/, 'as docs/log.md says');
    my $answer = get($nginx->url('/die'));
    wait_for(sub { $nginx->logged(qr/was locked by/) > $before && 2 == (() = $nginx->workers) }, 'another worker');
    return $answer->{status};
}

for my $name (sort keys %store) {
    my $nginx = start_nginx($name);
    my $url   = sub ($path) { 'http://127.0.0.1:' . $nginx->port('both') . $path };

    subtest "$name: what is recorded" => sub {
        my ($m, $key, $event) = (message, key, event('message.sent'));
        my @send = (POST => '/send', $m, 'Idempotency-Key' => $key);
        my $id = request(@send)->{json}{id};
        is(code(hook_at($url->('/hook'), $event)), 200, 'an event');

        is(die_locked($nginx), 0, 'its caller has no answer');
        my $calls = $api->sends;
        is(request(@send)->{json}{id}, $id, 'the same send again: the same message');
        is($api->sends - $calls, $name eq 'zone' ? 1 : 0, 'Chatmaid is asked again where only the zone knew');
        is(made($m), 1, 'one message');
        is(code(hook_at($url->('/hook'), $event)), 200, 'the event again');
        is(passed($receiver, $event), $name eq 'zone' ? 2 : 1, 'it is handed on again where only the zone knew');
        is($nginx->has_lost_records, 1, 'the log says so, once');
    };

    subtest "$name: what is under way" => sub {
        my $id = post('/send', message)->{json}{id};
        $api->move($id, 'sent');
        $api->fault({hold => 'before', times => 8});
        $receiver->fault({hold => 'before', times => 8});
        my @bodies = map { event('message.sent') } 1 .. 8;
        my @sends  = map { later(POST => $url->('/chatmaid/send'), message) } 1 .. 8;
        $api->wait_held(8);
        my @waits  = map { later(GET => $url->("/chatmaid/messages/$id?wait=60")) } 1 .. 8;
        my @paced  = map { later(POST => $url->('/paced/send'), message) } 1 .. 30;
        my @hooks  = map { hook_later_at($url->('/hook'), $_) } @bodies;
        $receiver->wait_held(8);

        is(die_locked($nginx), 0, 'its caller has no answer');
        is(post('/send', message)->{status}, 201, 'one more send');
        ok(defined metric('chatmaid_pace_waiting', $nginx), 'the status');
        $_->release for $api, $receiver;
        $api->move($id, 'delivered');
        for ([sends => 201, @sends], [paced => 201, @paced], [waits => 200, @waits], [hooks => 200, @hooks]) {
            my ($what, $status, @calls) = @$_;
            my @lost = grep { $_ != $status } map { $_->result->{status} } @calls;
            note("$what: " . @lost . ' of ' . @calls . ' lost');
            is(join(' ', grep { $_ != 0 } @lost), '', "$what: answered, or lost with their worker");
        }
        is(scalar(grep { passed($receiver, $_) != 1 } @bodies), 0, 'each event came once');
        wait_for(sub { metric('chatmaid_pace_waiting', $nginx) == 0 }, 'nobody to wait');
        is(post($url->('/paced/send'), message)->{status}, 201, 'and then') for 1 .. 4;
    };
}

done;
