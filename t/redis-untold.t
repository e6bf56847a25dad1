# What a gateway has settled while Redis was away is told to Redis when it is
# back: a duplicate at another gateway finds the answer, and an event is known at
# every edge.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use Time::HiRes qw(time);

my $receiver = receiver;
my $api      = sandbox;
my @refused  = (status => 404, json => {success => \0, message => ['who?']});

# A gateway that is an edge as well.  Redis is asked to wait for the disk: that may
# be slow, and is no reason to go on without it.
sub gateway ($redis, $options = '', %more) {
    state $serial = 0;
    $options .= ' timeout=2s' unless $options =~ /\btimeout=/;
    return nginx(name => 'gateway' . ++$serial, error_log => 'notice', files => {webhook_secret => webhook_secret . "\n"},
        http    => "chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_retries 0; chatmaid_redis " . $redis->url . " $options;",
        gateway => 'chatmaid_sender +15550100001; chatmaid_timeout 1h;', server => <<"END", %more);
        location ^~ /at-once/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_wait 0; }
        location = /hook { chatmaid_webhook on; proxy_pass http://127.0.0.1:${\$receiver->port}; }
END
}

sub durable () { redis_server(args => [qw(--appendonly yes --appendfsync always)]) }

sub send_at ($gateway, $case)    { sending($gateway, $case)->result }
sub sending ($gateway, $case)    { $gateway->later(POST => $gateway->url('/at-once/send'), $case->{message}, 'Idempotency-Key' => $case->{key}) }
sub hooking ($edge, $body, @how) { $edge->later(POST => $edge->url('/hook'), $body, signed($body, @how)) }
sub hooked (@hook)               { code(hooking(@hook)->result) }

sub cases ($count)         { map { {key => key, message => message} } 1 .. $count }
sub state_of ($redis, $case) { $redis->state_of(record_of($case->{key})) }

sub wait_state ($redis, $state, @cases) {
    for my $case (@cases) {
        wait_for(sub { state_of($redis, $case) eq $state }, "$case->{key} to be $state in Redis");
    }
}

# A gateway with one worker writes to Redis again.
sub back ($gateway, $redis) {
    my ($case) = cases(1);
    wait_for(sub { send_at($gateway, $case)->{status} == 201 && state_of($redis, $case) eq 'done' }, $gateway->name . ' to have Redis back');
}

# The marks of events, by their state.
sub marks ($redis, $state) { $redis->count_records('*event:*', $state) }

sub killed ($redis) {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
}

my %outage = (
    stopped => [sub ($redis) { $redis->kill('STOP') }, sub ($redis) { $redis->kill('CONT') }],
    killed  => [\&killed, sub ($redis) { $redis->start; wait_for(sub { $redis->cli('PING') eq 'PONG' }, 'the AOF to be read') }],
    full    => [sub ($redis) { $redis->cli(qw(CONFIG SET maxmemory 1)) }, sub ($redis) { $redis->cli(qw(CONFIG SET maxmemory 0)) }],
);

