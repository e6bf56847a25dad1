# Redis goes away in every way it knows, and comes back: what goes on, what is
# refused, and what is never said or done.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use IO::Select;
use IO::Socket::IP;

# What goes on beside the rest has a Chatmaid of its own, and takes no faults that
# are meant for others.
my ($beside, $api) = map { sandbox } 1, 2;
my @no    = (status => 404, json => {success => \0, message => ['who?']});

sub gateway ($redis, $options = '', %more) {
    state $serial = 0;
    return nginx(name => 'gateway' . ++$serial, error_log => 'notice', internal => 'proxy_connect_timeout 1h; proxy_read_timeout 1h;',
        http    => 'chatmaid_redis ' . $redis->url . " $options" . ($options =~ m{timeout} ? ";" : " timeout=2s;") . ' chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001; chatmaid_idempotency_window 1000h; chatmaid_timeout 1h;', %more);
}

sub keys_of ($m)  { map { Mojo::JSON::decode_json($_->{body})->{idempotencyKey} } sends_of($m) }

sub send_at ($gateway, $m, $k)     { $gateway->post('/send', $m, 'Idempotency-Key' => $k) }
sub sends_later ($gateway, $m, $k) { $gateway->later(POST => '/send', $m, 'Idempotency-Key' => $k) }

sub killed ($redis) {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
}

sub connected ($gateway) { send_at($gateway, message, key) }


# --- A worker is stopped past its lease --------------------------------------

# Eight seconds are passed here with the other tests.

my $slow = redis_server;
my ($late, $paused, $other) = map { gateway($slow, '', api => $beside) } 1 .. 3;
my %stopped = map { $_ => {key => key, message => message} } qw(late paused);

$_->client->timeout(1200) for $late, $paused;    # asked now, answered at the end
connected($_) for $late, $paused, $other;

$beside->fault({hold => 'after'});
$stopped{late}{caller} = sends_later($late, @{$stopped{late}}{qw(message key)});
$beside->wait_held;
kill STOP => $late->workers;

$slow->kill('STOP');
$stopped{paused}{caller} = sends_later($paused, @{$stopped{paused}}{qw(message key)});
wait_for(sub { $slow->unread }, 'the claim to be on its way');
kill STOP => $paused->workers;
$slow->kill('CONT');
wait_for(sub { $slow->cli('EXISTS', record_of($stopped{paused}{key})) eq '1' }, 'the claim');

$stopped{$_}{waiter} = sends_later($other, @{$stopped{$_}}{qw(message key)}) for qw(late paused);


# --- Each way to be away -----------------------------------------------------

my %ways = (
    'killed, empty afterwards' => {
        break => \&killed,
        mend  => sub ($redis) { $redis->start },
        lost  => 1,
    },
    'killed, with AOF' => {
        args  => [qw(--appendonly yes --appendfsync always)],
        break => \&killed,
        mend  => sub ($redis) { $redis->start; wait_for(sub { $redis->cli('PING') eq 'PONG' }, 'the AOF to be read') },
    },
    'stopped' => {
        break => sub ($redis) { $redis->kill('STOP') },
        mend  => sub ($redis) { $redis->kill('CONT') },
    },
    'asleep' => {
        break => sub ($redis) {
            $redis->{sleep} = process('sleep', command => ['redis-cli', '-s', $redis->socket, qw(DEBUG SLEEP 15)]);
            wait_for(sub { !IO::Select->new(ping($redis))->can_read(0.2) }, 'it to sleep');
        },
        mend => sub ($redis) { },                   # by itself
    },
    'full' => {
        break => sub ($redis) { $redis->cli('CONFIG', 'SET', 'maxmemory', '1') },
        mend  => sub ($redis) { $redis->cli('CONFIG', 'SET', 'maxmemory', '0') },
    },
    'a replica' => {
        break => sub ($redis) { $redis->cli('REPLICAOF', '127.0.0.1', port('nobody')) },
        mend  => sub ($redis) { $redis->cli('REPLICAOF', 'NO', 'ONE') },
    },
    'wanting a password' => {
        break => sub ($redis) { $redis->cli('CONFIG', 'SET', 'requirepass', 'another'); $redis->cli([qw(AUTH another)], qw(CLIENT KILL TYPE normal)) },
        mend  => sub ($redis) { $redis->cli([qw(AUTH another)], qw(CONFIG SET requirepass), '') },
    },
);

