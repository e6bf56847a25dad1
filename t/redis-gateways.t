# Two gateways on one Redis: what one has claimed, the other waits for, replays,
# refuses or takes over.  The sandbox's own dedup is off, so a second call would
# be a second message; where a call is to be repeated it is on.  A send makes one try:
# what comes after a failed one is the next send's to do.

use Chatmaid::Test;
use Chatmaid::Test::Redis;

my $shop  = api_key('test');
my $next  = api_key('test');
my $api   = sandbox(dedup => 0, keys => [(map { {key => $_, account => 'main'} } test_key, live_key, $next),
    {key => $shop, account => 'shop'}]);
my $redis = redis_server;

sub start ($name) {
    return nginx(name => $name, workers => 2, files => {live_key => live_key, shop_key => $shop},
        http    => 'chatmaid_redis ' . $redis->url . ' timeout=30s prefix=shared:; chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001;', server => <<'END');
        chatmaid_sender +15550100001;
        location ^~ /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_wait 0; }
        location ^~ /hasty/     { chatmaid_gateway /.hasty/; }
        location ^~ /scoped/    { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_scope $http_x_service; }
        location ^~ /live/      { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/live_key; }
        location ^~ /shop/      { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/shop_key; chatmaid_account shop; }
        location ^~ /.hasty/ { %PROXY% proxy_pass https://chatmaid_api/; proxy_read_timeout 200ms; }
END
}

my ($one, $two) = map { start($_) } qw(one two);


sub send_at ($gateway, $m, $k, $path = 'chatmaid', @more) {
    return $gateway->post($gateway->url("/$path/send"), $m, 'Idempotency-Key' => $k, @more);
}

sub sends_later ($gateway, $m, $k, $times = 1) {
    my @all = map { $gateway->later(POST => '/send', $m, 'Idempotency-Key' => $k) } 1 .. $times;
    return wantarray ? @all : $all[0];
}

# The keys that Chatmaid got with this text.
sub keys_of ($m) {
    return map { Mojo::JSON::decode_json($_->{body})->{idempotencyKey} }
        grep { index($_->{body}, qq("$m->{text}")) >= 0 } $api->requests(path => '/v1/messages/send');
}

sub shared_record (@of) { record_of(@of) =~ s/^chatmaid:/shared:/r }
sub record ($k) { $redis->cli('GET', shared_record($k)) }


subtest 'done at one: replayed at the other' => sub {
    for my $pair ([$one, $two], [$two, $one]) {
        my ($k, $m) = (key, message);
        my ($first, $second) = map { send_at($_, $m, $k) } @$pair;
        is(told($first), 201, 'first');
        is($second->{body}, $first->{body}, 'byte for byte');
        is($second->{headers}{'idempotent-replayed'}, 'true', 'a replay');
        is(told(send_at($pair->[1], message, $k)), '422 idempotency_key_reused unknown', 'another message');
        is(made($m), 1, 'one message');
    }
};

subtest 'in flight at one: the other waits, then replays' => sub {
    my ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my $owner = sends_later($one, $m, $k);
    $api->wait_held;
    my @waiters = (sends_later($two, $m, $k, 4), sends_later($one, $m, $k, 2));
    is(told(send_at($two, $m, $k, 'impatient')), '409 idempotency_in_flight unknown', 'no wait');
    is(told(send_at($two, message, $k)), '422 idempotency_key_reused unknown', 'another message');
    is(scalar(grep { $_->done } @waiters), 0, 'they wait');
    $api->release;
    my @answers = map { $_->result } $owner, @waiters;
    is(scalar(grep { $_->{status} == 201 } @answers), 7, 'all answered');
    is(scalar(keys %{{map { $_->{body} => 1 } @answers}}), 1, 'alike');
    is(scalar(grep { $_->{headers}{'idempotent-replayed'} } @answers), 6, 'six replays');
    is(made($m), 1, 'one message');
};

subtest 'the owner fails: one waiter at the other takes over' => sub {
    for my $fault (no_answer('before'), {status => 500},
        {status => 404, json => {success => \0, message => ['who?']}})
    {
        my ($k, $m) = (key, message);
        $api->fault({hold => 'before', %$fault});
        my $owner = sends_later($one, $m, $k);
        $api->wait_held;
        my @waiters = sends_later($two, $m, $k, 4);
        $api->release;
        my @answers = map { $_->result } $owner, @waiters;
        is(scalar(grep { $_->{status} == 201 } @answers), 4, 'all but the first');
        my @keys = keys_of($m);
        is(scalar(@keys), 2, 'two tries');
        is($keys[0], $keys[1], 'with the same key');
        is(made($m), 1, 'one message');
    }
};

