# Senders that hang up at any moment, workers that are killed, edges reloaded: each
# event is delivered in the end, and nothing is left over.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use List::Util qw(shuffle);

my $receiver  = receiver;
my $redis     = redis_server;
my $mib       = 1 << 20;
my $sanitized = ($ENV{NGINX} // '') =~ /asan/;

sub edge_of ($name, %more) {
    return edge(name => $name, workers => 2, error_log => 'notice', webhook => 'proxy_ignore_client_abort on;',
        server => 'listen 127.0.0.1:%PORT:h2% http2; client_max_body_size 2m; keepalive_requests 100000;'
            . ' location = /large { chatmaid_webhook on; client_body_buffer_size 1k; proxy_pass http://127.0.0.1:%API%; }'
            . ' location = /state { stub_status; }', %more);
}

# An event, sent in one of these ways and cut off somewhere, or not at all.
my @ways = (
    sub ($edge, $body) { raw($edge->port, head($body) . $body, abort_after => int rand 1200, abort => (qw(close reset half))[rand 3]) },
    sub ($edge, $body) { raw($edge->port, [head($body), $body], abort => (qw(close reset))[rand 2]) },
    sub ($edge, $body) {
        my $bytes = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;
        raw($edge->port, [head($body, length => undef, lines => ['Transfer-Encoding: chunked']), unpack '(a97)*', $bytes],
            gap => 0, abort => 'reset', abort_after => int rand 1500);
    },
    sub ($edge, $body) { hook_later_at($edge, $body)->abort },
    sub ($edge, $body) { raw($edge->port, head($body, signature => sign($body, secret => 'another')) . $body, abort => 'close') },
    sub ($edge, $body) {
        my $h2 = connect_h2($edge->port('h2'));
        my ($id, $head) = opened($h2, POST => '/webhooks/chatmaid', 0, ['x-chatmaid-signature', sign($body)]);
        my $cut = int rand length $body;
        put($h2, $head, data($id, substr($body, 0, $cut), 0));
        put($h2, rand > 0.5 ? data($id, substr $body, $cut) : (), reset_($id)) if rand > 0.3;
        drop($h2, (qw(close reset goaway))[rand 3]);
    },
);

# Until it is acknowledged.
sub insist ($edges, $body) {
    return wait_for(sub {
        my $answer = hook_at($edges->[rand @$edges], $body);
        $answer->{status} == 200 || (select undef, undef, undef, 0.05) & 0;
    }, 'an event to be acknowledged');
}

sub idle ($edge) {
    return wait_for(sub { $edge->get($edge->url('/state'))->{body} =~ /^Active connections: 1 .*Reading: 0 Writing: 1 Waiting: 0/s });
}

for my $case (['zone'], ['redis', http => 'chatmaid_redis ' . $redis->url . ' timeout=30s;']) {
    my ($name, @option) = @$case;
    subtest "senders that hang up: $name" => sub {
        my @edges = map { edge_of("$name$_", @option) } 1 .. ($name eq 'redis' ? 2 : 1);
        my @bodies = map { event('message.received', {content => 'x' x rand 800}) } 1 .. volume(1000, 60);
        $receiver->reset;
        for my $n (0 .. $#bodies) {
            my $edge = $edges[rand @edges];
            $ways[rand @ways]->($edge, $bodies[$n]) for 0 .. rand 3;
            $edge->reload if $n == int @bodies / 2;
        }
        insist(\@edges, $_) for shuffle @bodies;
        my %times;
        $times{$_}++ for bodies($receiver);
        is(scalar(grep { $times{$_} } @bodies), scalar @bodies, 'each event is delivered');
        is(scalar(grep { $_ > 1 } values %times), 0, 'none twice, as the receiver never failed');
        is(scalar keys %times, scalar @bodies, 'and nothing else');
        ok(idle($_), 'no connection is left over') for @edges;
    };
}

subtest 'workers are killed' => sub {
    my $edge   = edge_of('killed');
    my @bodies = map { event('message.received') } 1 .. volume(100, 20);
    $receiver->reset;
    for my $n (0 .. $#bodies) {
        my $pending = hook_later_at($edge, $bodies[$n]);
        $edge->kill_workers if $n % 10 == 5;
        $pending->result;
    }
    # those that were under way have their leases; all others are known
    my @acknowledged = grep { passed($receiver, $_) && code(hook_at($edge, $_)) eq '200' } @bodies;
    cmp_ok(scalar @acknowledged, '>=', @bodies * 0.7, 'what was answered is known');
    my $twice = grep { passed($receiver, $_) > 1 } @acknowledged;
    is($edge->has_lost_records ? 0 : $twice, 0, 'and was not handed on again, unless the zone was lost');
    is(scalar(grep { code(hook_at($edge, $_)) !~ /^(?:200|503 delivery_in_flight)$/ } @bodies), 0, 'the others are under way');
};

subtest 'memory' => sub {
    my $edge   = edge_of('memory', workers => 1, http => 'chatmaid_webhook_dedup 0;');
    my ($worker) = $edge->workers;
    my $body   = event('message.received', {content => 'x' x $mib});
    my $one    = sub { raw($edge->port, head($body, path => '/large') . $body)->{status} };
    my $deep   = '{"event":"x","data":' . '[' x 100_000 . ']' x 100_000 . '}';
    my $wide   = '{"event":"x","data":[' . join(',', ('{}') x 100_000) . ']}';

    is($one->(), 200, 'a large event') for 1 .. 5;
    my ($rss, $fds) = ($edge->rss($worker), $edge->fds($worker));
    for my $n (1 .. volume(300, 20)) {
        $one->();
        $receiver->reset if $n % 10 == 0;       # it keeps what it gets
    }
    like(code(raw($edge->port, head($deep) . $deep)), qr/^(?:200|400 invalid_json)$/, 'a deep one');
    is(code(raw($edge->port, head($wide) . $wide)), 200, 'a wide one');
    is(code(hook_at($edge, event('message.sent'))), 200, 'and a usual one');
    SKIP: {
        skip 'freed memory is kept by the sanitizer', 1 if $sanitized;
        cmp_ok($edge->rss($worker) - $rss, '<', 16384, 'no growth of memory, in KiB');
    }
    cmp_ok($edge->fds($worker), '<=', $fds + 2, 'no more descriptors');
    is(($edge->workers)[0], $worker, 'by the same worker');
};

done;