sub ping ($redis) {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $redis->port) or die "connect: $@";
    syswrite $socket, "PING\r\n";
    return $socket;
}

for my $name (sort keys %ways) {
    subtest "$name: away" => sub {
        my $way = $ways{$name};
        my $redis = $way->{redis} = redis_server(args => $way->{args});
        my ($zone, $reject) = @$way{qw(zone reject)} = map { gateway($redis, $_) } 'fallback=zone', 'fallback=reject';
        my %m = map { $_ => message } qw(before kept refused ambiguous rejected);
        my %k = map { $_ => key } keys %m;
        @$way{qw(m k)} = (\%m, \%k);

        is(told($way->{before} = send_at($zone, $m{before}, $k{before})), 201, 'before it');
        is(replayed(send_at($reject, $m{before}, $k{before})), 'replayed', 'at both');
        $way->{break}->($redis);

        is(told($way->{kept} = send_at($zone, $m{kept}, $k{kept})), 201, 'zone: goes on');
        is(replayed(send_at($zone, $m{kept}, $k{kept})), 'replayed', 'zone: it remembers');
        is(told(send_at($zone, message, $k{kept})), '422 idempotency_key_reused unknown', 'zone: another message');
        $api->fault({@no});
        is(told(send_at($zone, $m{refused}, $k{refused})), '404 not_found unknown', 'zone: a refusal is never certain');
        $api->fault(no_answer('after'));
        is(told(send_at($zone, $m{ambiguous}, $k{ambiguous})), '502 upstream_error unknown', 'zone: no answer');

        my $refused = send_at($reject, $m{rejected}, $k{rejected});
        is(told($refused), '503 store_unavailable unknown', 'reject: refused');
        ok($refused->{headers}{'retry-after'}, 'reject: with Retry-After');
        is(scalar(sends_of($m{rejected})), 0, 'reject: nothing is sent');

        $way->{mend}->($redis);
    };
}

# --- In the middle -----------------------------------------------------------

subtest 'lost while sends are under way' => sub {
    my $redis = redis_server(args => [qw(--appendonly yes --appendfsync always)]);
    my ($one, $two, $strict) = map { gateway($redis, $_, server => <<'END') } '', '', 'fallback=reject';
        location ^~ /at-once/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
END
    my %m = map { $_ => message } qw(accepted refused strict);
    my %k = map { $_ => key } keys %m;
    connected($_) for $one, $two, $strict;

    $api->fault({hold => 'before'}, {hold => 'before', @no}, {hold => 'before', @no});
    my %held;
    for my $case (['accepted', $one], ['refused', $one], ['strict', $strict]) {
        $held{$case->[0]} = sends_later($case->[1], $m{$case->[0]}, $k{$case->[0]});
        $api->wait_held(scalar keys %held);
    }
    my $here  = sends_later($one, $m{accepted}, $k{accepted});
    my @there = map { sends_later($_, $m{accepted}, $k{accepted}) } $two, $strict;
    wait_for(sub { $redis->cli('INFO', 'commandstats') =~ /cmdstat_get:calls=(\d+)/ && $1 > 10 }, 'the waiters to look');

    killed($redis);
    is(told($_->result), '409 idempotency_in_flight unknown', 'a waiter at another gateway gives up') for @there;
    ok(!$here->done, 'one at the same gateway waits');
    $api->release;
    is(told($held{accepted}->result), 201, 'accepted');
    is(replayed($here->result), 'replayed', 'the waiter at the same gateway');
    is(told($held{refused}->result), '404 not_found unknown', 'refused: not certain');
    is(told($held{strict}->result), '404 not_found unknown', 'refused: not certain with fallback=reject either');
    is(scalar(sends_of($_)), 1, 'one try') for values %m;
    is(replayed(send_at($one, $m{accepted}, $k{accepted})), 'replayed', 'the zone remembers');

    $redis->start;
    wait_for(sub { told(send_at($strict, message, key)) eq '201' }, 'Redis to be back');
    wait_for(sub { $one->logged(qr/is back/) }, 'it to be back at the first');
    is(told(send_at($one, message, $k{refused})), '422 idempotency_key_reused unknown', 'refused: another message');
    is(told(send_at($strict, message, $k{strict})), '422 idempotency_key_reused unknown', 'with fallback=reject too');
    is(made($m{accepted}), 1, 'one message');

    # Redis is told of what it missed, so nobody waits for their leases
    my $at_once = sub ($gateway, $name) {
        return $gateway->post($gateway->url('/at-once/send'), $m{$name}, 'Idempotency-Key' => $k{$name});
    };
    my %state = (accepted => 'done', refused => 'ambiguous', strict => 'ambiguous');
    for my $case (sort keys %state) {
        wait_for(sub { $redis->state_of(record_of($k{$case})) eq $state{$case} }, "Redis to have $case as $state{$case}");
    }
    is(replayed($at_once->($two, 'accepted')), 'replayed', 'accepted: replayed at the other gateway');
    is(told($at_once->($two, 'refused')), 201, 'refused: taken over there at once');
    is(told($at_once->($one, 'strict')), 201, 'with fallback=reject too');
    is(made($m{$_}), 1, "$_: one message") for qw(refused strict);
    is($redis->state_of(record_of($k{$_})), 'done', "$_: Redis knows it") for qw(refused strict);
};

