# A 429 holds back the account's other calls on this nginx: they wait for that
# time, or are answered 429 where it does not fit, and Chatmaid is not asked.

use Chatmaid::Test;
use List::Util qw(uniq);
use Time::HiRes qw(time);

debug_logs;

my $shop = api_key('test');
my $api  = sandbox(keys => [(map { {key => $_, account => 'main'} } test_key, live_key), {key => $shop, account => 'shop'}]);

# An account of its own for each case.  Each has four locations: one that asks
# and gives up at once, one that has no time to wait, one that does not retry, and
# a patient one.
my @accounts = qw(held waits ends reload capped leaves done page);
my %kind = (
    asks    => 'chatmaid_retries 0;',
    hasty   => 'chatmaid_timeout 3s;',
    once    => 'chatmaid_retries 0; chatmaid_timeout 25s;',
    patient => 'chatmaid_timeout 25s;',
);
my $nginx = nginx(
    workers  => 2,
    access   => 'pid=$pid',
    files    => {live => live_key, shop => $shop},
    http     => 'chatmaid_sender +15550100001;',
    internal => 'proxy_connect_timeout 20s; proxy_read_timeout 20s;',  # dozens are let go at once
    server   => "listen 127.0.0.1:%PORT:both% reuseport;\n" . join "\n",
        (map { my $account = $_; map { "location ^~ /$account-$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $account; $kind{$_} }" } sort keys %kind } @accounts),
        'location ^~ /live/ { chatmaid_gateway /.chatmaid/; chatmaid_account held; chatmaid_api_key_file %DIR%/live; chatmaid_timeout 3s; }',
        'location ^~ /shop/ { chatmaid_gateway /.chatmaid/; chatmaid_account shop; chatmaid_api_key_file %DIR%/shop; chatmaid_timeout 3s; }',
);


# To both workers, as the kernel deals connections out by their ports.
sub at ($path)  { 'http://127.0.0.1:' . $nginx->port('both') . "/$path" }
sub sends_later ($path, $m = message, @headers) { later(POST => at("$path/send"), $m, @headers) }
sub reads_later ($path) { later(GET => at("$path/phones")) }

sub workers_of ($path) { scalar keys %{{map { $_ => 1 } $nginx->access_log =~ m{ /\Q$path\E/.* pid=(\d+)$}mg}} }

# Has a call of that account refused, and says when.
sub refuse ($account, $seconds) {
    $api->fault({status => 429, json => {success => \0, message => ['slow down'], retryAfter => $seconds}});
    my $answer = sends_later("$account-asks")->result;
    is(told($answer), '429 rate_limited not_sent', "$account: a call is refused");
    is($answer->{headers}{'retry-after'}, $seconds, "$account: with its time");
    return ($api->last->{ended}, $api->count);
}

sub told_alike ($name, $want, @answers) {
    is(join(', ', uniq sort map { told($_) } @answers), $want, "$name: $want");
}


subtest 'those that have no time are answered at once' => sub {
    my (undef, $before) = refuse('held', 20);
    my $start = time;
    my $m     = message;
    my @sends = map { sends_later('held-hasty', message) } 1 .. 24;
    my @reads = map { reads_later('held-hasty') } 1 .. 24;
    my $keyed = sends_later('held-hasty', $m, 'Idempotency-Key' => 'held');
    my @all   = map { $_->result } @sends, @reads;

    told_alike('sends', '429 rate_limited not_sent', map { $_->result } @sends);
    told_alike('reads', '429 rate_limited', map { $_->result } @reads);
    is(scalar(grep { $_->{headers}{'retry-after'} !~ /\A(?:1[0-9]|20)\z/ } @all), 0, 'with the rest of the time');
    is(scalar(grep { $_->{headers}{'content-type'} ne 'application/problem+json' } @all), 0, 'as problems');
    is(told($keyed->result), '429 rate_limited not_sent', 'one with a key');
    is($api->count, $before, 'Chatmaid was not asked');
    is(workers_of('held-hasty'), 2, 'by both workers');
    cmp_ok(time - $start, '<', 15, 'before that time is over');

    is(told(sends_later($_)->result), 201, "$_: not held back") for qw(shop live waits-hasty);
    is(told(get(at("$_/phones"))), 200, "$_: a read") for qw(shop live waits-hasty);
    is(told(post(at('held-hasty/send'), {to => 'x'})), '400 invalid_request not_sent', 'what is invalid is told so');
};

