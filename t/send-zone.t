# The zone: its size, what it drops when it is full and what it never drops.

use Chatmaid::Test;
use Chatmaid::Test::Clock;
use Chatmaid::Test::Redis;

my $api = sandbox;

subtest 'chatmaid_zone and its kin at start' => sub {
    my %wrong = (
        'chatmaid_zone chatmaid;'             => qr/"chatmaid_zone" needs NAME:SIZE/,
        'chatmaid_zone :1m;'                  => qr/"chatmaid_zone" needs NAME:SIZE/,
        'chatmaid_zone chatmaid:1k;'          => qr/"chatmaid_zone" needs a size of at least 32k/,
        'chatmaid_zone chatmaid:x;'           => qr/"chatmaid_zone" needs a size/,
        'chatmaid_zone a:1m; chatmaid_zone b:1m;' => qr/"chatmaid_zone" directive is duplicate/,
        'chatmaid_idempotency maybe;'         => qr/"chatmaid_idempotency"/,
        'chatmaid_idempotency_ttl x;'         => qr/"chatmaid_idempotency_ttl"/,
        'chatmaid_idempotency_ttl 0;'         => qr/"chatmaid_idempotency_ttl" directive must not be 0/,
        'chatmaid_idempotency_window -1;'     => qr/"chatmaid_idempotency_window"/,
        'chatmaid_idempotency_wait soon;'     => qr/"chatmaid_idempotency_wait"/,
        'chatmaid_timeout 0;'                 => qr/"chatmaid_timeout" directive must not be 0/,
        'chatmaid_idempotency_scope a; chatmaid_idempotency_scope b;' => qr/"chatmaid_idempotency_scope" directive is duplicate/,
    );
    for my $text (sort keys %wrong) {
        my ($code, $said) = nginx_t(http => $text);
        is($code, 1, "$text refused");
        like($said, $wrong{$text}, "$text says so");
    }
    is((nginx_t(server => 'chatmaid_zone a:1m;'))[0], 1, 'only in http');
    is((nginx_t(http => 'chatmaid_zone a:32k; chatmaid_idempotency_wait 0; chatmaid_idempotency_window 0;'))[0], 0, 'what is right');
};

my $nginx = nginx(workers => 2, http => 'chatmaid_zone small:32k; chatmaid_retries 0;', gateway => 'chatmaid_sender +15550100001;');

sub text ($text)    { message(text => $text) }
sub sent ($k)       { post('/send', text("m $k"), 'Idempotency-Key' => $k) }

subtest 'full: the oldest finished record goes first' => sub {
    $api->fault({hold => 'before', match => {method => 'POST'}});
    my $held = later(POST => '/send', text('under way'), 'Idempotency-Key' => 'under-way');
    $api->wait_held;
    $api->fault(no_answer('after'));
    is(post('/send', text('unknown'), 'Idempotency-Key' => 'ambiguous')->{status}, 502, 'an ambiguous one');

    is(sent($_)->{status}, 201, "send $_") for 1 .. 60;
    is(replayed(sent(60)), 'replayed', 'the latest is there');
    is(replayed(sent(1)), 'new', 'the first is not');
    is(scalar(grep { $_->{content} eq 'm 1' } $api->messages), 1, 'Chatmaid knows its key');
    ok($nginx->logged(qr/\[error\].*zone is full/), 'the log says so');
    is(scalar(() = $nginx->error_log =~ /\[error\].*zone is full/g), 1, 'one');

    is(post('/send', text('other'), 'Idempotency-Key' => $_)->{status}, 422, "$_: its record is kept")
        for 'under-way', 'ambiguous';
    $api->release;
    is($held->result->{status}, 201, 'the one under way ends');
};

subtest 'no room for another one under way' => sub {
    $api->fault({hold => 'before', times => 0, match => {method => 'POST'}});
    my $agent = client(keepalive => 0);
    my @held  = map { $agent->later(POST => '/send', text("held $_"), 'Idempotency-Key' => "held $_" =~ s/ /-/r) } 1 .. 150;
    my ($full, @rest) = (0);
    wait_for(sub { @rest = grep { $_->done } @held; $agent->agent->ioloop->one_tick; $api->held + @rest >= 150 }, 'all of them');
    my @told = map { $_->result } @rest;
    ok(scalar(@told), 'some are refused');
    is(scalar(grep { $_->{status} == 503 && $_->{json}{code} eq 'store_unavailable' } @told), scalar(@told), 'as 503 store_unavailable');
    is(scalar(grep { $_->{json}{outcome} eq 'unknown' && $_->{headers}{'retry-after'} } @told), scalar(@told), 'with Retry-After');
    $api->clear_faults;
    $api->release;
    is(scalar(grep { $_->result->{status} == 201 } @held), 150 - @told, 'the others are sent');
    is(sent('after')->{status}, 201, 'there is room again');
};

# How often each answer was given.
sub tally (@answers) {
    my %count;
    $count{told($_)}++ for @answers;
    return join ', ', map { "$_: $count{$_}" } sort keys %count;
}

sub many ($nginx, @keys) {
    my @all;
    while (my @some = splice @keys, 0, 20) {
        push @all, map { $_->result } map { $nginx->later(POST => '/send', text("m $_"), 'Idempotency-Key' => $_) } @some;
    }
    return @all;
}