subtest 'ambiguous, then refused, at either gateway: never a second message, never lost' => sub {
    $api->config(dedup => 1);
    my %refusals = (400 => 'invalid_request', 404 => 'not_found', 429 => 'rate_limited');
    my %first    = ('closed before' => no_answer('before'), 'closed after' => no_answer('after'),
        '500' => {status => 500, effect => 1}, 'timeout' => {hold => 'after'});

    for my $name (sort keys %first) {
        for my $turn (0, 1) {
            my ($k, $m) = (key, message);
            my @at      = $turn ? ($two, $one) : ($one, $two);
            my $case    = "$name at gateway " . ($turn + 1);
            my $another = sub ($when) {
                is(told(send_at($_, message, $k)), '422 idempotency_key_reused unknown', "$case: another message $when") for @at;
            };

            $api->fault($first{$name});
            my $answer = send_at($at[0], $m, $k, $name eq 'timeout' ? 'hasty' : 'chatmaid');
            like(told($answer), $name eq 'timeout' ? qr/^504 upstream_timeout unknown$/ : qr/^502 upstream_error unknown$/, $case);
            $another->('when it is ambiguous');

            for my $status (sort keys %refusals) {
                $api->fault({status => $status, json => {success => \0, message => ['no'], retryAfter => 1}});
                @at = reverse @at;
                is(told(send_at($at[0], $m, $k)), "$status $refusals{$status} unknown", "$case: a retry is refused with $status");
                $another->("after $status");
            }

            $api->release;
            my @all = map { send_at($_, $m, $k) } @at;
            is(told($all[0]), 201, "$case: a later retry");
            is($all[1]{body}, $all[0]{body}, "$case: the other gateway says the same");
            $another->('at the end');
            my @made = messages_of($m);
            is(scalar(@made), 1, "$case: one message");
            is($all[0]{json}{id}, $made[0]{id}, "$case: its id");
            is(scalar(keys %{{map { $_ => 1 } keys_of($m)}}), 1, "$case: one key");
        }
    }
    $api->config(dedup => 0);
};

subtest 'accounts, environments and scopes on one Redis' => sub {
    my ($k, $m) = (key, message);
    my $all = sub ($gateway) {
        return (map { send_at($gateway, $m, $k, $_) } qw(chatmaid live shop)),
            map { send_at($gateway, $m, $k, 'scoped', 'X-Service' => $_) } qw(a b);
    };
    my @first  = $all->($one);
    my @second = $all->($two);
    is(scalar(keys %{{map { $_->{json}{id} => 1 } @first}}), 5, 'nothing is replayed across them');
    is($second[$_]{body}, $first[$_]{body}, "within each it is: $_") for 0 .. 4;
    is(made($m), 5, 'five messages');
    is($redis->cli('EXISTS', shared_record($k), shared_record($k, 'live:'), shared_record($k, 'test:shop'), shared_record($k, 'test:', 'a'),
        shared_record($k, 'test:', 'b')), 5, 'five records');
};

subtest 'a rotated key' => sub {
    my ($k, $m) = (key, message);
    my $first = send_at($one, $m, $k);
    $two->key($next)->reload;
    is(send_at($two, $m, $k)->{body}, $first->{body}, 'replayed at a gateway with the new key');
    ($k, $m) = (key, message);
    $first = send_at($two, $m, $k);
    is(told($first), 201, 'a send with the new key');
    ok($api->last(path => '/v1/messages/send')->{key} eq $next, 'went with it');
    is(send_at($one, $m, $k)->{body}, $first->{body}, 'replayed at a gateway with the old key');
};

subtest 'what stands in Redis' => sub {
    $redis->cli('FLUSHALL');
    my %state = (done => undef, ambiguous => no_answer('before'), in_flight => {hold => 'before'});
    my (%key, %text, @held);
    for my $state (sort keys %state) {
        ($key{$state}, $text{$state}) = ("secret-order-$state", "Secret text $state");
        $api->fault($state{$state}) if $state{$state};
        push @held, sends_later($one, {to => '+15550100077', text => $text{$state}}, $key{$state});
        $state eq 'in_flight' ? $api->wait_held : $held[-1]->result;
    }
    $one->post('/send', message);

    my @names = sort split /\n/, $redis->cli('KEYS', '*');
    my %named = map { shared_record($key{$_}) => 1 } keys %key;
    is(scalar(@names), 4, 'a record for each');
    is(scalar(grep { $named{$_} } @names), 3, 'named by account, scope and operation key');
    is(scalar(grep { !/^shared:op:[0-9a-f]{64}$/ } @names), 0, 'each a digest');
    cmp_ok($redis->cli('PTTL', $_), '>', 0, "$_ has a ttl") for @names;

    for my $state (sort keys %state) {
        my %record = %{$redis->record(shared_record($key{$state}))};
        is($record{version}, 2, "$state: its version");
        is($record{state}, $state, "$state: its state");
        like($record{fingerprint}, qr/^[0-9a-f]{64}$/, "$state: its fingerprint");
        my $answer = delete $record{answer} // '';
        is(index($answer, $text{$state}) > 0, $state eq 'done', "$state: it holds an answer only when it is done");
        my $rest = join ' ', %record;
        is(index($rest, $_), -1, "$state: nothing of \"$_\" in the rest") for $text{$state}, $key{$state}, '5550100077', '5550100001';
    }

    my $all = join "\n", map { $redis->cli('GET', $_) } @names;
    is(index($all, $_), -1, 'no API key') for test_key, live_key, $shop, $next;
    is(index($all, $_), -1, 'no operation key') for values %key;
    my $ttl = $redis->cli('PTTL', shared_record($key{done}));
    ok($ttl > 86_000_000 && $ttl <= 86_400_000, 'kept for a day by default');
    $api->release;
    $_->result for @held;
};

