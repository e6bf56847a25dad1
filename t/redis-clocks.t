# Gateways whose clocks differ by five minutes, on one Redis: its clock is the one
# that counts, for leases and for the windows of sends without a key.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $api      = sandbox;
my $redis    = redis_server;

my %gateway = map {
    my ($name, $ahead) = @$_;
    $name => nginx(name => $name, api => $api, clock => clock(ahead => $ahead),
        http     => 'chatmaid_redis ' . $redis->url . ' timeout=30s; chatmaid_idempotency_wait 0; chatmaid_idempotency_window 10m; chatmaid_webhook_secret_file %DIR%/webhook_secret;',
        files    => {webhook_secret => webhook_secret . "\n"},
        gateway  => 'chatmaid_sender +15550100001; chatmaid_timeout 100s;',
        internal => 'proxy_ssl_verify off;',    # the certificate is not that old
        server   => 'location = /webhook { chatmaid_webhook on; proxy_ignore_client_abort on; proxy_pass http://127.0.0.1:' . $receiver->port . '; }');
} ['right', 0], ['fast', 300], ['slow', -300];

my @pairs = (['right', 'fast'], ['fast', 'right'], ['fast', 'slow'], ['slow', 'fast']);

subtest 'a lease under way' => sub {
    for my $pair (@pairs) {
        my ($one, $two) = @gateway{@$pair};
        my ($send, $key) = (message, key);
        $api->fault({hold => 'before'});
        my $first = $one->later(POST => '/send', $send, 'Idempotency-Key' => $key);
        $api->wait_held;
        is(told($two->post('/send', $send, 'Idempotency-Key' => $key)), '409 idempotency_in_flight unknown', "@$pair: nobody takes it over");
        $api->release;
        is($first->result->{status}, 201, "@$pair: sent");
        my $again = $two->post('/send', $send, 'Idempotency-Key' => $key);
        is("$again->{status} " . replayed($again), '201 replayed', "@$pair: and replayed");
        is(scalar(() = sends_of($send, $api)), 1, "@$pair: called once");
    }
};

subtest 'a send without a key' => sub {
    for my $pair (@pairs) {
        my ($one, $two) = @gateway{@$pair};
        my $send  = message;
        my $first = $one->post('/send', $send);
        my $again = $two->post('/send', $send);
        is("$first->{status} " . replayed($first), '201 new', "@$pair: sent");
        is("$again->{status} " . replayed($again), '201 replayed', "@$pair: a retry of it");
        is($again->{headers}{'idempotency-key'}, $first->{headers}{'idempotency-key'}, "@$pair: of the same window");
        is(scalar(() = sends_of($send, $api)), 1, "@$pair: called once");
    }
};

subtest 'an event' => sub {
    for my $pair (@pairs) {
        my ($one, $two) = @gateway{@$pair};
        my $body = event('message.sent');
        my $first = $one->post($one->url('/webhook'), $body, signed($body));
        my $again = $two->post($two->url('/webhook'), $body, signed($body));
        is("$first->{status} $again->{status}", '200 200', "@$pair: taken, whatever the clocks say within the tolerance");
        is(passed($receiver, $body), 1, "@$pair: handed on once");
    }
};

# Beyond the tolerance a clock is wrong, and the answer says so.
subtest 'an event from too far ahead' => sub {
    my $body = event('message.sent');
    my $slow = $gateway{slow};
    is(code($slow->post($slow->url('/webhook'), $body, signed($body, t => int(time) + 60))), '400 timestamp_out_of_tolerance', 'refused');
};

done;
