#!/usr/bin/perl

# The storm on a Redis Cluster of three masters: slots move from one to another
# while their records are in use, then a master dies and its replica takes its
# place.  The replica has all that was confirmed, so there is one message for
# each operation; each client that asks again gets its answer; and every gateway
# is well again soon after there is a new master.

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Storm;
use Chatmaid::Test::World qw(at_most);
use List::Util qw(max shuffle sum);
use Time::HiRes qw(time);

my $copies     = 5;
my $operations = volume(400, 24);
my $enough     = volume(50, 5);
my $moves      = volume(200, 12);

my $api      = sandbox;
my @masters  = redis_cluster;
my $replica  = redis_cluster_replica($masters[0]);
my $urls     = join ',', map { '127.0.0.1:' . $_->port } @masters;
my @gateways = map { nginx(name => "cluster$_", workers => 2, error_log => 'notice', gateway => 'chatmaid_sender +15550100001;',
    upstream => 'keepalive 256;', http => "chatmaid_redis redis+cluster://$urls timeout=500ms fallback=reject; chatmaid_retries 0;",
    server => $STATUS) } 1, 2;

my @clients = shuffle storm_clients('cluster', $operations, $copies);

sub lines ($nginx, $what) { scalar(() = $nginx->logged(qr/\[error\].* chatmaid redis .* is $what/)) }

sub open_claims ($since) { sum map { $_->count_records('*', 'in_flight', 1000 * $since) } @masters }

sub asked (@nodes) { sum map { $_->cli('INFO', 'commandstats') =~ /cmdstat_asking:calls=(\d+)/ ? $1 : 0 } @nodes }

# The slot of an operation, under way if there is one, moves to another master.
# Each call is a step, so that clients ask between them; one more asks for that
# operation when its record has gone, and the move ends after it was sent on.
my @repeats;
{
    my @steps;

    sub step_of_a_move () {
        if (!@steps) {
            my ($client) = ((shuffle grep { $_->{began} && !$_->{ended} } @clients), shuffle @clients);
            my $key    = tagged_record_of($client->{operation});
            my $slot   = $masters[0]->cli(CLUSTER => 'KEYSLOT', $key);
            my ($from) = grep { $_->cli(EXISTS => $key) !~ /^MOVED/ } @masters;
            my ($to)   = shuffle grep { $_ != $from } @masters;
            my $before = asked($to);
            @steps = (
                sub {
                    $to->cli(CLUSTER => 'SETSLOT', $slot, 'IMPORTING', $from->node_id);
                    $from->cli(CLUSTER => 'SETSLOT', $slot, 'MIGRATING', $to->node_id);
                    return 1;
                },
                sub {
                    redis_slot_keys($slot, $from, $to);
                    push @repeats, $gateways[rand @gateways]->later(POST => '/send', {to => '+15550100099', text => $client->{text}},
                        'Idempotency-Key' => $client->{operation});
                    return 1;
                },
                sub {
                    return 0 if asked($to) == $before;
                    redis_slot_keys($slot, $from, $to);
                    $_->cli(CLUSTER => 'SETSLOT', $slot, 'NODE', $to->node_id) for $to, $from, grep { $_ != $to && $_ != $from } @masters;
                    return 1;
                });
        }
        shift @steps if $steps[0]->();
        return !@steps;
    }
}

# The replica gets all that the master has confirmed before the master dies.
sub kill_in_step () {
    $masters[0]->cli('CLIENT', 'PAUSE', 60000, 'WRITE');
    my $offset = sub ($redis, $field) { $redis->cli('INFO', 'replication') =~ /^$field:(\d+)/m ? $1 : die "no $field" };
    wait_for(sub { $offset->($masters[0], 'master_repl_offset') == $offset->($replica, 'slave_repl_offset') }, 'the replica to have it all');
    $masters[0]->kill('KILL');
}

my ($moved, $asked, $killed, $found, $back) = (0);
my $fault = {
    enough => $enough,
    open   => \&open_claims,
    break  => sub ($fault) { },
    step   => sub ($fault, $passed) {
        if ($moved < $moves) {
            $moved += step_of_a_move;
            return 0;
        }
        $asked  //= asked(@masters);
        $killed //= do { kill_in_step; time };
        $found  //= time if $replica->cli('INFO', 'replication') =~ /^role:master/m && $replica->cli(CLUSTER => 'INFO') =~ /cluster_state:ok/;
        return 0 if !$found || grep { !redis_is_back($_) } @gateways;
        $back //= time;
        return 1;
    },
};

for my $nginx (@gateways) {
    wait_for(sub { $nginx->post('/send', message)->{status} == 201 }, 'calm') for 1 .. 10;
}
storm(\@clients, \@gateways, volume(150, 20), $fault);

my %messages = map { $_->{id} => $_ } $api->messages;
my $by       = by_operation(@clients);
cmp_ok($fault->{claims}, '>=', $enough, 'claims were open');
is($moved, $moves, 'slots have moved');
cmp_ok($asked, '>=', $moves, 'ASK was followed');
is(scalar(grep { $_->result->{status} !~ /^(?:201|409)$/ } @repeats), 0, 'who asked for a record that had just gone is answered');
is(scalar(grep { $_->{answers}[-1]{status} == 201 } @clients), @clients, 'every client ends with 201');
is(scalar(grep { my $m = $messages{$_->{answers}[-1]{json}{id} // ''}; !$m || $m->{content} ne $_->{text} } @clients), 0, 'and the id of its message');
is(scalar(grep { /^Message cluster / } map { $_->{content} } values %messages), $operations, 'as many messages as operations');
is(scalar(grep { my %ids = map { $_->{answers}[-1]{json}{id} => 1 } @$_; keys %ids != 1 } values %$by), 0, 'one id for each');
is(scalar(grep { $_->{status} == 0 } map { @{$_->{answers}} } @clients), 0, 'no request without an answer');
is(join(' ', map { lines($_, 'away') . lines($_, 'back') } @gateways), '11 11', 'one line each');
cmp_ok($back - $found, '<', at_most(5), 'the last not long after there was a new master');
is($_->get('/health')->{json}{redis}, 'up', 'health') for @gateways;
note(sprintf '%d operations, %d requests, %d claims open, %d slots moved, %d times ASK, the slowest took %.1f s; the new master was there after %.1f s, all were back %.1f s later',
    $operations, (map { scalar map { @{$_->{answers}} } @clients } 1), $fault->{claims}, $moved, $asked, max(map { $_->{longest} } @clients),
    $found - $killed, $back - $found);

done;
