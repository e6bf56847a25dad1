# Events while Redis is away, while it comes back, and while the zone is full:
# none is refused for it, and what is known is not handed on again.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use List::Util qw(sum0);

my $receiver = receiver;
my $serial   = 0;

sub edge_of ($redis, $options, %more) {
    return edge(name => 'edge' . ++$serial, error_log => 'notice', webhook => 'proxy_ignore_client_abort on;',
        http => 'chatmaid_redis ' . $redis->url . " $options" . ($options =~ /timeout/ ? ";" : " timeout=2s;"), %more);
}

sub killed ($redis) {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
}

# The events that Redis has as delivered: an answer alone does not mean that it has
# been told.
sub done_in ($redis) { $redis->count_records('*event:*', 'done') }

sub recorded ($redis, $count) { wait_for(sub { done_in($redis) >= $count }, "$count events in Redis") }

# It writes to Redis again, and has said so.
sub back ($edge, $redis) {
    wait_for(sub {
        my $known = done_in($redis);
        hook_at($edge, event('message.sent'));
        for (1 .. 20) {
            return 1 if done_in($redis) > $known && $edge->logged(qr/redis ".*" is back/);
            pause(0.02);
        }
        return 0;
    }, $edge->name . ' to have it back');
}

# How many bytes wait for Redis to read them.
sub unread ($redis) {
    my $port = sprintf ':%04X', $redis->port;
    my @open = grep { ($_->[1] // '') =~ /$port$/ && $_->[3] eq '01' } map { [split] } slurp('/proc/net/tcp') =~ /^.*$/mg;
    return sum0(map { hex((split /:/, $_->[4])[1]) } @open);
}

# Delivered at first, known from then on.
sub once ($edge, $name, $body = event('message.sent')) {
    is(code(hook_at($edge, $body)), 200, "$name: delivered");
    is(code(hook_again($edge, $body)), 200, "$name: a repeat");
    is(passed($receiver, $body), 1, "$name: handed on once");
    return $body;
}

my %ways = (
    killed  => [\&killed, sub ($redis) { $redis->start }],
    stopped => [sub ($redis) { $redis->kill('STOP') }, sub ($redis) { $redis->kill('CONT') }],
    full    => [sub ($redis) { $redis->cli(qw(CONFIG SET maxmemory 1)) }, sub ($redis) { $redis->cli(qw(CONFIG SET maxmemory 0)) }],
    'a replica' => [sub ($redis) { $redis->cli('REPLICAOF', '127.0.0.1', port('nobody')) }, sub ($redis) { $redis->cli(qw(REPLICAOF NO ONE)) }],
);

# For each way, an edge of either fallback and another beside it.
my %run;

for my $name (sort keys %ways) {
    subtest "$name: away" => sub {
        my $redis = redis_server(args => [qw(--appendonly yes --appendfsync always)]);
        my $run   = $run{$name} = {redis => $redis, other => edge_of($redis, '')};
        for my $fallback (qw(zone reject)) {
            my $one = $run->{$fallback} = {edge => edge_of($redis, "fallback=$fallback"), during => event('message.sent')};
            $one->{before} = once($one->{edge}, "$fallback: before");
            $receiver->fault({hold => 'before'});
            $one->{held} = hook_later_at(@$one{qw(edge during)});
            $receiver->wait_held($fallback eq 'zone' ? 1 : 2);
        }
        once($run->{other}, 'at another edge');
        recorded($redis, 3);
        $ways{$name}[0]->($redis);
        is(code(hook_at(@{$run->{$_}}{qw(edge during)})), '503 delivery_in_flight', "$_: one under way") for qw(zone reject);
        $receiver->release;

        for my $fallback (qw(zone reject)) {
            my $one  = $run->{$fallback};
            my $edge = $one->{edge};
            is(code($one->{held}->result), 200, "$fallback: it is delivered");
            is(code(hook_again($edge, $one->{during})), 200, "$fallback: and known");
            is(passed($receiver, $one->{during}), 1, "$fallback: not handed on again");

            $one->{away} = once($edge, "$fallback: meanwhile");
            $receiver->fault({status => 500});
            $one->{failed} = event('message.sent');
            is(code(hook_at($edge, $one->{failed})), 500, "$fallback: one that fails");
            is(code(hook_again($edge, $one->{failed})), 200, "$fallback: is handed on again");
        }
        is(code(hook_at($run->{other}, event('message.sent'))), 200, 'the other edge goes on too');
    };
}

$ways{$_}[1]->($run{$_}{redis}) for sort keys %ways;

for my $name (sort keys %ways) {
    subtest "$name: back" => sub {
        my $run   = $run{$name};
        my $other = $run->{other};
        back($_, $run->{redis}) for $other, map { $run->{$_}{edge} } qw(zone reject);

        for my $fallback (qw(zone reject)) {
            my $one    = $run->{$fallback};
            my $edge   = $one->{edge};
            my @bodies = @$one{qw(before during away failed)};
            is(code(hook_again($edge, $_)), 200, "$fallback: repeats of all of them") for @bodies;
            is(join(' ', map { passed($receiver, $_) } @bodies), '1 1 1 2', "$fallback: known at the edge that delivered them");
            is(code(hook_again($other, $one->{before})), 200, "$fallback: one of before, at the other edge");
            is(passed($receiver, $one->{before}), 1, "$fallback: is known by Redis");
            my $known = done_in($run->{redis});
            my $after = once($edge, "$fallback: afterwards");
            recorded($run->{redis}, $known + 1);
            is(code(hook_again($other, $after)), 200, "$fallback: and at the other edge");
            is(passed($receiver, $after), 1, "$fallback: is known there");
            is(scalar($edge->logged(qr/\[(?:error|crit)\](?!.* chatmaid redis ".*" is (?:away|back)).*chatmaid/)), 0,
                "$fallback: nothing worse than a warning but for Redis itself");
        }
        $_->quit for $other, map { $run->{$_}{edge} } qw(zone reject);
        $run->{redis}->stop;
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
    recorded($redis, 1);
    killed($redis);
    my $body = event('message.sent');
    $receiver->fault({hold => 'before'});
    my $held = hook_later_at($edge, $body);
    $receiver->wait_held;
    $redis->start;
    back($_, $redis) for $edge, $other;
    is(code(hook_at($edge, $body)), '503 delivery_in_flight', 'under way since before it was back');
    $receiver->release;
    is(code($held->result), 200, 'delivered');
    is(code(hook_again($edge, $body)), 200, 'a repeat');
    is(passed($receiver, $body), 1, 'not handed on again');
};

# Its claim is answered when nobody is there any more to deliver the event.
subtest 'the sender leaves while Redis is asked' => sub {
    my $redis = redis_server;
    my ($edge, $other) = map { edge_of($redis, 'timeout=20s') } 1, 2;
    once($_, 'connected') for $edge, $other;
    my @bodies = map { event('message.sent') } 1 .. 4;
    $redis->kill('STOP');
    for my $n (0 .. 3) {
        my $before = unread($redis);
        raw($edge->port, [head($bodies[$n]), $bodies[$n], sub { wait_for(sub { unread($redis) > $before }, 'the claim to be on its way') }],
            abort => $n % 2 ? 'close' : 'reset');
    }
    $redis->kill('CONT');
    is(code(hook_again($other, $_)), 200, 'a repeat, at another edge') for @bodies;
    is(scalar(grep { passed($receiver, $_) == 1 } @bodies), 4, 'each is delivered, once');
    is(code(hook_again($edge, $_)), 200, 'and known') for @bodies;
};

subtest 'a full zone' => sub {
    my $edge   = edge(name => 'small', error_log => 'notice', http => 'chatmaid_zone chatmaid:64k; proxy_read_timeout 10m;');
    my $count  = 300;
    my $events = sub { my @all = map { event('message.sent') } 1 .. $count; (\@all, map { hook_later_at($edge, $_) } @all) };

    my ($bodies, @asked) = $events->();
    is(scalar(grep { $_->result->{status} == 200 } @asked), $count, 'every event is handed on');
    is(scalar($edge->logged(qr/\[error\].*zone is full: finished/)), 1, 'it is full, and says so once');
    once($edge, 'the latest are known');

    # with more of them under way than it has room for
    $receiver->fault({hold => 'before', times => $count});
    ($bodies, @asked) = $events->();
    $receiver->wait_held($count);
    is(code(hook_at($edge, $bodies->[0])), '503 delivery_in_flight', 'the first is under way');
    $receiver->release;
    is(scalar(grep { $_->result->{status} == 200 } @asked), $count, 'all are handed on');
    ok(scalar($edge->logged(qr/\[warn\].*without a mark/)), 'those that cannot be marked with a warning');
    once($edge, 'and then it has room again');
};

done;