# Chatmaid fails, so the records stay ambiguous.
subtest 'full of ambiguous records' => sub {
    my $clock = clock;
    my $nginx = nginx(name => 'ambiguous', clock => $clock, http => 'chatmaid_zone small:64k; chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001; chatmaid_timeout 1h; chatmaid_idempotency_wait 0;', internal => 'proxy_read_timeout 1h;');
    my $errors = sub { scalar(my @lines = $nginx->logged(qr/\[error\].*zone is full of unfinished records: the oldest/)) };
    my $past   = sub ($seconds) {
        for (1 .. $seconds / 5) {               # a lease that is renewed stays one
            $clock->forward(5);
            $nginx->get('/health') for 1 .. 3;
        }
    };
    my $send = sub ($k) { $nginx->post('/send', text("m $k"), 'Idempotency-Key' => $k) };

    $api->fault({hold => 'before', match => {method => 'POST'}});
    my $held = $nginx->later(POST => '/send', text('held'), 'Idempotency-Key' => 'held');
    $api->wait_held;
    $api->fault({status => 500, times => 0});
    my @answers = many($nginx, map { "a-$_" } 1 .. 80);
    like(tally(@answers), qr/^502 upstream_error unknown: \d+, 503 store_unavailable unknown: [1-9]\d*$/, 'until there is no room');
    my $room = grep { $_->{status} == 502 } @answers;
    $past->(300);
    is(tally(many($nginx, map { "b-$_" } 1 .. 20)), '503 store_unavailable unknown: 20', 'five minutes later there is none');
    is($errors->(), 0, 'none has been dropped');

    $past->(310);
    is(tally(many($nginx, map { "c-$_" } 1 .. 20)), '502 upstream_error unknown: 20', 'after ten minutes the oldest make room');
    is($errors->(), 1, 'one line says so');
    is($nginx->post('/send', text('other'), 'Idempotency-Key' => 'held')->{status}, 422, 'the record of the one under way is there');
    is($nginx->post('/send', text('other'), 'Idempotency-Key' => "a-$room")->{status}, 422, 'and that of the youngest');

    # Chatmaid had taken the message: it still is one
    $api->clear_faults;
    $api->fault({status => 500, effect => 1, match => {method => 'POST'}});
    is(told($send->('taken')), '502 upstream_error unknown', 'one that Chatmaid has taken');
    $past->(620);
    $api->fault({status => 500, times => 0, match => {method => 'POST'}});
    is(tally(many($nginx, map { "d-$_" } 1 .. $room)), "502 upstream_error unknown: $room", 'is dropped in turn');
    is($errors->(), 2, 'ten minutes after the last one another line says so');
    $past->(620);
    $api->clear_faults;
    is(told($send->('taken')), 201, 'a retry is a new send');
    is(scalar(grep { $_->{content} eq 'm taken' } $api->messages), 1, 'with the same key: one message');

    $api->release;
    is($held->result->{status}, 201, 'the one under way ends');
};

# A worker that has just woken up may look at what another wrote a moment later by
# its clock: such a record is new, not older than all others.
subtest 'full of records of a later time' => sub {
    my $clock = clock;
    my $nginx = nginx(name => 'later', clock => $clock, http => 'chatmaid_zone small:64k; chatmaid_retries 0;',
        gateway => 'chatmaid_sender +15550100001; chatmaid_timeout 1h; chatmaid_idempotency_wait 0;');
    $api->fault({status => 500, times => 0});
    my @answers = many($nginx, map { "e-$_" } 1 .. 80);
    my $room    = grep { $_->{status} == 502 } @answers;
    is(scalar(grep { told($_) eq '503 store_unavailable unknown' } @answers), 80 - $room, 'full');
    $clock->forward(-60);
    is(tally(many($nginx, map { "f-$_" } 1 .. 20)), '503 store_unavailable unknown: 20', 'none makes room');
    is(tally(map { $nginx->post('/send', text('other'), 'Idempotency-Key' => "e-$_") } 1 .. $room),
        "422 idempotency_key_reused unknown: $room", 'all are there');
    $api->clear_faults;
};

# What Redis has confirmed needs no place here.
subtest 'ambiguous records, with Redis' => sub {
    my $redis = redis_server;
    my $nginx = nginx(name => 'confirmed', http => 'chatmaid_zone small:64k; chatmaid_retries 0; chatmaid_redis ' . $redis->url . ' timeout=30s;',
        gateway => 'chatmaid_sender +15550100001;');
    $api->fault({status => 500, times => 0, match => {method => 'POST'}});
    is(tally(many($nginx, map { "r-$_" } 1 .. 150)), '502 upstream_error unknown: 150', 'more than the zone has room for');
    $api->clear_faults;
    is(tally(map { $nginx->post('/send', text('other'), 'Idempotency-Key' => "r-$_") } 1, 150), '422 idempotency_key_reused unknown: 2', 'all are known');
    is($nginx->post('/send', text('m r-1'), 'Idempotency-Key' => 'r-1')->{status}, 201, 'and taken over');
};

# While Redis is away, what it does not know goes last, but it does go.
subtest 'a full zone while Redis is away' => sub {
    my $redis = redis_server;
    my $nginx = nginx(name => 'away', http => 'chatmaid_zone small:64k; chatmaid_retries 0; chatmaid_redis ' . $redis->url . ';',
        gateway => 'chatmaid_sender +15550100001;');
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
    is(tally(many($nginx, map { "s-$_" } 1 .. 150)), '201: 150', 'sends go on');
    is(replayed($nginx->post('/send', text('m s-150'), 'Idempotency-Key' => 's-150')), 'replayed', 'the latest are known');
    $redis->start;
    wait_for(sub { $redis->state_of(record_of('s-150')) eq 'done' }, 'Redis to be told');
    is($redis->cli('EXISTS', record_of('s-1')), 0, 'the first was dropped');
};

done;