subtest 'claimed in the zone, finished in Redis' => sub {
    my $redis = redis_server;
    my ($one, $two) = (gateway($redis), gateway($redis));
    my ($k, $m) = (key, message);
    connected($_) for $one, $two;
    killed($redis);
    wait_for(sub { $_->logged(qr/is away/) }, 'it to be missed') for $one, $two;
    $api->fault({hold => 'before'});
    my $held = sends_later($one, $m, $k);
    $api->wait_held;
    $redis->start;
    wait_for(sub { connected($_); $_->logged(qr/is back/) }, 'it to be back') for $one, $two;
    is(told(send_at($one, message, $k)), '422 idempotency_key_reused unknown', "the zone's word comes first");
    my $waiter = sends_later($one, $m, $k);
    $api->release;
    my $answer = $held->result;
    is(told($answer), 201, 'the send under way');
    is($waiter->result->{body}, $answer->{body}, 'the one that waits for it');
    is(send_at($two, $m, $k)->{body}, $answer->{body}, 'replayed at the other gateway');
    is(scalar(sends_of($m)), 1, 'one try');
    killed($redis);
    is(replayed(send_at($one, $m, $k)), 'replayed', 'and where it was claimed, lost again');
    is(scalar(sends_of($m)), 1, 'no other try');
};

subtest 'the deadline passes while Redis is asked' => sub {
    my $redis = redis_server;
    my $owner = gateway($redis);
    my $hasty = gateway($redis, 'timeout=20s', server => <<'END');
        location ^~ /hasty/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_timeout 300ms; }
END
    my %m = map { $_ => message } qw(fresh in_flight done other);
    my %k = map { $_ => key } keys %m;
    connected($_) for $owner, $hasty;
    is(told(send_at($owner, $m{done}, $k{done})), 201, 'one that is done');
    $api->fault({hold => 'before'});
    my $held = sends_later($owner, $m{in_flight}, $k{in_flight});
    $api->wait_held;
    is(told(send_at($owner, message, $k{other})), 201, 'one of another message');

    $redis->kill('STOP');
    my %asked = map { $_ => $hasty->later(POST => $hasty->url('/hasty/send'), $m{$_}, 'Idempotency-Key' => $k{$_}) } sort keys %m;
    is(told($asked{$_}->result), '504 upstream_timeout unknown', "$_: answered") for sort keys %asked;
    $redis->kill('CONT');
    wait_for(sub { $redis->cli('EXISTS', record_of($k{fresh})) eq '0' }, 'the claim to be removed');
    is(scalar(sends_of($m{fresh})), 0, 'no try began');
    $api->release;
    is(told($held->result), 201, 'the one in flight');
    is(told(send_at($hasty, $m{$_}, $k{$_})), 201, "$_: a retry") for qw(done in_flight fresh);
    is(made($m{$_}), 1, "$_: one message") for qw(done in_flight fresh);
};

