#!/usr/bin/perl

# Only a master is used: a replica is not connected to, and a server that becomes
# one is left.  No record is written to it, and none is read there.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api = sandbox;

sub gateway ($redis, %more) {
    state $serial = 0;
    return nginx(name => 'gateway' . ++$serial, workers => 2, error_log => 'error',
        http    => 'chatmaid_redis ' . $redis->url . ' timeout=2s fallback=reject; chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001;', %more);
}

sub send_at ($nginx, $k, $m) { $nginx->post('/send', $m, 'Idempotency-Key' => $k) }
sub away ($nginx) { scalar(() = $nginx->logged(qr/ is away: /)) }
sub back ($nginx) { scalar(() = $nginx->logged(qr/ is back/)) }

# What a client asked it, and not its master.
sub calls ($redis) {
    my ($count) = $redis->cli(qw(INFO commandstats)) =~ /^cmdstat_evalsha:calls=(\d+)/m;
    return $count // 0;
}


subtest 'a replica from the beginning' => sub {
    my ($master, $replica) = map { redis_server } 1, 2;
    redis_replica_of($replica, $master);
    my $nginx = gateway($replica);
    wait_for(sub { away($nginx) }, 'the line');
    is(told(send_at($nginx, key, message)), '503 store_unavailable unknown', 'a send');
    like(($nginx->logged(qr/ is away/))[0], qr/is away: its ROLE is not that of a master: chatmaid_redis needs the master; /, 'the log says why');
    is(calls($replica), 0, 'no command got there');

    redis_replica_of($replica);
    my $from = time;
    wait_for(sub { back($nginx) }, 'the line');
    cmp_ok(time - $from, '<', at_most(5), 'back soon, without a request');
    is(told(send_at($nginx, key, message)), 201, 'a send');
    is(away($nginx) . back($nginx), 11, 'one line each');
};

subtest 'a master that becomes a replica' => sub {
    my ($one, $two) = map { redis_server } 1, 2;
    my @gateways = map { gateway($one) } 1, 2;
    redis_replica_of($two, $one);

    my ($k, $m) = (key, message);
    is(told(send_at($gateways[0], $k, $m)), 201, 'a send');
    wait_for(sub { $two->state_of(record_of($k)) eq 'done' }, 'its record at the replica');

    # The roles change, and nobody closes the connections.
    redis_replica_of($two);
    redis_replica_of($one, $two);
    is($one->state_of(record_of($k)), 'done', 'the record is still there');

    for my $nginx (@gateways) {
        is(told($nginx->get("/operations/$k")), '503 store_unavailable', 'but is not looked at');
        is(told(send_at($nginx, $k, $m)), '503 store_unavailable unknown', 'nor read');
        is(told(send_at($nginx, key, message)), '503 store_unavailable unknown', 'and none is written');
        wait_for(sub { away($nginx) }, 'the line');
        like(($nginx->logged(qr/ is away/))[0], qr/READONLY .*: it is a replica, chatmaid_redis needs the master|ROLE is not/, 'the log says why');
    }

    redis_replica_of($one);
    my $from = time;
    wait_for(sub { back($gateways[0]) && back($gateways[1]) }, 'the lines');
    cmp_ok(time - $from, '<', at_most(5), 'back soon');
    for my $nginx (@gateways) {
        my $again = send_at($nginx, $k, $m);
        is(told($again) . ' ' . replayed($again), '201 replayed', 'and it is read again');
        is(away($nginx) . back($nginx), 11, 'one line each');
    }
    is(made($m), 1, 'one message');
};

# With an answer of its own for whoever it is that says what it is.

subtest 'what is no role' => sub {
    for my $reply ("+master\r\n", "*0\r\n", "*1\r\n:1\r\n", "\$6\r\nmaster\r\n") {
        my $fake = redis_fake(sub (@args) { }, greeting => sub ($fake, $stream, @words) {
            $words[0] eq 'ROLE' && $stream->write($reply) });
        my $nginx = gateway($fake);
        wait_for(sub { $nginx->logged(qr/is away: what it sends is no reply/) }, 'the line');
        is(scalar(@{$fake->seen}), 0, $reply =~ s/\r\n/ /gr);
        $nginx->quit;
        $fake->stop;
    }
    for my $role (qw(slave sentinel masters MASTER)) {
        my $fake = redis_fake(sub (@args) { }, greeting => sub ($fake, $stream, @words) {
            $words[0] eq 'ROLE' && $stream->write("*1\r\n\$" . length($role) . "\r\n$role\r\n") });
        my $nginx = gateway($fake);
        wait_for(sub { $nginx->logged(qr/is away: its ROLE is not that of a master/) }, 'the line');
        is(scalar(@{$fake->seen}), 0, $role);
        $nginx->quit;
        $fake->stop;
    }
};

done;