for my $name (sort keys %outage) {
    my ($break, $mend) = @{$outage{$name}};

    subtest "$name: sends" => sub {
        $api->clear_faults;
        my $redis = durable;
        my ($one, $two) = (gateway($redis, '', workers => 2), gateway($redis));
        is(told(send_at($_, (cases(1))[0])), 201, 'Redis is there') for $one, $two;

        # claimed in Redis, settled without it
        my @before = cases(2);
        $api->fault({hold => 'before'}, no_answer('before', hold => 'before'));
        my @held;
        for my $case (@before) {
            push @held, sending($one, $case);
            $api->wait_held(scalar @held);
        }
        $break->($redis);
        $api->release;
        is(join(' ', map { $_->result->{status} } @held), '201 502', 'under way when it went');

        my @done = cases(50);
        my %answer;
        my @sent = map { [$_->{key}, sending($one, $_)] } @done;
        $answer{$_->[0]} = $_->[1]->result for @sent;
        is(scalar(grep { $_->{status} == 201 } values %answer), 50, '50 are sent');
        my @ambiguous = cases(5);
        for my $case (@ambiguous) {
            $api->fault($case == $ambiguous[0] ? {@refused} : no_answer('after'));
            like(told(send_at($one, $case)), qr/ unknown$/, 'one of which nothing is certain');
        }

        $mend->($redis);
        wait_state($redis, 'done', @done, $before[0]);
        wait_state($redis, 'ambiguous', @ambiguous, $before[1]);
        back($two, $redis);
        my $sends = $api->sends;
        my @again = map { [$_->{key}, sending($two, $_)] } @done;
        is(scalar(grep { $_->[1]->result->{body} eq $answer{$_->[0]}{body} } @again), 50, 'the other gateway has the answers');
        is(replayed(send_at($two, $before[0])), 'replayed', 'that of the one under way too');
        is(told(send_at($two, {%$_, message => message})), '422 idempotency_key_reused unknown', 'and knows the messages') for @ambiguous, $before[1];
        is($api->sends, $sends, 'none is sent again');
        is(told(send_at($two, $_)), 201, 'what is ambiguous is taken over') for @ambiguous, $before[1];
        is(scalar(grep { made($_->{message}) == 1 } @done, @ambiguous, @before), 57, 'each is one message');
        cmp_ok($redis->cli('PTTL', record_of($_->{key})), '>', 80_000_000, 'kept for a day') for $done[0], $ambiguous[0];
    };

    subtest "$name: events" => sub {
        $receiver->clear_faults;
        my $redis = durable;
        my ($one, $two) = (gateway($redis, '', workers => 2), gateway($redis, 'fallback=reject'));
        is(hooked($_, event('message.sent')), 200, 'Redis is there') for $one, $two;
        wait_for(sub { marks($redis, 'done') == 2 }, 'two marks');

        # claimed in Redis, settled without it
        my @before = map { event('message.sent') } 1, 2;
        $receiver->fault({hold => 'before'}, {hold => 'before', status => 500});
        my @held;
        for my $body (@before) {
            push @held, hooking($one, $body);
            $receiver->wait_held(scalar @held);
        }
        $break->($redis);
        $receiver->release;
        is(join(' ', map { $_->result->{status} } @held), '200 500', 'under way when it went');

        my @delivered = map { event('message.sent') } 1 .. 50;
        is(scalar(grep { code($_->result) eq '200' } map { hooking($one, $_) } @delivered), 50, '50 are delivered');
        $receiver->fault({status => 500, times => 5});
        my @failed = map { event('message.sent') } 1 .. 5;
        is(scalar(grep { code($_->result) eq '500' } map { hooking($one, $_) } @failed), 5, 'some are not');

        $mend->($redis);
        wait_for(sub { marks($redis, 'done') >= 53 && !marks($redis, 'in_flight') }, 'Redis to be told');
        back($two, $redis);
        is(scalar(grep { code($_->result) eq '200' } map { hooking($two, $_) } @delivered, $before[0]), 51, 'repeats at the other edge');
        is(scalar(grep { passed($receiver, $_) > 1 } @delivered, $before[0]), 0, 'none is handed on twice');
        is(hooked($two, $_), 200, 'what has failed is handed on there at once') for @failed, $before[1];
        is(scalar(grep { passed($receiver, $_) == 2 } @failed, $before[1]), 6, 'for the second time');
    };
}

subtest 'over a reload, and when workers are killed' => sub {
    $_->clear_faults for $api, $receiver;
    my $redis = durable;
    my @gateways = map { gateway($redis, '', workers => 2) } 1, 2;
    my $other    = gateway($redis);
    my @cases    = cases(2);
    my @bodies   = map { event('message.sent') } 1, 2;
    is(told(send_at($_, (cases(1))[0])), 201, 'Redis is there') for @gateways, $other;
    killed($redis);
    is(told(send_at($gateways[$_], $cases[$_])), 201, 'a send') for 0, 1;
    is(hooked($gateways[$_], $bodies[$_]), 200, 'an event') for 0, 1;
    $gateways[0]->reload;
    $gateways[1]->kill_workers;
    $redis->start;
    wait_state($redis, 'done', @cases);
    wait_for(sub { marks($redis, 'done') == 2 }, 'the marks');
    back($other, $redis);
    is(replayed(send_at($other, $_)), 'replayed', 'the other gateway has the answer') for @cases;
    is(hooked($other, $_), 200, 'and knows the event') for @bodies;
    is(passed($receiver, $_), 1, 'handed on once') for @bodies;
};

subtest 'the same operation at both' => sub {
    my $redis = durable;
    my @gateways = map { gateway($redis) } 1, 2;
    my ($case, $later) = cases(2);
    is(told(send_at($_, (cases(1))[0])), 201, 'Redis is there') for @gateways;
    killed($redis);
    my @answers = map { send_at($_, $case) } @gateways;
    is($answers[0]{json}{id}, $answers[1]{json}{id}, 'Chatmaid has one message for both');
    is(told(send_at($gateways[1], $later)), 201, 'and one after it');
    $redis->start;
    wait_state($redis, 'done', $case, $later);
    my $record = $redis->cli('GET', record_of($case->{key}));
    is(send_at($_, $case)->{json}{id}, $answers[0]{json}{id}, 'and both replay it') for @gateways;
    is($redis->cli('GET', record_of($case->{key})), $record, 'no finish has replaced the other');
};