subtest 'its connections are killed again and again' => sub {
    my $redis   = redis_server;
    my $gateway = gateway($redis, '', workers => 2);
    my %m       = map { $_ => message } 1 .. 60;
    my (%answer, @pending);
    for my $n (sort keys %m) {
        push @pending, [$n, sends_later($gateway, $m{$n}, "loop-$n")];
        $redis->cli(qw(CLIENT KILL TYPE normal)) if $n % 2;
    }
    $answer{$_->[0]} = $_->[1]->result for @pending;
    is(scalar(grep { $_->{status} == 201 } values %answer), 60, 'all are sent');
    is(scalar(grep { made($_) == 1 } values %m), 60, 'each is one message');
    is(scalar(grep { send_at($gateway, $m{$_}, "loop-$_")->{json}{id} eq $answer{$_}{json}{id} } keys %m), 60, 'and stays one');
};

# Its connection is made anew at once, then after pauses that grow.  Nobody sees
# that until a send comes in a pause: then Redis is away, once, and it is not
# back by the next connection but by one that lasts.

subtest 'its idle connection is killed again and again' => sub {
    my $redis   = redis_server;
    my $gateway = gateway($redis, 'fallback=reject timeout=900ms');
    my $logged  = sub ($pattern) { scalar(() = $gateway->logged(qr/\[error\].* chatmaid redis ".*" is $pattern/)) };
    my $killed  = sub { wait_for(sub { $redis->cli(qw(CLIENT LIST TYPE normal)) =~ / cmd=(?:role|eval\w*) / }, 'a connection');
        $redis->cli(qw(CLIENT KILL TYPE normal)) };

    my $in_a_pause = sub { wait_for(sub { $killed->(); told(send_at($gateway, message, key)) eq '503 store_unavailable unknown' }, 'a send in a pause') };

    $killed->() for 1 .. 8;
    is($logged->('(?:away|back)'), 0, 'which is worth no line');
    ok($in_a_pause->(), 'it counts as away');
    ok($logged->('away: its connections do not last'), 'and the log says so');
    ok($in_a_pause->(), 'it still does');
    wait_for(sub { $logged->('back') == $logged->('away') }, 'it to be back');
    is(told(send_at($gateway, message, key)), 201, 'sends go on');
    cmp_ok($logged->('away'), '<=', 2, 'no line for each connection');
};

subtest 'keyless sends' => sub {
    my $redis = redis_server;
    my ($one, $two) = (gateway($redis), gateway($redis));
    my $m   = message;
    my @all = map { $_->post('/send', $m) } $one, $two;
    is(replayed($all[1]), 'replayed', 'a record for both');
    $redis->cli('FLUSHALL');
    push @all, $two->post('/send', $m);
    is(replayed($all[-1]), 'new', 'flushed');
    killed($redis);
    wait_for(sub { $_->logged(qr/is away/) }, 'it to be missed') for $one, $two;
    push @all, map { $_->post('/send', $m) } $one, $two;
    is(scalar(grep { replayed($_) eq 'new' } @all[-2, -1]), 2, 'lost');
    $redis->start;
    wait_for(sub { connected($_); $_->logged(qr/is back/) }, 'it to be back') for $one, $two;
    push @all, map { $_->post('/send', $m) } $one, $two;

    is(join(' ', map { $_->{status} } @all), join(' ', (201) x @all), 'all are answered');
    is(scalar(keys %{{map { $_->{json}{id} => 1 } @all}}), 1, 'with one id');
    is(scalar(keys %{{map { $_->{headers}{'idempotency-key'} => 1 } @all}}), 1, 'and one operation key');
    is(scalar(keys %{{map { $_ => 1 } keys_of($m)}}), 1, 'Chatmaid got one key');
    cmp_ok(scalar(keys_of($m)), '>=', 4, 'several times');
    is(made($m), 1, 'one message');
};


