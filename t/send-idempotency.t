# One operation, one message: the states of a record, in the zone alone and in
# Redis.  The sandbox's own dedup is off, so a second call would be a second
# message.  A send makes one try: what a failed one leaves is what this is about.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Time::HiRes qw(time);

my $api   = sandbox(dedup => 0);
my $redis = redis_server;
my ($nginx, $store);

sub start ($name) {
    $store = $name;
    $nginx = nginx(name => $name, workers => 2, files => {live_key => live_key},
        http => 'chatmaid_retries 0; ' . ($name eq 'redis' ? 'chatmaid_redis ' . $redis->url . ' timeout=30s;' : ''), gateway => 'chatmaid_sender +15550100001;', servers => <<'END');
    server {
        listen 127.0.0.1:%PORT:more%;
        chatmaid_sender +15550100001;
        location /impatient/ { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_wait 0; }
        location /short/     { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_wait 200ms; }
        location /off/       { chatmaid_gateway /.chatmaid/; chatmaid_idempotency off; }
        location /scoped/    { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_scope $http_x_service; }
        location /windowless/ { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_window 0; }
        location /windowed/  { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_window 2s; }
        location /brief/     { chatmaid_gateway /.chatmaid/; chatmaid_idempotency_ttl 300ms; }
        location /hasty/     { chatmaid_gateway /.chatmaid/; chatmaid_timeout 1s; }
        location /live/      { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/live_key; }
        location /shop/      { chatmaid_gateway /.chatmaid/; chatmaid_account shop; }
        location /.chatmaid/ { %PROXY% proxy_pass https://127.0.0.1:%API%/; proxy_read_timeout 20s; }
    }
END
}


sub at ($path)  { 'http://127.0.0.1:' . $nginx->port('more') . $path }
sub window ()   { int(time / 2) }            # of /windowed/
sub ids (@all)  { join ' ', map { $_->{json}{id} // $_->{status} } @all }

# What made of it: how many messages have this text.


for my $name (qw(zone redis)) {
    start($name);
    states();
}

sub states () {

subtest "$store: done: replayed" => sub {
    my ($k, $m) = (key, message);
    my $first  = post('/send', $m, 'Idempotency-Key' => $k);
    my $second = post('/send', $m, 'Idempotency-Key' => $k);
    is($first->{status}, 201, 'first');
    is($second->{status}, 201, 'second');
    is($second->{body}, $first->{body}, 'byte for byte');
    is($first->{headers}{'idempotent-replayed'}, undef, 'the first is no replay');
    is($second->{headers}{'idempotent-replayed'}, 'true', 'the second is');
    is($second->{headers}{'idempotency-key'}, $k, 'the key');
    is(made($m), 1, 'one message');

    $nginx->reload;
    is(post('/send', $m, 'Idempotency-Key' => $k)->{body}, $first->{body}, 'over a reload');
    is(post('/send', {to => $m->{to}, content => $m->{text}}, 'Idempotency-Key' => $k)->{body},
        $first->{body}, 'by another spelling');
};

subtest "$store: another message under the same key" => sub {
    my ($k, $m) = (key, message);
    post('/send', $m, 'Idempotency-Key' => $k);
    is(told(post('/send', message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'done');

    ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my $held = later(POST => '/send', $m, 'Idempotency-Key' => $k);
    $api->wait_held;
    is(told(post('/send', message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'in flight');
    $api->release;
    is($held->result->{status}, 201, 'the held one');

    ($k, $m) = (key, message);
    $api->fault(no_answer('after'));
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), '502 upstream_error unknown', 'ambiguous');
    is(told(post('/send', message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'it too');
};

subtest "$store: in flight: waits, then replays" => sub {
    my ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my @all = map { later(POST => '/send', $m, 'Idempotency-Key' => $k) } 1 .. 6;
    $api->wait_held;
    is(told(post(at('/impatient/send'), $m, 'Idempotency-Key' => $k)), '409 idempotency_in_flight unknown', 'no wait');
    my $short = post(at('/short/send'), $m, 'Idempotency-Key' => $k);
    is(told($short), '409 idempotency_in_flight unknown', 'a short wait');
    is($short->{headers}{'retry-after'}, 1, 'Retry-After');
    $api->release;
    my @answers = map { $_->result } @all;
    is(scalar(grep { $_->{status} == 201 } @answers), 6, 'all answered');
    is(scalar(keys %{{map { $_->{body} => 1 } @answers}}), 1, 'alike');
    is(scalar(grep { $_->{headers}{'idempotent-replayed'} } @answers), 5, 'five replays');
    is(made($m), 1, 'one message');
};

subtest "$store: the owner fails: one waiter takes over" => sub {
    for my $fault (no_answer('before', hold => 'before'), {hold => 'before', status => 500},
        {hold => 'before', status => 429, json => {success => \0, message => ['slow down'], retryAfter => 1}})
    {
        my ($k, $m) = (key, message);
        my $before = $api->sends;
        $api->fault($fault);
        my @all = map { later(POST => '/send', $m, 'Idempotency-Key' => $k) } 1 .. 5;
        $api->wait_held;
        $api->release;
        my @answers = map { $_->result } @all;
        is(scalar(grep { $_->{status} == 201 } @answers), 4, 'all but the first');
        is($api->sends - $before, 2, 'two tries');
        is(made($m), 1, 'one message');
        my @keys = map { $_->{body} =~ /"idempotencyKey":"(\w+)"/ } ($api->requests(path => '/v1/messages/send'))[-2, -1];
        is($keys[0], $keys[1], 'with the same key');
    }
};

subtest "$store: ambiguous: taken over, and never forgotten" => sub {
    my ($k, $m) = (key, message);
    $api->fault(no_answer('before'), {status => 400, json => {success => \0, message => ['no']}},
        {status => 429, json => {success => \0, message => ['no'], retryAfter => 2}});
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), '502 upstream_error unknown', 'no answer');
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), '400 invalid_request unknown', 'refused: of the operation nothing is known');
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), '429 rate_limited unknown', 'again');
    is(told(post('/send', message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'the record stays');
    is(post('/send', $m, 'Idempotency-Key' => $k)->{status}, 201, 'a later try');
    is(post('/send', $m, 'Idempotency-Key' => $k)->{headers}{'idempotent-replayed'}, 'true', 'is recorded');
};

subtest "$store: refused or not sent: forgotten" => sub {
    my ($k, $m) = (key, message);
    $api->fault({status => 404, json => {success => \0, message => ['who?']}});
    is(told(post('/send', $m, 'Idempotency-Key' => $k)), '404 not_found not_sent', 'refused');
    is(post('/send', message, 'Idempotency-Key' => $k)->{status}, 201, 'the key is free for another message');
};

subtest "$store: keyless sends" => sub {
    my $m = message;
    my @two = map { post('/send', $m) } 1 .. 2;
    is(ids($two[1]), ids($two[0]), 'equal ones are one');
    is(made($m), 1, 'one message');
    my $k = $two[0]{headers}{'idempotency-key'};
    is(ids(post('/send', $m, 'Idempotency-Key' => $k)), ids($two[0]), 'its key sent back names it');

    $m = message;
    isnt(ids(post(at('/windowless/send'), $m)), ids(post(at('/windowless/send'), $m)), 'no window: each is one');

    # Across the border of a window, but less than a window after the first: again
    # where the machine was too slow for that.
    my ($first, $next, $start, $sent);
    do {
        $m = message;
        wait_for(sub { time / 2 - window > 0.6 }, 'the second half of a window');
        $start = time;
        my $window = window;
        $first = post(at('/windowed/send'), $m);
        $sent  = time;
        $start = 0 if window != $window;
        wait_for(sub { window > $window }, 'the next window');
        $next = post(at('/windowed/send'), $m);
    } until time - $start < 2;
    is(ids($next), ids($first), 'found across the border');
    is($next->{headers}{'idempotency-key'}, $first->{headers}{'idempotency-key'}, 'under its key');
    wait_for(sub { time - $sent > 2.1 }, 'a window after the first');
    isnt(ids(post(at('/windowed/send'), $m)), ids($first), 'a window later it is another send');
};

subtest "$store: what records are told apart by" => sub {
    my ($k, $m) = (key, message);
    my @all = map { post($_, $m, 'Idempotency-Key' => $k) } '/send', at('/live/send'), at('/shop/send');
    push @all, post(at('/scoped/send'), $m, 'Idempotency-Key' => $k, 'X-Service' => $_) for 'a', 'b';
    is(scalar(keys %{{map { $_->{json}{id} => 1 } @all}}), 5, 'environment, account, scope');
    is(made($m), 5, 'five messages');
    is(ids(post(at('/scoped/send'), $m, 'Idempotency-Key' => $k, 'X-Service' => 'a')), ids($all[3]), 'the same scope');
    is(told(post(at('/scoped/send'), $m, 'Idempotency-Key' => $k)), '403 scope_denied not_sent', 'no scope');
};

subtest "$store: off, and for a while" => sub {
    my ($k, $m) = (key, message);
    isnt(ids(post(at('/off/send'), $m, 'Idempotency-Key' => $k)), ids(post(at('/off/send'), $m, 'Idempotency-Key' => $k)), 'off: no record');

    ($k, $m) = (key, message);
    my $first = post(at('/brief/send'), $m, 'Idempotency-Key' => $k);
    is(ids(post(at('/brief/send'), $m, 'Idempotency-Key' => $k)), ids($first), 'within its ttl');
    wait_for(sub { ids(post(at('/brief/send'), $m, 'Idempotency-Key' => $k)) ne ids($first) }, 'the end of its ttl');
    pass('past its ttl it is a new send');
};

subtest "$store: the deadline" => sub {
    my ($k, $m) = (key, message);
    $api->fault({hold => 'before'});
    my $first = later(POST => at('/hasty/send'), $m, 'Idempotency-Key' => $k);
    $api->wait_held;
    my $answer = $first->result;
    is(told($answer), '504 upstream_timeout unknown', 'answered while the try goes on');
    is($answer->{headers}{connection}, 'close', 'the connection is not kept');
    is($answer->{headers}{'idempotency-key'}, $k, 'the key');
    my $waiter = post(at('/hasty/send'), $m, 'Idempotency-Key' => $k);
    is(told($waiter), '504 upstream_timeout unknown', 'one that waits for it');
    my $patient = later(POST => '/send', $m, 'Idempotency-Key' => $k);
    $api->release;
    is($patient->result->{status}, 201, 'the try is recorded');
    is(made($m), 1, 'one message');

    $api->fault({hold => 'before'});
    is(told(get(at('/hasty/account'))), '504 upstream_timeout', 'a read');
    $api->release;
    is(get('/account')->{status}, 200, 'the next one');
};

}

done;
