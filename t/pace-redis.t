# One pace for two gateways on one Redis, each with two workers; and for each by
# itself while Redis is away.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Time::HiRes qw(time);

my $api   = sandbox;
my $redis = redis_server;

my %rates = (
    both   => 'chatmaid_rate 4r/s burst=2;',
    held   => 'chatmaid_rate 10r/s burst=5;',
    free   => 'chatmaid_rate 1r/m burst=2; chatmaid_timeout 5s;',
    cost   => 'chatmaid_rate 100r/s burst=100;',
    away   => 'chatmaid_rate 4r/s burst=2;',
    odd    => 'chatmaid_rate 4r/s burst=2;',
    ahead  => 'chatmaid_rate 1r/m burst=2; chatmaid_timeout 5s;',
);

sub start ($name) {
    return nginx(name => $name, workers => 2, http => 'chatmaid_sender +15550100001; chatmaid_redis ' . $redis->url . ' timeout=1s;',
        internal => 'proxy_connect_timeout 20s; proxy_read_timeout 20s;',
        server => "listen 127.0.0.1:%PORT:both% reuseport;\n" . join "\n", map {
            "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; $rates{$_} }
             location ^~ /$_-once/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; chatmaid_retries 0; chatmaid_timeout 2s; }" } sort keys %rates);
}

my @gateways = map { start($_) } qw(one two);

sub sends_later ($gateway, $path, $m = message, @headers) {
    return $gateway->later(POST => 'http://127.0.0.1:' . $gateway->port('both') . "/$path/send", $m, @headers);
}

# No call came before its time, counted from when the callers began.
sub keeps ($name, $start, $interval, $burst, @requests) {
    my @times = sort { $a <=> $b } map { $_->{time} - $start } @requests;
    my @early = grep { $times[$_] < ($_ + 1 - $burst) * $interval - 0.005 } 0 .. $#times;
    is("@early", '', "$name: at most $burst at once, then one each ${interval}s") or diag "@times";
}

sub scripts () { $redis->cli(qw(INFO commandstats)) =~ /cmdstat_evalsha:calls=(\d+)/ ? $1 : 0 }
sub clocks () { grep { /^chatmaid:pace:[0-9a-f]{64}\z/ } split /\n/, $redis->cli('KEYS', '*') }


subtest 'one pace for both' => sub {
    my ($start, $from) = (time, $api->count);
    my @all = map { sends_later($gateways[$_ % 2], 'both') } 1 .. 12;
    is(join(' ', map { told($_->result) } @all), join(' ', (201) x 12), 'all are sent');
    keeps('both together', $start, 0.25, 2, $api->requests(from => $from + 1));
};

subtest 'a 429 at one holds the other back' => sub {
    is(told(sends_later($_, 'held')->result), 201, 'a send at each') for @gateways;
    $api->fault({status => 429, json => {success => \0, message => ['slow down'], retryAfter => 8}});
    is(told(sends_later($gateways[0], 'held-once')->result), '429 rate_limited not_sent', 'one at the first is refused');
    my ($since, $from) = ($api->last->{ended}, $api->count);
    my $answer = sends_later($gateways[1], 'held-once')->result;
    is(told($answer), '429 rate_limited not_sent', 'one at the other that has no time');
    like($answer->{headers}{'retry-after'}, qr/\A[1-8]\z/, 'with the rest of it');
    my @all = map { sends_later($gateways[$_ % 2], 'held') } 1 .. 6;
    is(told($_->result), 201, 'one that has time') for @all;
    my @calls = $api->requests(from => $from + 1);
    is(scalar @calls, 6, 'each called once');
    is(scalar(grep { $_->{time} - $since < 7.9 } @calls), 0, 'after that time');
    keeps('then at its pace', $since + 7.9, 0.1, 1, @calls);
};

subtest 'what makes no call takes no place' => sub {
    my ($k, $m) = (key, message);
    my %before = map { $_ => 1 } clocks;
    my $is_new = sub { grep { !$before{$_} } clocks };
    is(told(sends_later($gateways[0], 'free', $m, 'Idempotency-Key' => $k)->result), 201, 'a send');
    my ($clock) = $is_new->();
    my $was = $redis->cli('GET', $clock);
    for my $gateway (@gateways, @gateways) {
        is(told(sends_later($gateway, 'free', $m, 'Idempotency-Key' => $k)->result), 201, 'a replay');
        given_back($redis, $clock, $was);
        is(told(sends_later($gateway, 'free', message, 'Idempotency-Key' => $k)->result), '422 idempotency_key_reused unknown', 'a key used again');
        given_back($redis, $clock, $was);
    }
    is(told(sends_later($gateways[1], 'free')->result), 201, 'the second place is still there, at the other');
    is(told(sends_later($_, 'free')->result), '429 rate_limited not_sent', 'a third is not') for @gateways;
    is(join(' ', $is_new->()), $clock, 'one clock for both');
};

subtest 'one more command for a call' => sub {
    is(told(sends_later($_, 'cost')->result), 201, 'a send') for @gateways;
    for my $case (['a send', 3, sub { sends_later($gateways[0], 'cost') }], ['a read', 1, sub { $gateways[0]->later(GET => $gateways[0]->url('/cost/phones')) }]) {
        my ($name, $want, $call) = @$case;
        my $before = scripts;
        like(told($call->()->result), qr/\A20[01]\z/, $name);
        is(scripts() - $before, $want, "$name: $want scripts");
    }
};

subtest 'a clock that is no clock, and one far ahead' => sub {
    is(told(sends_later($gateways[0], 'odd')->result), 201, 'a send');
    my %before = map { $_ => 1 } clocks;
    for my $value ('x', -1, '9' x 16, '9' x 300, '') {
        $redis->cli('SET', $_, $value) for keys %before;
        my $start = time;
        my $m     = message;
        my $answer = sends_later($gateways[1], 'cost', $m)->result;
        like(told($answer), qr/\A(?:201|429 rate_limited not_sent)\z/, "a send with the clock '" . substr($value, 0, 20) . "'");
    }
    $redis->cli('DEL', $_) for keys %before;
    $redis->cli('HSET', $_, 'x', 'y') for keys %before;
    is(told(sends_later($gateways[0], 'odd')->result), 201, 'with a key of another type');
    ok(wait_for(sub { $gateways[0]->logged(qr/chatmaid redis can't keep the pace, it answers ".*WRONGTYPE/) }), 'one line');
    $redis->cli('DEL', $_) for keys %before;
    wait_for(sub { sends_later($gateways[0], 'odd')->result; $gateways[0]->logged(qr/chatmaid redis keeps the pace again/) }, 'the line when it is over');
};

subtest 'Redis away: each gateway keeps it by itself' => sub {
    is(told(sends_later($_, 'ahead')->result), 201, 'a place is used at each') for @gateways;
    $redis->kill_now;
    wait_for(sub { told(sends_later($_, 'cost')->result) eq '201' && $_->logged(qr/redis "\S+" is away/) }, 'it to be known') for @gateways;
    my ($start, $from) = (time, $api->count);
    my (%at, @all);
    for my $n (1 .. 16) {
        my $m = message;
        push @all, sends_later($gateways[$n % 2], 'away', $m);
        $at{$m->{text}} = $n % 2;
    }
    is(join(' ', map { told($_->result) } @all), join(' ', (201) x 16), 'all are sent');
    for my $n (0, 1) {
        my @own = grep { my $body = $_->{body}; grep { $at{$_} == $n && $body =~ /"\Q$_\E"/ } keys %at } $api->requests(from => $from + 1);
        is(scalar @own, 8, 'half of them by each');
        keeps($gateways[$n]->name, $start, 0.25, 2, @own);
    }
    is(told(sends_later($_, 'ahead')->result), 201, 'what was used before counts: one more') for @gateways;
    is(told(sends_later($_, 'ahead')->result), '429 rate_limited unknown', 'but not two') for @gateways;

    $redis->start;
    wait_for(sub { $_->logged(qr/redis "\S+" is back/) }, 'Redis to be back') for @gateways;
    is(told(sends_later($_, 'ahead')->result), '429 rate_limited not_sent', 'a Redis that knows nothing gives no new burst') for @gateways;
};

done;
