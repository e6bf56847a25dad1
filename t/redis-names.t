#!/usr/bin/perl

# A Redis by its name, with a resolver: the name is resolved again before each
# connect, and all its addresses are tried.  At start "localhost" is 127.0.0.1, by
# the system; later it is what a DNS server of ours says.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Dns;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api = sandbox;

# Servers on one port of several addresses.
my $port = port('shared');
sub at ($host, %option) { redis_server(host => $host, port => $port, %option) }

sub gateway ($dns, %more) {
    state $serial = 0;
    my $scheme = delete $more{scheme} // 'redis';
    my $params = delete $more{params} // 'fallback=reject';
    return nginx(name => 'gateway' . ++$serial, workers => 2, error_log => 'warn', gateway => 'chatmaid_sender +15550100001;',
        http => "chatmaid_redis $scheme://localhost:$port timeout=1s $params; chatmaid_retries 0; "
            . ($dns ? 'resolver ' . $dns->address . ' valid=1s;' : ''), %more);
}

sub sent ($nginx) { told($nginx->post('/send', message, 'Idempotency-Key' => key)) }
sub away ($nginx) { scalar(() = $nginx->logged(qr/ is away: /)) }
sub back ($nginx) { scalar(() = $nginx->logged(qr/ is back/)) }
sub works ($nginx, $name = 'a send') { ok(wait_for(sub { sent($nginx) eq '201' }, $name), $name) }
sub keys_of ($redis) { $redis->cli('DBSIZE') }


subtest 'an address that changes' => sub {
    my $dns   = dns_server(localhost => ['127.0.0.2']);
    my $old   = at('127.0.0.2');
    my $nginx = gateway($dns);
    works($nginx);
    is(keys_of($old), 1, 'at the address that DNS says, not at the one of the start');

    my $new = at('127.0.0.3');
    $old->kill('KILL');
    wait_for(sub { away($nginx) }, 'the line');
    $dns->say(localhost => ['127.0.0.3']);
    my $from = time;
    wait_for(sub { back($nginx) }, 'the line');
    cmp_ok(time - $from, '<', at_most(5), 'back soon, without a reload');
    works($nginx);
    cmp_ok(keys_of($new), '>=', 1, 'at the new one');
    is(away($nginx) . back($nginx), 11, 'one line each');
    like(($nginx->logged(qr/ is back/))[0], qr/"127\.0\.0\.3:$port" is back/, 'the log says where');
    $new->stop;
    $nginx->quit;
};

subtest 'several addresses' => sub {
    my $replica = at('127.0.0.2');
    $replica->cli('REPLICAOF', '127.0.0.1', port('nobody'));
    my $six   = at('::1');
    my $dns   = dns_server(localhost => ['127.0.0.4', '127.0.0.2', '::1']);
    my $nginx = gateway($dns);
    works($nginx);
    cmp_ok(keys_of($six), '>=', 1, 'the master is found, on IPv6');
    is(keys_of($replica), 0, 'the replica is left alone');
    is($nginx->error_log, '', 'nothing in the log');

    # Their roles change.
    $six->cli('REPLICAOF', '127.0.0.1', port('nobody'));
    $replica->cli('REPLICAOF', 'NO', 'ONE');
    wait_for(sub { sent($nginx) eq '201' }, 'a send');
    cmp_ok(keys_of($replica), '>=', 1, 'the other one now');

    my $asked = $dns->asked;
    wait_for(sub { $replica->cli(qw(CLIENT KILL TYPE normal)); $dns->asked > $asked }, 'a question');
    ok(1, 'asked again for a new connection, once the answer is too old');
    works($nginx);
    $_->stop for $replica, $six;
    $nginx->quit;
};

subtest 'DNS that fails' => sub {
    for my $how (qw(silence servfail nxdomain)) {
        my $redis = at('127.0.0.2');
        my $dns   = dns_server(localhost => ['127.0.0.2']);
        my $nginx = gateway($dns);
        works($nginx);
        $dns->say(localhost => $how);
        pause(2.1);                         # the resolver knows the name for a second
        $redis->cli(qw(CLIENT KILL TYPE normal)) for 1 .. 2;
        wait_for(sub { $nginx->logged(qr/host "localhost" can't be resolved/) }, 'the line');
        works($nginx, "$how: the last known address");
        cmp_ok(scalar(() = $nginx->logged(qr/can't be resolved \(\d+: .*\), its last known addresses are tried/)), '<=', 2, 'a line a worker');
        $dns->say(localhost => ['127.0.0.3']);
        my $other = at('127.0.0.3');
        $redis->kill('KILL');
        wait_for(sub { sent($nginx) eq '201' && keys_of($other) }, 'the new address');
        is(scalar(grep { /\[(?:alert|crit)\]/ } $nginx->log_lines), 0, 'and once it answers, what it says');
        $other->stop;
        $nginx->quit;
    }
};

# Nobody waits for DNS.
subtest 'DNS that does not answer at the start' => sub {
    my $dns   = dns_server(localhost => 'silence');
    my $redis = at('127.0.0.1');
    my $nginx = gateway($dns, params => 'fallback=zone');
    my $from  = time;
    is(told($nginx->post('/send', message)), 201, 'a send');
    works($nginx, 'at the address of the start');
    wait_for(sub { keys_of($redis) }, 'a record there');
    ok(1, 'in Redis');
    $redis->stop;
    $nginx->quit;
};

subtest 'TLS to a name' => sub {
    my $dns   = dns_server(localhost => ['127.0.0.2']);
    my $redis = at('127.0.0.2', tls => 'good');
    my $nginx = gateway($dns, scheme => 'rediss', params => 'ca_file=%CA% fallback=reject');
    works($nginx, 'the name is in the certificate, the address need not be');
    $redis->stop;
    $nginx->quit;
};

subtest 'without a resolver in http' => sub {
    my $dns   = dns_server(localhost => ['127.0.0.2']);
    my $redis = at('127.0.0.1');
    my $nginx = gateway(undef, server => 'resolver ' . $dns->address . ';');
    works($nginx);
    cmp_ok(keys_of($redis), '>=', 1, 'the address of the start');
    is($dns->asked, 0, 'DNS is not asked');
    $nginx->quit;

    $nginx = nginx(name => 'literal', error_log => 'warn', gateway => 'chatmaid_sender +15550100001;',
        http => "chatmaid_redis redis://127.0.0.1:$port timeout=1s fallback=reject; resolver ${\$dns->address};");
    works($nginx, 'an address');
    is($dns->asked, 0, 'is not asked for either');
};

done;
