# chatmaid_rate at one gateway without a Redis: how many calls go at once and how
# many later, who is told that there is no place in time, and what costs nothing.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Time::HiRes qw(time);

my $api = sandbox;

# An account of its own for each case.
my %rates = (
    burst  => 'chatmaid_rate 5r/s burst=3;',
    late   => 'chatmaid_rate 6r/m burst=1; chatmaid_timeout 13s;',
    free   => 'chatmaid_rate 2r/m burst=2; chatmaid_timeout 5s;',
    again  => 'chatmaid_rate 2r/s burst=1; chatmaid_retries 2;',
    count  => 'chatmaid_rate 1r/m burst=1; chatmaid_timeout 5s;',
    polls  => 'chatmaid_rate 2r/m burst=2;',
    reads  => 'chatmaid_rate 30r/m burst=1;',
    off    => 'chatmaid_rate 5r/s burst=1; chatmaid_idempotency off;',
);
my $nginx = nginx(
    workers => 2,
    access  => 'pace=$chatmaid_pace_time code=$chatmaid_code id=$chatmaid_request_id',
    http    => 'chatmaid_sender +15550100001; limit_req_zone $server_port zone=slow:1m rate=2r/s; limit_req_zone $server_port zone=once:1m rate=1r/m;',
    server  => join("\n", $STATUS, (map { "location ^~ /$_/ { chatmaid_gateway /.$_/; chatmaid_account $_; chatmaid_rate 20r/s burst=5; }
            location ^~ /.$_/ { limit_req zone=$_" . ($_ eq 'slow' ? ' burst=20' : '') . '; %PROXY% proxy_pass https://chatmaid_api/; }' } qw(slow once)), (map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; $rates{$_} }" } sort keys %rates),
        'location ^~ /none/ { chatmaid_gateway /.chatmaid/; chatmaid_account none; }',
        'location ^~ /burst-too/ { chatmaid_gateway /.chatmaid/; chatmaid_account burst; }'),
);

sub sends_later ($path, @headers) { later(POST => url("/$path/send"), message, @headers) }

# The calls since the n-th: each came in its time, counted from when the callers
# began.  They may be late, for the way there takes its time, but never early.
sub keeps ($name, $start, $from, $interval, $burst, %want) {
    my @times = sort { $a <=> $b } map { $_->{time} - $start } $api->requests(from => $from + 1, %want);
    my @early = grep { $times[$_] < ($_ + 1 - $burst) * $interval - 0.005 } 0 .. $#times;
    is("@early", '', "$name: at most $burst at once, then one each ${interval}s") or diag "@times";
}


subtest 'a burst, then one after the other' => sub {
    my ($start, $before) = (time, $api->count);
    my @all = map { sends_later($_ % 2 ? 'burst' : 'burst-too') } 1 .. 12;
    is(join(' ', map { told($_->result) } @all), join(' ', (201) x 12), 'all are sent');
    keeps('all locations of the account', $start, $before, 0.2, 3);
    is($api->count, $before + 12, 'each called once');
};

subtest 'without the directive' => sub {
    is(told(post(url('/none/send'), message)), 201, 'a send');
    like(wait_for(sub { $nginx->access_log =~ m{^(.*/none/.*)$}m ? $1 : 0 }, 'its log line'), qr/pace=- /, 'no time');
};

subtest 'no place in time: told at once' => sub {
    my $before = $api->count;
    is(told(post(url('/late/send'), message)), 201, 'the first');
    my $start = time;
    my $next  = sends_later('late');
    wait_for(sub { metric('chatmaid_pace_waiting') == 1 }, 'it to have its place');
    is(told(post(url('/late/send'), message)), '429 rate_limited not_sent', 'the one after the next');
    my $answer = get(url('/late/phones'));
    is(told($answer), '429 rate_limited', 'a read');
    like($answer->{headers}{'retry-after'}, qr/\A(?:1[0-9]|20)\z/, 'with the time of its place');
    cmp_ok(time - $start, '<', 9, 'before their deadline') or diag time - $start;
    is(told($next->result), 201, 'the next');
    is($api->count, $before + 2, 'no other call');
    like(wait_for(sub { $nginx->access_log =~ m{^(.*/late/phones.*)$}m ? $1 : 0 }, 'its log line'), qr{ pace=0\.\d+ code=rate_limited}, 'the log says so');
};

subtest 'what makes no call costs nothing' => sub {
    my ($k, $m) = (key, message);
    is(told(post(url('/free/send'), $m, 'Idempotency-Key' => $k)), 201, 'a send');
    for (1 .. 5) {
        is(told(post(url('/free/send'), $m, 'Idempotency-Key' => $k)), 201, 'a replay');
        is(told(post(url('/free/send'), message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'a key used again');
        is(told(post(url('/free/send'), {to => 'x'})), '400 invalid_request not_sent', 'what is invalid');
    }
    is(told(post(url('/free/send'), message)), 201, 'the second place is still there');
    is(told(post(url('/free/send'), message)), '429 rate_limited not_sent', 'a third is not');
};

subtest 'each try of a retry has a place' => sub {
    my ($start, $before) = (time, $api->count);
    $api->fault({status => 503, times => 2});
    is(told(post(url('/again/send'), message)), 201, 'the third try');
    is($api->count, $before + 3, 'three calls');
    keeps('tries', $start, $before, 0.5, 1);
};

subtest 'without records' => sub {
    my ($start, $before) = (time, $api->count);
    is(told($_->result), 201, 'a send') for map { sends_later('off') } 1 .. 3;
    keeps('sends', $start, $before, 0.2, 1);
};

subtest 'what is counted' => sub {
    is(told(post(url('/count/send'), message)), 201, 'a send');
    my $before = metrics;
    is(told(post(url('/count/send'), message)), '429 rate_limited not_sent', 'a send that is refused') for 1 .. 3;
    is(told(post(url('/none/send'), message)), 201, 'one without a pace');
    counted('chatmaid_pace_refused_total', $before->{chatmaid_pace_refused_total} + 3, 'three');
    is(metric('chatmaid_pace_wait_seconds_count'), $before->{chatmaid_pace_wait_seconds_count}, 'no wait');
    is(metric('chatmaid_pace_waiting'), 0, 'nobody waits');
    is($before->{chatmaid_pace_wait_seconds_count}, 12 + 2 + 2 + 3 + 3 + 1, 'before: each call that had a place');
    my ($pace) = grep { $_->{account} eq 'burst' } @{get(url('/status?format=json'))->{json}{paces}};
    is_deeply($pace, {account => 'burst', environment => 'test', rate => '5r/s', burst => '3', value => 0}, 'the pace of an account');
};

subtest 'a poll that has no place before the end of its wait' => sub {
    my ($before, $refused) = ($api->count, metric('chatmaid_pace_refused_total'));
    my $id     = post(url('/polls/send'), message)->{json}{id};
    my $answer = get(url("/polls/messages/$id?wait=3&until=read"));
    is(told($answer), 200, 'the wait ends with what is known');
    is($answer->{headers}{'chatmaid-wait'}, 'timeout', 'as a timeout');
    is($api->count, $before + 2, 'a send and a read were made');
    is(metric('chatmaid_pace_refused_total'), $refused, 'nothing is refused');
    is(metric('chatmaid_pace_waiting'), 0, 'nobody waits');
};

subtest 'limit_req in the internal location comes after the place' => sub {
    my ($start, $before) = (time, $api->count);
    my @all = map { sends_later('slow') } 1 .. 4;
    is(join(' ', map { told($_->result) } @all), join(' ', (201) x 4), 'it delays');
    keeps('then its rate is kept', $start, $before, 0.5, 1);
    is(told(sends_later('once')->result), 201, 'a send');
    is(told(sends_later('once')->result), '503 unavailable not_sent', 'or it refuses');
};

subtest 'a read whose caller leaves makes room' => sub {
    my ($start, $before) = (time, $api->count);
    is(told(get(url('/reads/phones'))), 200, 'a read');
    my @all = map { later(GET => url("/reads/phones/$_")) } 1 .. 3;
    $all[0]->abort;
    is(told($_->result), '404 not_found', 'a read') for @all[1, 2];
    is($api->count, $before + 3, 'each called once');
    is($api->count(path => '/v1/phone-numbers/1'), 0, 'the one that nobody waits for is not made');
    keeps('reads', $start, $before, 2, 1);
};

subtest 'a send whose caller leaves goes on' => sub {
    is(told(get(url('/reads/phones'))), 200, 'a read');
    my $m    = message;
    my $send = later(POST => url('/reads/send'), $m, 'X-Request-Id' => 'left');
    wait_for(sub { metric('chatmaid_pace_waiting') == 1 }, 'it to wait');
    $send->abort;
    ok(wait_for(sub { made($m) == 1 }), 'its message is sent');
};

done;
