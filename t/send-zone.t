# The zone: its size, what it drops when it is full and what it never drops.

use Chatmaid::Test;

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
    ok($nginx->logged(qr/\[warn\].*zone is full/), 'a warning');
    is(scalar(() = $nginx->error_log =~ /\[warn\].*zone is full/g), 1, 'one');

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

done;
