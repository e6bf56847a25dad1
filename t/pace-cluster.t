# One pace for two gateways on a Redis Cluster, where the clock and the records are at
# different nodes: the place may be there before the record is.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Time::HiRes qw(time);

my $api   = sandbox;
my @nodes = redis_cluster;
my $hosts = join ',', map { '127.0.0.1:' . $_->port } @nodes;

my @gateways = map { nginx(name => $_, workers => 2,
    http    => "chatmaid_redis redis+cluster://$hosts timeout=5s; chatmaid_sender +15550100001; chatmaid_rate 4r/s burst=2;",
    server  => "location ^~ /free/ { chatmaid_gateway /.chatmaid/; chatmaid_account free; chatmaid_rate 1r/m burst=2; chatmaid_timeout 20s; }") } qw(one two);

my ($start, $from) = (time, $api->count);
my @all = map { my $gateway = $gateways[$_ % 2]; $gateway->later(POST => '/send', message) } 1 .. 16;
is(told($_->result), 201, 'a send') for @all;
my @times = sort { $a <=> $b } map { $_->{time} - $start } $api->requests(from => $from + 1);
is(scalar @times, 16, 'each called once');
is(join(' ', grep { $times[$_] < ($_ + 1 - 2) * 0.25 - 0.005 } 0 .. $#times), '', 'at most two at once, then one each 0.25s') or diag "@times";
is(scalar(grep { !/:0\z/ } map { my $node = $_; map { "$_:" . ($node->cli('EXISTS', $_) + 0) } grep { /:pace:/ } split /\n/, $node->cli('KEYS', '*') } @nodes),
    1, 'one clock in all');

subtest 'replays take no place, whoever answers first' => sub {
    my ($k, $m) = (key, message);
    my $clocks = sub { map { my $node = $_; map { [$node, $_] } grep { /:pace:/ } split /\n/, $node->cli('KEYS', '*') } @nodes };
    my %before = map { $_->[1] => 1 } $clocks->();
    is(told($gateways[0]->post($gateways[0]->url('/free/send'), $m, 'Idempotency-Key' => $k)), 201, 'a send');
    my ($clock) = grep { !$before{$_->[1]} } $clocks->();
    my $was = $clock->[0]->cli('GET', $clock->[1]);
    for my $gateway (map { @gateways } 1 .. 10) {
        is(told($gateway->post($gateway->url('/free/send'), $m, 'Idempotency-Key' => $k)), 201, 'a replay');
        given_back(@$clock, $was);
    }
    is(told($gateways[1]->post($gateways[1]->url('/free/send'), message)), 201, 'the second place is still there');
    is(told($gateways[0]->post($gateways[0]->url('/free/send'), message)), '429 rate_limited not_sent', 'a third is not');
};

done;