subtest 'a record of an unknown version is left alone' => sub {
    my ($k, $m) = (key, message);
    my $sends = $api->sends;
    $redis->cli('SET', shared_record($k), '3 done');
    is(told(send_at($_, $m, $k)), '503 store_unavailable unknown', 'a claim') for $one, $two;
    is($api->sends, $sends, 'nothing is sent');
    is(record($k), '3 done', 'it is as it was');

    for my $end (['finished', undef, '201'], ['failed', no_answer('before'), '502 upstream_error unknown'],
        ['refused', {status => 404, json => {success => \0, message => ['who?']}}, '404 not_found unknown'])
    {
        my ($name, $fault, $want) = @$end;
        ($k, $m) = (key, message);
        $api->fault({hold => 'before', %{$fault // {}}});
        my $held = sends_later($one, $m, $k);
        $api->wait_held;
        my $as_it_was = record($k) =~ s/^2/3/r;
        $redis->cli('SET', shared_record($k), $as_it_was);
        $api->release;
        is(told($held->result), $want, "$name meanwhile");
        is(record($k), $as_it_was, "$name: it is as it was");
    }
};

subtest 'a key of another type' => sub {
    my ($k, $m) = (key, message);
    $redis->cli('RPUSH', shared_record($k), 'something else');
    is(told(send_at($one, $m, $k)), '503 store_unavailable unknown', 'counts as a record of another version');
    is($redis->cli('LRANGE', shared_record($k), 0, -1), 'something else', 'it is as it was');
    is(made($m), 0, 'no message');
};

# The owner is slow, and loses its record to the other; both get an answer in the end.
subtest 'two answers to one operation: the one that was recorded first stays' => sub {
    $api->config(dedup => 1);
    my ($k, $m) = (key, message);
    $api->fault({hold => 'after'});
    my $slow = sends_later($one, $m, $k);
    $api->wait_held(1);
    my $taken = record($k) =~ s/^(2 in_flight [0-9a-f]+ \d+) [0-9a-f]+ \d+/"$1 " . 'f' x 32 . ' 1'/er;
    $redis->cli('SET', shared_record($k), $taken, 'KEEPTTL');

    my ($message) = messages_of($m);
    $api->fault({status => 201, json => {success => \1, data => {id => $message->{id}, content => 'as the other was told'}}});
    my $first = send_at($two, $m, $k);
    is(told($first) . ' ' . replayed($first), '201 new', 'the other takes over');
    like($first->{body}, qr/as the other was told/, 'and answers');
    $api->release;
    is(told($slow->result), 201, 'the slow one is answered too');
    is(send_at($_, $m, $k)->{body}, $first->{body}, 'a replay says what was recorded first') for $one, $two;
    is(made($m), 1, 'one message');
};

subtest 'a gateway dies between claim and answer' => sub {
    $api->config(dedup => 1);
    my @all;
    for my $when (qw(before after)) {
        my ($k, $m) = (key, message);
        $api->fault({hold => $when});
        push @all, [$when, $m, $k, scalar sends_later($one, $m, $k)];
        $api->wait_held(scalar @all);
        push @{$all[-1]}, scalar sends_later($two, $m, $k);
    }
    $one->crash;

    for my $case (@all) {
        my ($when, $m, $k, $lost, $waiter) = @$case;
        is($lost->result->{status}, 0, "$when the effect: its caller hears nothing");
        my $answer = $waiter->result;
        is(told($answer), 201, "$when the effect: the one that waited at the other is answered");
        is($answer->{headers}{'idempotent-replayed'}, undef, "$when the effect: it took over");
        my @keys = keys_of($m);
        is(scalar(@keys), 2, "$when the effect: two tries");
        is($keys[0], $keys[1], "$when the effect: with the same key");
        is((messages_of($m))[0]{id}, $answer->{json}{id}, "$when the effect: its id");
        is(send_at($two, $m, $k)->{body}, $answer->{body}, "$when the effect: recorded");
    }
    $api->release;
    is(made($_->[1]), 1, "$_->[0] the effect: one message") for @all;

    $one->start;
    is(send_at($one, $all[0][1], $all[0][2])->{headers}{'idempotent-replayed'}, 'true', 'started again it replays');
};

done;