subtest 'with the ttl that is left' => sub {
    my $redis = durable;
    my $clock = clock;
    my $one   = gateway($redis, '', clock => $clock, server => <<'END');
        location ^~ /short/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; chatmaid_idempotency_ttl 1h; }
        location ^~ /at-once/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; }
END
    is(told(send_at($one, (cases(1))[0])), 201, 'Redis is there');
    killed($redis);
    my ($short, $long) = cases(2);
    is($one->post($one->url('/short/send'), $short->{message}, 'Idempotency-Key' => $short->{key})->{status}, 201, 'one for an hour');
    is(told(send_at($one, $long)), 201, 'one for a day');
    $clock->forward(7200);
    $one->get('/health') for 1 .. 3;
    $redis->start;
    wait_state($redis, 'done', $long);
    is($redis->cli('EXISTS', record_of($short->{key})), 0, 'after two hours the first is not told any more');
    my $ttl = $redis->cli('PTTL', record_of($long->{key}));
    cmp_ok($ttl, '<=', 1000 * 3600 * 22, 'the second for 22 hours');
    cmp_ok($ttl, '>', 1000 * 3600 * 21, 'no less');
};

# Lets the scripted server run.
sub serve ($seconds) { Mojo::IOLoop->timer($seconds => sub { Mojo::IOLoop->stop }); Mojo::IOLoop->start }

# What is told, in which order, by whom and how fast, by a server that says so.
subtest 'the queue' => sub {
    my ($away, @told, %streams, @batches) = (1);
    my $fake = redis_fake(sub ($self, $stream, @words) {
        return $stream->write("-LOADING not yet\r\n") if $away;
        return $stream->write("+OK\r\n") if $words[0] !~ /^EVAL/;
        push @told, {id => $words[3], state => $words[-1] eq '201' ? 'done' : 'ambiguous', at => time};
        $streams{$stream}++;
        $stream->write(":1\r\n");
    });
    my $gateway = gateway($fake, 'timeout=30s', workers => 4);
    my @cases   = cases(120);
    is(scalar(grep { $_->result->{status} == 201 } map { sending($gateway, $_) } @cases[0 .. 59]), 60, 'sends');
    $api->fault(no_answer('after'));
    is(told(send_at($gateway, $cases[60])), '502 upstream_error unknown', 'an ambiguous one');
    is(scalar(grep { $_->result->{status} == 201 } map { sending($gateway, $_) } @cases[61 .. 119]), 59, 'more');

    my $probes = @{$fake->seen};
    wait_for(sub { serve(0.05); @{$fake->seen} > $probes + 3 }, 'it to be asked for');
    my $start = time;
    $away = 0;
    wait_for(sub { serve(0.05); @told >= 120 }, 'all to be told');
    my $last = time;
    serve(1.5);

    is(scalar(@told), 120, 'each is told once');
    is(scalar(keys %streams), 1, 'by one worker');
    is(scalar(grep { $_->{state} eq 'ambiguous' } @told), 1, 'one is ambiguous');
    is($told[60]{state}, 'ambiguous', 'the oldest come first');
    my %rank = map { record_of($cases[$_]{key}) => $_ } 0 .. $#cases;
    is(scalar(grep { $rank{$told[$_]{id}} > 60 } 0 .. 59), 0, 'those before it');
    cmp_ok($last - $start, '>=', 0.5, 'in batches with pauses between');
    for my $n (50 .. $#told) {
        push @batches, $n if $told[$n]{at} - $told[$n - 50]{at} < 0.2;
    }
    is("@batches", '', 'at most 200 a second');
};

# Redis may execute a claim long after it was given up.
subtest 'a claim that was given up' => sub {
    $api->clear_faults;
    my $redis = durable;
    my ($one, $two) = (gateway($redis, 'fallback=reject timeout=3s'), gateway($redis, 'timeout=30s'));
    my %case;
    @case{qw(here there)} = cases(2);
    is(told(send_at($_, (cases(1))[0])), 201, 'Redis is there') for $one, $two;
    $redis->kill('STOP');
    my %asked = map { $_ => sending($one, $case{$_}) } sort keys %case;
    is(told($_->result), '503 store_unavailable unknown', 'refused') for values %asked;
    $redis->kill('CONT');

    for my $at (['there', $two], ['here', $one]) {
        my ($name, $gateway) = @$at;
        my $answer = wait_for(sub {
            $api->clear_faults;
            $api->fault({@refused});
            my $answer = send_at($gateway, $case{$name});
            $answer->{status} == 404 && $answer;
        }, "an answer $name");
        is(told($answer), '404 not_found not_sent', "$name: a retry finds no trace of it");
        is(told(send_at($gateway, {%{$case{$name}}, message => message})), 201, "$name: and the key is free");
    }
};

done;
