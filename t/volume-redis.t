#!/usr/bin/perl

# Many commands, with and without faults: descriptors and memory stay flat.

use lib 't/lib';
use Chatmaid::Test::Redis;

my $redis = redis_server;
my $tls   = redis_server(tls => 'good');
my $many  = volume(100_000, 5000);

sub round ($command, $window = 32) {
    my ($got) = ask({repeat => $many, window => $window, command => $command});
    return $got->{kinds};
}

for my $case ([$redis->url, 'TCP'], ["unix:${\$redis->socket}", 'a unix socket'],
    [$tls->url =~ s/redis:/rediss:/r . ' ca_file=%CA%', 'TLS'])
{
    my ($directive, $name) = @$case;
    my $nginx = probe("$directive timeout=30s", error_log => 'notice');
    wait_for(\&up, 'a connection');
    my ($worker) = $nginx->workers;

    # what has been used once is kept
    for (1 .. 2) {
        round(['SET', 'k%', 'v' x 200]);
        round(['GET', 'k%'], 256);
        ask(['SET', 'big', 'x' x 4_000_000], ['GET', 'big']);
    }
    my ($rss, $fds) = ($nginx->rss($worker), $nginx->fds($worker));

    for (1 .. 3) {
        is(round(['SET', 'k%', 'v' x 200])->{ok}, $many, "$name: $many commands");
        is(round(['GET', 'k%'], 256)->{ok}, $many, 'and with 256 at once');
        my @big = ask(['SET', 'big', 'x' x 4_000_000], ['GET', 'big']);
        is($big[1]{error}, 'ok', 'and large ones');
    }
    is($nginx->fds($worker), $fds, 'no descriptor more');
    cmp_ok($nginx->rss($worker) - $rss, '<', $ENV{CHATMAID_PATIENCE} ? 200_000 : 6000, 'nor memory');
    is(scalar($nginx->logged(qr/chatmaid/)), 0, 'nothing in the log');
    $nginx->quit;
}


# --- The same while connections are cut ---

my $nginx = probe($redis->url, error_log => 'notice', workers => 2);
wait_for(\&up, 'a connection');
my @workers = $nginx->workers;

sub descriptors ($worker) { $nginx->descriptors($worker, callers => $nginx->port, redis => $redis->port) }

my %before = map { $_ => descriptors($_) } @workers;

my @later = map { $nginx->later(POST => $nginx->url('/probe'),
    [map { {repeat => $many, window => 16, command => ['INCR', "n%"]} } 1 .. 4]) } 1 .. 4;

# More have been executed than are ever under way at once: so some have ended well.
wait_for(sub { $redis->cli('INFO', 'commandstats') =~ /cmdstat_incr:calls=(\d+)/ && $1 > 16 * 16 }, 'the first');

my $cuts = 0;
wait_for(sub {
    $redis->cli('CLIENT', 'KILL', 'TYPE', 'normal');
    if ($cuts++ % 10 == 3) {
        $redis->kill('STOP');
        select undef, undef, undef, 0.4;
        $redis->kill('CONT');
    }
    !grep { !$_->done } @later;
}, 'all to end');

my %kinds;
for my $got (map { @{$_->result->{json}} } @later) {
    $kinds{$_} += $got->{kinds}{$_} for keys %{$got->{kinds}};
}
my $all = 0;
$all += $_ for values %kinds;
is($all, 16 * $many, 'each command has ended once') or diag explain \%kinds;
cmp_ok($kinds{ok}, '>', 0, 'some well');
is($kinds{protocol} + $kinds{error} + $kinds{refused}, 0, 'none by a reply that was not its own');
note explain {%kinds, cuts => $cuts};
for my $worker (@workers) {
    my $now;
    wait_for(sub { $now = descriptors($worker); $now->{callers} == 0 && $now->{redis} == 1 }, 'calm');
    is($now->{other}, $before{$worker}{other}, 'no other descriptor is left');
}

done;
