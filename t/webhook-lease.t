# Deliveries that take long, and edges that die under way.  nginx's clocks are put
# forward, and the leases in Redis back, so that half a minute passes in no time.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $clock    = clock;
my $redis    = redis_server;
my @common   = (clock => $clock, webhook => 'proxy_read_timeout 1h; proxy_send_timeout 1h; proxy_ignore_client_abort on;');
my $shared   = 'chatmaid_redis ' . $redis->url . ' timeout=30s;';

my $zone = edge(name => 'zone', workers => 2, @common);
my $one  = edge(name => 'one', http => $shared, @common);
my $two  = edge(name => 'two', http => $shared, @common);

sub at ($edge, $body)    { hook_at($edge, $body, signed($body, clock => $clock)) }
sub again ($edge, $body) { hook_again($edge, $body, signed($body, clock => $clock)) }
sub later_at ($edge, $body) { hook_later_at($edge, $body, signed($body, clock => $clock)) }
sub fresh () { $receiver->reset; $receiver->clear_faults }

sub held ($edge, $body = event('message.sent')) {
    $receiver->fault({hold => 'before'});
    my $pending = later_at($edge, $body);
    $receiver->wait_held;
    return ($body, $pending);
}

# Time passes in steps, so that a lease that is renewed stays one: after each the
# workers wake up and do what is due.  Redis itself (its allocator) does not run
# with another clock, but its leases are fields of Unix milliseconds.

my $SHORTEN = q{
    for _, key in ipairs(redis.call('KEYS', '*')) do
        local record, lease, maybe = redis.call('GET', key):match('^(2 in_flight %x+ %d+ %x+) (%d+) ([01])$')
        if lease then
            redis.call('SET', key, string.format('%s %.0f %s', record, lease - 1000 * ARGV[1], maybe), 'KEEPTTL')
        end
    end
    return 'OK'
};

sub elapse ($seconds, @edges) {
    for (1 .. $seconds / 5) {
        $clock->forward(5);
        for my $edge (@edges) {
            $edge->get($edge->url('/plain')) for 1 .. 2 * $edge->workers;
        }
        my $said = $redis->cli('EVAL', $SHORTEN, 0, 5);
        die "redis: $said" unless $said eq 'OK';
    }
}


subtest 'a receiver that takes two minutes' => sub {
    for my $edge ($zone, $one) {
        fresh;
        my ($body, $pending) = held($edge);
        for my $part (1 .. 4) {
            elapse(30, $zone, $one, $two);
            is(code(at($_, $body)), '503 delivery_in_flight', "still under way after $part half minutes")
                for $edge == $one ? ($one, $two) : $zone;
        }
        $receiver->release;
        is(code($pending->result), 200, 'delivered');
        is(code(again($edge, $body)), 200, 'a repeat');
        is($receiver->count, 1, 'handed on once');
    }
};

subtest 'a worker is killed' => sub {
    for my $edge ($zone, $one) {
        fresh;
        my ($body, $pending) = held($edge);
        $edge->kill_workers;
        $pending->result;
        is(code(at($_, $body)), '503 delivery_in_flight', 'its lease runs on') for $edge == $one ? ($one, $two) : $zone;
        elapse(35, $zone, $one, $two);
        is(code(at($edge == $one ? $two : $zone, $body)), 200, 'then it is handed on again');
        is(code(again($edge, $body)), 200, 'and known');
        is($receiver->count, 2, 'twice in all');
        $receiver->release;
    }
};

subtest 'an edge is killed' => sub {
    fresh;
    my ($body, $pending) = held($one);
    $one->crash;
    $pending->result;
    is(code(at($two, $body)), '503 delivery_in_flight', 'its lease runs on in Redis');
    elapse(35, $two);
    is(code(at($two, $body)), 200, 'then another hands it on');
    is(code(again($one->start, $body)), 200, 'and it is known to the first, started again');
    is($receiver->count, 2, 'twice in all');
    $receiver->release;

    fresh;
    ($body, $pending) = held($zone);
    $zone->crash;
    $pending->result;
    is(code(at($zone->start, $body)), 200, 'a zone that is gone knows nothing: handed on again');
    $receiver->release;
};

# The first may still succeed, when another already has it.
subtest 'a worker that stood still' => sub {
    fresh;
    my ($body, $pending) = held($one);
    my ($worker) = $one->workers;
    kill STOP => $worker;
    elapse(40, $two);
    is(code(at($two, $body)), 200, 'another takes over');
    $receiver->fault({status => 500});
    my $next = event('message.sent');
    is(code(at($two, $next)), 500, 'one that fails there');
    $receiver->release;
    kill CONT => $worker;
    is(code($pending->result), 200, 'the first succeeds as well');
    is(scalar(my @lost = $one->logged(qr/\[warn\].*lost the lease of a delivery under way/)), 1, 'and the log says that it lost its lease');
    is(code(again($_, $body)), 200, 'known to both') for $one, $two;
    is(passed($receiver, $body), 2, 'handed on twice');
};

subtest 'it is forgotten in time' => sub {
    fresh;
    my $body = event('message.sent');
    is(code(at($zone, $body)), 200, 'delivered');
    for my $case ([86400 - 600, 1, 'known'], [1200, 2, 'an event again']) {
        my ($seconds, $count, $what) = @$case;
        $clock->forward($seconds);
        $zone->get($zone->url('/plain')) for 1 .. 4;
        is(code(again($zone, $body)), 200, 'a repeat, a day later, more or less');
        is($receiver->count, $count, "is $what");
    }
};

done;
