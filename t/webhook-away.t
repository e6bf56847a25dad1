# Events while Redis is away, while it comes back, and while the zone is full:
# none is refused for it, and what is known is not handed on again.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $serial   = 0;

sub edge_of ($redis, $options, %more) {
    return edge(name => 'edge' . ++$serial, error_log => 'notice', webhook => 'proxy_ignore_client_abort on;',
        http => 'chatmaid_redis ' . $redis->url . " timeout=250ms $options;", %more);
}

sub killed ($redis) {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 15, 'Redis to die');
}

sub back ($edge) {
    wait_for(sub { hook_at($edge, event('message.sent')); $edge->logged(qr/redis ".*" is back/) }, 30, $edge->name . ' to have it back');
}

# Delivered at first, known from then on.
sub once ($edge, $name, $body = event('message.sent')) {
    is(code(hook_at($edge, $body)), 200, "$name: delivered");
    is(code(hook_at($edge, $body)), 200, "$name: a repeat");
    is(passed($receiver, $body), 1, "$name: handed on once");
    return $body;
}

my %ways = (
    killed  => [\&killed, sub ($redis) { $redis->start }],
    stopped => [sub ($redis) { $redis->kill('STOP') }, sub ($redis) { $redis->kill('CONT') }],
    full    => [sub ($redis) { $redis->cli(qw(CONFIG SET maxmemory 1)) }, sub ($redis) { $redis->cli(qw(CONFIG SET maxmemory 0)) }],
    'a replica' => [sub ($redis) { $redis->cli('REPLICAOF', '127.0.0.1', port('nobody')) }, sub ($redis) { $redis->cli(qw(REPLICAOF NO ONE)) }],
);

for my $name (sort keys %ways) {
    subtest $name => sub {
        my ($break, $mend) = @{$ways{$name}};
        for my $fallback (qw(zone reject)) {
            my $redis = redis_server(args => [qw(--appendonly yes --appendfsync always)]);
            my $edge  = edge_of($redis, "fallback=$fallback");
            my $other = edge_of($redis, "fallback=$fallback");
            my $body  = once($edge, "$fallback: before");

            $receiver->fault({hold => 'before'});
            my $during = event('message.sent');
            my $held   = hook_later_at($edge, $during);
            $receiver->wait_held;
            $break->($redis);
            is(code(hook_at($edge, $during)), '503 delivery_in_flight', "$fallback: one under way");
            $receiver->release;
            is(code($held->result), 200, "$fallback: is delivered");
            is(code(hook_at($edge, $during)), 200, "$fallback: and known");
            is(passed($receiver, $during), 1, "$fallback: not handed on again");

            my $away = once($edge, "$fallback: meanwhile");
            $receiver->fault({status => 500});
            my $failed = event('message.sent');
            is(code(hook_at($edge, $failed)), 500, "$fallback: one that fails");
            is(code(hook_at($edge, $failed)), 200, "$fallback: is handed on again");
            is(code(hook_at($other, event('message.sent'))), 200, "$fallback: the other edge goes on too");

            $mend->($redis);
            back($_) for $edge, $other;
            is(code(hook_at($edge, $_)), 200, "$fallback: repeats of all of them") for $body, $during, $away, $failed;
            is(join(' ', map { passed($receiver, $_) } $body, $during, $away, $failed), '1 1 1 2', "$fallback: known at the edge that delivered them");
            is(code(hook_at($other, $body)), 200, "$fallback: one of before, at the other edge");
            is(passed($receiver, $body), 1, "$fallback: is known by Redis");
            my $after = once($edge, "$fallback: afterwards");
            is(code(hook_at($other, $after)), 200, "$fallback: and at the other edge");
            is(passed($receiver, $after), 1, "$fallback: is known there");
            is(scalar($edge->logged(qr/\[error\]|\[crit\]/)), scalar($edge->logged(qr/recv\(\) failed|upstream/)), "$fallback: nothing worse than a notice");
            $_->quit for $edge, $other;
            $redis->stop;
        }
    };
}

subtest 'never there' => sub {
    my $redis = redis_server;
    killed($redis);
    once(edge_of($redis, "fallback=$_"), $_) for qw(zone reject);
};

subtest 'claimed in Redis, ended without it, and the other way round' => sub {
    my $redis = redis_server(args => [qw(--appendonly yes --appendfsync always)]);
    my ($edge, $other) = map { edge_of($redis, '') } 1, 2;
    once($edge, 'connected');
    killed($redis);
    my $body = event('message.sent');
    $receiver->fault({hold => 'before'});
    my $held = hook_later_at($edge, $body);
    $receiver->wait_held;
    $redis->start;
    back($_) for $edge, $other;
    is(code(hook_at($edge, $body)), '503 delivery_in_flight', 'under way since before it was back');
    $receiver->release;
    is(code($held->result), 200, 'delivered');
    is(code(hook_at($edge, $body)), 200, 'a repeat');
    is(passed($receiver, $body), 1, 'not handed on again');
};

subtest 'a full zone' => sub {
    my $edge = edge(name => 'small', error_log => 'notice', http => 'chatmaid_zone chatmaid:512k;');
    my $count = 1500;
    my @all;
    for my $part (1 .. $count / 100) {
        my @bodies = map { event('message.sent') } 1 .. 100;
        my @asked  = map { hook_later_at($edge, $_) } @bodies;
        push @all, grep { $_->result->{status} == 200 } @asked;
    }
    is(scalar @all, $count, 'every event is handed on');
    is(scalar($edge->logged(qr/\[warn\].*zone is full/)), 1, 'it is full, and says so once');
    once($edge, 'the latest are known');
};

done;
