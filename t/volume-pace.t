# Many sends of three callers at once, through two gateways on one Redis, to a
# Chatmaid that counts: none is refused, the callers with few are done early, each
# one's order is kept.  A minute of Chatmaid's lasts six seconds here.  In any of
# them the pace has at most 5 + 40 places, and each gateway by itself as many, of
# 100 that Chatmaid takes.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Metrics;
use Chatmaid::Test::Redis;
use List::Util qw(max sum0);
use Mojo::JSON qw(decode_json);
use Time::HiRes qw(time);

my ($minute, $limit, $burst, $interval) = (6, 100, 5, 0.15);

my $api   = sandbox(rate => {requests => $limit, seconds => $minute});
my $redis = redis_server(args => [qw(--appendonly yes --appendfsync always)]);     # it keeps what it has
my $clock = clock;

# The time of day at the second gateway is five minutes ahead.
my @gateways = map {
    my ($name, @more) = @$_;
    nginx(name => $name, workers => 2, error_log => 'notice', upstream => 'keepalive 64;', @more,
        http     => 'chatmaid_timeout 20m; chatmaid_retries 0; chatmaid_redis ' . $redis->url . ' timeout=1s;',
        internal => 'proxy_connect_timeout 20s; proxy_read_timeout 20s;',
        gateway  => 'chatmaid_sender +15550100001; chatmaid_rate 400r/m burst=5 caller=$http_x_caller;',
        server   => "$STATUS listen 127.0.0.1:%PORT:both% reuseport;")
} ['one'], ['two', clock => $clock];
$clock->forward(300);

# As many calls at once as there may be in a minute of Chatmaid's, wherever it
# begins; and in minutes that begin by the clock.
sub most (@times) {
    my ($sliding, %fixed) = (0);
    for my $from (0 .. $#times) {
        my $to = $from;
        $to++ while $to < $#times && $times[$to + 1] - $times[$from] < $minute;
        $sliding = max($sliding, $to - $from + 1);
        $fixed{int($times[$from] / $minute)}++;
    }
    return ($sliding, max(values %fixed));
}

sub waiting () { sum0 map { metric('chatmaid_pace_waiting', $_) } @gateways }

# Sends of each caller in waves: the next comes when all of this one have been
# sent, or wait in a queue.  Then "event" happens, at half of all.
sub run ($name, $breaks, $event = sub { }) {
    my %count = (a => volume(500, 50), b => volume(90, 9), c => volume(10, 2));
    my $waves = 5;
    my (%sent, @all);
    my $from = $api->count;
    my $start = time;

    for my $wave (1 .. $waves) {
        for my $caller (sort keys %count) {
            my @range = map { int($count{$caller} * $_ / $waves) } $wave - 1, $wave;
            for my $n ($range[0] + 1 .. $range[1]) {
                my $gateway = $n % 2;
                my $text    = "$name $caller $n";
                $sent{$text} = {caller => $caller, gateway => $gateway, wave => $wave};
                push @all, $gateways[$gateway]->later(POST => 'http://127.0.0.1:' . $gateways[$gateway]->port('both') . '/chatmaid/send',
                    {to => '+15550100099', text => $text}, 'X-Caller' => $caller);
            }
        }
        wait_for(sub { $api->count - $from + waiting() >= @all }, "wave $wave", 300);
    }
    my $before = $api->count - $from;

    wait_for(sub { $api->count - $from >= @all / 2 }, 'half of them', 600);
    $event->();
    my %told;
    $told{told($_->result)}++ for @all;
    is_deeply(\%told, {201 => scalar @all}, "$name: all are sent");

    my @calls = $api->requests(from => $from + 1);
    is(scalar @calls, scalar @all, 'each called once');
    is(scalar(grep { $_->{status} != 201 } @calls), 0, 'none is refused by Chatmaid');

    my @times = map { $_->{time} } @calls;
    my ($sliding, $fixed) = most(@times);
    my @order = map { $sent{decode_json($_->{body})->{content}} } @calls;

    # A caller whose sends are fewer has them done when its turns have come at
    # each of both gateways, with those of the others that have as many.
    my %half = map { $_ => int(($count{$_} + 1) / 2) } keys %count;
    my %turns = (c => 3 * $half{c}, b => 2 * $half{b} + $half{c});
    for my $caller (qw(b c)) {
        my $last = max(grep { $order[$_]{caller} eq $caller } 0 .. $#order) + 1;
        cmp_ok($last, '<=', $before + 2 * ($turns{$caller} + 3) + 10, "caller $caller is done in its turns") unless $breaks;
        note("caller $caller: $count{$caller} sends, the last is call $last of " . @order . "; $before were made before all had come");
    }

    # What goes at the same time may arrive in any order, and a send that has to ask
    # for its record again, since Redis was away, is late by that: a wave at most.
    my %wave;
    my $swapped = grep {
        my $key  = "$_->{caller} $_->{gateway}";
        my $back = $_->{wave} < ($wave{$key} // 0) - 1;
        $wave{$key} = max($wave{$key} // 0, $_->{wave});
        $back;
    } @order;
    is($swapped, 0, 'each caller has its order');
    note(sprintf '%d sends in %.1f s; most in a minute: %d sliding, %d fixed', scalar @all, time - $start, $sliding, $fixed);
    return ($start, $sliding, $fixed, @times);
}


subtest 'in peace' => sub {
    my ($start, $sliding, $fixed, @times) = run('peace', 0);
    my @early = grep { $times[$_] - $start < ($_ + 1 - $burst) * $interval - 0.005 } 0 .. $#times;
    is("@early", '', 'none came before its time');
    cmp_ok($sliding, '<', $limit, 'fewer than the limit in any minute');
};

subtest 'Redis is killed in their midst' => sub {
    $api->config(rate => {requests => $limit, seconds => $minute, window => 'fixed'});
    my (undef, $sliding, $fixed) = run('killed', 1, sub {
        $redis->kill_now;
        wait_for(sub { !grep { !$_->logged(qr/redis "\S+" is away/) } @gateways }, 'it to be away');
        $redis->start;
    });
    cmp_ok($fixed, '<=', $limit, 'not more than the limit in a minute by the clock');
};

done;
