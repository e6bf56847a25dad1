# What events leave in the zone, beside sends: neither takes the other's room for
# long, and what has not been delivered leaves nothing.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
edge;                                   # whose client sends the events
my $api      = sandbox;

# A gateway that is an edge as well, with a zone for little more than 100 sends.
sub whole ($http, %more) {
    my $nginx = nginx(
        error_log => 'notice',
        http      => "chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_zone chatmaid:128k; chatmaid_retries 0; $http",
        gateway   => 'chatmaid_sender +15550100001;',
        files     => {webhook_secret => webhook_secret . "\n"},
        servers   => "server { listen 127.0.0.1:%PORT:edge%; location = /hook { chatmaid_webhook on; proxy_pass http://127.0.0.1:${\$receiver->port}; } }",
        %more,
    );
    $_->clear_faults for $receiver, $api;
    return ($nginx, 'http://127.0.0.1:' . $nginx->port('edge') . '/hook');
}

# How often each answer was given.
sub tally (@answers) {
    my %count;
    $count{code($_)}++ for @answers;
    return join ', ', map { "$_: $count{$_}" } sort keys %count;
}

sub many ($count, $one) {
    my @all;
    while ($count > 0) {
        push @all, map { $_->result } map { $one->() } 1 .. ($count < 20 ? $count : 20);
        $count -= 20;
    }
    return @all;
}

my $serial = 0;
sub sent ($key = 'key-' . ++$serial) { later(POST => '/send', {to => '+15550100099', text => "of $key"}, 'Idempotency-Key' => $key) }
sub again ($one) { $one->{headers}{'idempotent-replayed'} ? 'replayed' : 'sent again' }

sub once ($url, $name) {
    my $body = event('message.sent');
    is(code(hook_at($url, $body)), 200, "$name: delivered");
    is(code(hook_again($url, $body)), 200, "$name: a repeat");
    is(passed($receiver, $body), 1, "$name: handed on once");
}


subtest 'events that are not delivered, without Redis' => sub {
    my $redis = redis_server;
    my ($nginx, $url) = whole('chatmaid_redis ' . $redis->url . ';');
    once($url, 'connected');
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');

    $receiver->fault({status => 500, times => 0});
    is(tally(many(800, sub { hook_later_at($url, event('message.sent')) })), '500: 800', 'many');
    $receiver->clear_faults;
    once($url, 'then');
    is(code(sent->result), 201, 'a send');
};

subtest 'a zone full of sends, with Redis' => sub {
    my $redis = redis_server;
    my ($nginx, $url) = whole('chatmaid_redis ' . $redis->url . ' timeout=30s; chatmaid_idempotency_window 0;');
    $api->fault({hold => 'before', times => 0, match => {method => 'POST'}});
    my @sends = map { sent() } 1 .. 160;
    wait_for(sub { Mojo::IOLoop->timer(0.05 => sub { }); Mojo::IOLoop->one_tick; $api->held + grep({ $_->done } @sends) >= 160 }, 'all of them');
    ok(scalar(grep { $_->done } @sends), 'full of sends under way');
    $receiver->fault({hold => 'before', times => 20});
    my @held = map { hook_later_at($url, event('message.sent')) } 1 .. 20;
    $receiver->wait_held(20);
    once($url, 'an event');
    is(scalar($nginx->logged(qr/\[warn\].*chatmaid.*(?:without a mark|handed on again)/)), 0, 'no warning');
    $receiver->release;
    is(tally(map { $_->result } @held), '200: 20', 'those under way');
    $api->clear_faults;
    $api->release;
    like(tally(map { $_->result } @sends), qr/^201: \d+, 503 store_unavailable: [1-9]/, 'the sends');
};

subtest 'a zone full of events' => sub {
    my ($nginx, $url) = whole('chatmaid_idempotency_window 0; chatmaid_webhook_dedup 0;');
    is(code(sent('first')->result), 201, 'a send');
    is(tally(many(800, sub { hook_later_at($url, event('message.sent')) })), '200: 800', 'many, of which only notes are left');
    is(again(sent('first')->result), 'replayed', 'take no room from sends');
};

# As in an nginx that has run for some time: marks lie where notes were.  Each step
# forward lets nginx's timers run out that were set before it, so they are longer
# than all steps together.
subtest 'a zone full of events, over time' => sub {
    my $clock = clock;
    my $times = join ' ', map { "$_ 1h;" } qw(proxy_connect_timeout proxy_send_timeout proxy_read_timeout
        client_header_timeout client_body_timeout send_timeout keepalive_timeout);
    my ($nginx, $url) = whole("chatmaid_idempotency_window 0; chatmaid_timeout 1h; $times", clock => $clock,
        internal => 'proxy_connect_timeout 1h; proxy_read_timeout 1h; proxy_send_timeout 1h;');
    my @all;
    for (1 .. 20) {
        push @all, many(50, sub { my $body = event('message.sent'); hook_later_at($url, $body, signed($body, clock => $clock)) });
        $clock->forward(30);
        $nginx->get($nginx->url('/health')) for 1 .. 3;
    }
    is(tally(@all), '200: 1000', 'many');
    ok($nginx->logged(qr/\[error\].*zone is full/), 'more than it takes');
    is(tally(many(40, \&sent)), '201: 40', 'sends find room');
    is(again(sent('key-' . $serial)->result), 'replayed', 'and are known');
};

done;