# --- Each way back ------------------------------------------------------------

for my $name (sort keys %ways) {
    subtest "$name: back" => sub {
        my $way = $ways{$name};
        my ($redis, $zone, $reject) = @$way{qw(redis zone reject)};
        my ($m, $k) = @$way{qw(m k)};

        for my $gateway ($zone, $reject) {
            wait_for(sub { connected($gateway); $gateway->logged(qr/redis ".*" is back/) }, $gateway->name . ' to have it back');
            is(scalar(my @away = $gateway->logged(qr/\[error\].* chatmaid redis ".*" is away/)), 1, $gateway->name . ': one line for lost');
            is(scalar(my @back = $gateway->logged(qr/\[error\].* chatmaid redis ".*" is back/)), 1, $gateway->name . ': one for back');
        }
        is(told(send_at($reject, $m->{rejected}, $k->{rejected})), 201, 'reject: goes on');

        is(send_at($zone, $m->{kept}, $k->{kept})->{body}, $way->{kept}{body}, "the zone's records have the first word");
        for my $case (qw(refused ambiguous)) {
            is(told(send_at($zone, message, $k->{$case})), '422 idempotency_key_reused unknown', "$case: another message");
            $api->fault({@no});
            is(told(send_at($zone, $m->{$case}, $k->{$case})), '404 not_found unknown', "$case: a refused takeover");
            is(told(send_at($reject, message, $k->{$case})), '422 idempotency_key_reused unknown', "$case: Redis has it now");
            is(told(send_at($reject, $m->{$case}, $k->{$case})), 201, "$case: a later try");
        }
        my $again = send_at($reject, $m->{before}, $k->{before});
        is($again->{json}{id}, $way->{before}{json}{id}, 'what was sent before');
        is(replayed($again), $way->{lost} ? 'new' : 'replayed', 'is remembered where Redis does');
        is(made($m->{$_}), 1, "$_: one message") for sort keys %$m;
    };
}


# --- The stopped workers again -----------------------------------------------

subtest 'a worker stopped past its lease' => sub {
    my ($m, $k) = map { my $what = $_; +{map { $_ => $stopped{$_}{$what} } qw(late paused)} } qw(message key);
    is(told($stopped{$_}{waiter}->result), 201, "$_: the waiter at the other gateway took over") for qw(late paused);
    is(scalar(sends_of($m->{late}, $beside)), 2, 'late: the second try');
    is(scalar(sends_of($m->{paused}, $beside)), 1, 'paused: the first');

    kill CONT => $paused->workers;
    my $answer = $stopped{paused}{caller}->result;
    like(told($answer), qr/^(?:503 store_unavailable unknown|201)$/, 'paused: its caller is told to retry, or gets the answer');
    is(scalar(sends_of($m->{paused}, $beside)), 1, 'paused: it starts no new try');
    is(made($m->{paused}, $beside), 1, 'paused: one message');

    # what the waiter recorded is gone: only the late answer is left
    $slow->cli('DEL', record_of($k->{late}));
    $beside->fault(no_answer('before'));
    is(told(send_at($other, $m->{late}, $k->{late})), '502 upstream_error unknown', 'late: ambiguous at the other gateway');
    $beside->release;
    kill CONT => $late->workers;
    $answer = $stopped{late}{caller}->result;
    is(told($answer), 201, 'late: its answer');
    ok($late->logged(qr/\[warn\].*lost the lease/), 'late: it knows that its lease is over');
    my $sends = sends_of($m->{late}, $beside);
    my $again = send_at($other, $m->{late}, $k->{late});
    is(replayed($again), 'replayed', 'late: it is recorded');
    is($again->{body}, $answer->{body}, 'late: as it was');
    is(scalar(sends_of($m->{late}, $beside)), $sends, 'late: no further try');
    is(made($m->{late}, $beside), 1, 'late: one message');
};

done;