subtest 'those that have time wait' => sub {
    my ($since, $before) = refuse('waits', 8);
    is(told(sends_later('waits-hasty')->result), '429 rate_limited not_sent', 'one that has none does not');
    my @sends = ((map { sends_later('waits-patient') } 1 .. 12), map { sends_later('waits-once') } 1 .. 12);
    my @reads = map { reads_later('waits-patient') } 1 .. 12;
    told_alike('sends', 201, map { $_->result } @sends);
    told_alike('reads', 200, map { $_->result } @reads);
    my @calls = $api->requests(from => $before + 1);
    is(scalar @calls, 36, 'each called once');
    is(scalar(grep { $_->{time} - $since < 7.9 } @calls), 0, 'after that time');
    is(workers_of('waits-patient'), 2, 'by both workers');
};

subtest 'until it is over' => sub {
    refuse('ends', 1);
    wait_for(sub { told(sends_later('ends-hasty')->result) eq '201' }, 'its end');
    is(told(reads_later('ends-hasty')->result), 200, 'a read as well');
};

subtest 'over a reload' => sub {
    refuse('reload', 30);
    my $before = $api->count;
    $nginx->reload;
    my @all = map { sends_later('reload-hasty') } 1 .. 12;
    told_alike('sends', '429 rate_limited not_sent', map { $_->result } @all);
    is($api->count, $before, 'Chatmaid was not asked');
    like($all[0]->result->{headers}{'retry-after'}, qr/\A(?:[12]?[0-9]|30)\z/, 'the rest of the time');
};

subtest 'for a minute at most' => sub {
    refuse('capped', 3600);
    my $before = $api->count;
    my $answer = sends_later('capped-patient')->result;
    is(told($answer), '429 rate_limited not_sent', 'no wait so long');
    like($answer->{headers}{'retry-after'}, qr/\A(?:[45][0-9]|60)\z/, 'a minute is left');
    is($api->count, $before, 'Chatmaid was not asked');
};

subtest 'by a page of a proxy before Chatmaid too' => sub {
    $api->fault({status => 429, body => '<html>', type => 'text/html', headers => {'Retry-After' => 20}});
    my $answer = sends_later('page-asks')->result;
    is(told($answer), '429 rate_limited not_sent', 'the same answer to the caller');
    is($answer->{headers}{'retry-after'}, 20, 'with its time');
    my $before = $api->count;
    is(told(sends_later('page-hasty')->result), '429 rate_limited not_sent', 'another call');
    is($api->count, $before, 'Chatmaid was not asked');
};

subtest 'what needs no call is not held back' => sub {
    my $m     = message;
    my $first = sends_later('done-patient', $m, 'Idempotency-Key' => 'done')->result;
    refuse('done', 20);
    my $again = sends_later('done-hasty', $m, 'Idempotency-Key' => 'done')->result;
    is(told($again), 201, 'a replay');
    is($again->{body}, $first->{body}, 'of what was answered');
    is(told(sends_later('done-hasty', message, 'Idempotency-Key' => 'done')->result), '422 idempotency_key_reused unknown', 'a key used again');
    is(told(get(at('done-hasty/nothing'))), '404 not_found', 'no endpoint');

    my $other = message;
    is(told(sends_later('done-hasty', $other, 'Idempotency-Key' => 'other')->result), '429 rate_limited not_sent', 'a new one is');
    is(told(sends_later('done-hasty', message, 'Idempotency-Key' => 'other')->result), '429 rate_limited not_sent', 'and leaves no record');
};

subtest 'a caller that leaves while it waits' => sub {
    my ($since) = refuse('leaves', 2);
    my $m    = message;
    my $from = length $nginx->error_log;
    my $send = sends_later('leaves-patient', $m, 'X-Request-Id' => 'leaves-1');
    my $read = later(GET => at('leaves-patient/phones'), undef, 'X-Request-Id' => 'leaves-2');
    wait_for(sub { 2 == (() = substr($nginx->error_log, $from) =~ /chatmaid account held back/g) }, 'both to be there');
    $_->abort for $send, $read;
    ok(wait_for(sub { made($m) == 1 }), 'its message is sent');
    cmp_ok($api->last(method => 'POST')->{time} - $since, '>', 1.9, 'after that time');
    is(told(reads_later('leaves-patient')->result), 200, 'a later read');
    is($api->count(request_id => 'leaves-2'), 0, 'the one that nobody waits for is not made');
};

done;
