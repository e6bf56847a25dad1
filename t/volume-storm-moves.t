#!/usr/bin/perl

# The storm, while Redis moves: Sentinels make another server the master, and a
# name gets another address.  The new master has all that the old one has
# confirmed, so there is one message for each operation; each client that asks
# again gets its answer; and every gateway is on the new master soon after it can
# be found.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Dns;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Storm;
use Chatmaid::Test::World qw(at_most);
use List::Util qw(max shuffle);
use Time::HiRes qw(time);

my $copies = 5;
my $api    = sandbox;

sub gateways ($name, $url, $http = '') {
    return map { nginx(name => $name . $_, workers => 2, error_log => 'notice', gateway => 'chatmaid_sender +15550100001;',
        server => $STATUS, upstream => 'keepalive 256;', http => "chatmaid_redis $url timeout=5s fallback=reject; chatmaid_retries 0; $http") } 1, 2;
}

sub lines ($nginx, $what) { scalar(() = $nginx->logged(qr/\[error\].* chatmaid redis .* is $what/)) }

sub open_claims ($redis, $since) {
    return $redis->count_records('*:op:*', 'in_flight', 1000 * $since);
}

# The replica gets all that the master has confirmed before the master dies.
sub killed_in_step ($master, $replica) {
    $master->cli('CLIENT', 'PAUSE', 60000, 'WRITE');
    my $offset = sub ($redis, $field) { $redis->cli('INFO', 'replication') =~ /^$field:(\d+)/m ? $1 : die "no $field" };
    wait_for(sub { $offset->($master, 'master_repl_offset') == $offset->($replica, 'slave_repl_offset') }, 'the replica to have it all');
    $master->kill('KILL');
}

# "moved" says whether the new master can be found.
sub moves ($name, $gateways, $master, $replica, $moved) {
    my $operations = volume(400, 24);
    my $enough     = volume(50, 5);
    my ($found, $back);
    my $fault = {
        enough => $enough,
        open   => sub ($since) { open_claims($master, $since) },
        break  => sub ($fault) { killed_in_step($master, $replica) },
        step   => sub ($fault, $passed) {
            $found //= time if $moved->();
            return 0 if !$found || grep { !redis_is_back($_) } @$gateways;
            $back //= time;
            return 1;
        },
    };
    my @clients = shuffle storm_clients($name, $operations, $copies);
    wait_for(sub { $_->post('/send', message)->{status} == 201 }, 'calm') for @$gateways;
    storm(\@clients, $gateways, volume(150, 20), $fault);

    my %messages = map { $_->{id} => $_ } $api->messages;
    my $by       = by_operation(@clients);
    cmp_ok($fault->{claims}, '>=', $enough, 'claims were open');
    is(scalar(grep { $_->{answers}[-1]{status} == 201 } @clients), @clients, 'every client ends with 201');
    is(scalar(grep { my $m = $messages{$_->{answers}[-1]{json}{id} // ''}; !$m || $m->{content} ne $_->{text} } @clients), 0, 'and the id of its message');
    is(scalar(grep { /^Message \Q$name\E / } map { $_->{content} } values %messages), $operations, 'as many messages as operations');
    is(scalar(grep { my %ids = map { $_->{answers}[-1]{json}{id} => 1 } @$_; keys %ids != 1 } values %$by), 0, 'one id for each');
    is(join(' ', map { lines($_, 'away') . lines($_, 'back') } @$gateways), '11 11', 'one line each');
    cmp_ok($back - $found, '<', at_most(5), 'the last not long after the new master could be found');
    is(scalar(grep { $_->{status} == 0 } map { @{$_->{answers}} } @clients), 0, 'no request without an answer');
    note(sprintf '%d operations, %d requests, %d claims open, the slowest took %.1f s; all were back %.1f s after the new master could be found',
        $operations, (map { scalar map { @{$_->{answers}} } @clients } 1), $fault->{claims}, max(map { $_->{longest} } @clients), $back - $found);
}

subtest 'a failover by Sentinel' => sub {
    my ($master, $replica) = map { redis_server } 1, 2;
    redis_replica_of($replica, $master);
    my $sentinel = redis_sentinel($master);
    wait_for(sub { $sentinel->cli(SENTINEL => 'replicas', 'mymaster') =~ /^master-link-status\nok$/m }, 'the Sentinel to know the replica');
    my @gateways = gateways('sentinel', 'redis+sentinel://127.0.0.1:' . $sentinel->port . '/mymaster');

    moves('sentinel', \@gateways, $master, $replica,
        sub { $sentinel->cli(SENTINEL => 'get-master-addr-by-name', 'mymaster') =~ /^\Q${\$replica->port}\E$/m });
    $_->quit for @gateways;
};

subtest 'a name whose address changes' => sub {
    my $port    = port('shared');
    my $master  = redis_server(host => '127.0.0.2', port => $port);
    my $replica = redis_server(host => '127.0.0.3', port => $port);
    redis_replica_of($replica, $master);
    my $dns      = dns_server(localhost => ['127.0.0.2']);
    my @gateways = gateways('name', "redis://localhost:$port", 'resolver ' . $dns->address . ' valid=1s;');

    moves('name', \@gateways, $master, $replica, sub {
        return 0 if grep { !lines($_, 'away') } @gateways;
        state $moved = do { redis_replica_of($replica); $dns->say(localhost => ['127.0.0.3']); 1 };
    });
    $_->quit for @gateways;
};

done;
