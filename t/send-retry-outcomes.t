# What several tries of one send say of the operation, what its deadline cuts off,
# and what goes on in a pause: duplicates, callers that leave, reloads.

use Chatmaid::Test;
use Chatmaid::Test::World qw(at_most);
use Mojo::JSON qw(decode_json encode_json);
use Time::HiRes qw(time);

my $other = sandbox(name => 'other');           # for what goes on beside the rest
my $api   = sandbox;

# A 429 cools its whole account down: a case of one has an account of its own.
my %more = (
    hasty     => 'chatmaid_gateway /.hasty/;',
    refused   => 'chatmaid_gateway /.refused/;',
    brief     => 'chatmaid_timeout 4s; chatmaid_account brief;',
    unhurried => 'chatmaid_account brief;',
    pausing   => 'chatmaid_account pausing;',
    impatient => 'chatmaid_account pausing; chatmaid_idempotency_wait 0;',
    three     => 'chatmaid_timeout 6s; chatmaid_account three;',
    one       => 'chatmaid_timeout 3s; chatmaid_retries 9;',
    hasty_one => 'chatmaid_timeout 3s; chatmaid_retries 9; chatmaid_gateway /.hasty/;',
    many      => 'chatmaid_retries 20; chatmaid_timeout 2m;',
    long      => 'chatmaid_gateway /.other/; chatmaid_account long; chatmaid_idempotency_wait 20s;',
);
my $nginx = nginx(
    http   => 'chatmaid_sender +15550100001;',
    server => join "\n", (map { "location ^~ /$_/ { " . ($more{$_} =~ /gateway/ ? '' : 'chatmaid_gateway /.chatmaid/; ') . "$more{$_} }" } sort keys %more),
        (map { "location ^~ /leaves_$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account leaves_$_; }" } qw(close reset reload)),
        "location ^~ /.hasty/   { %PROXY% proxy_pass https://chatmaid_api/; proxy_read_timeout 1s; }",
        "location ^~ /.refused/ { %PROXY% proxy_pass https://127.0.0.1:%PORT:nobody%/; }",
        "location ^~ /.other/   { %PROXY% proxy_pass https://127.0.0.1:" . $other->port . '/; }',
);

my @no    = map { {status => $_, json => {success => \0, message => ['no']}} } 400, 404;

sub at ($path)  { url($path =~ m{/} ? "/$path" : "/$path/send") }
sub sent ($path, $m, $k) { post(at($path), $m, 'Idempotency-Key' => $k) }
sub sends_later ($path, $m, $k) { later(POST => at($path), $m, 'Idempotency-Key' => $k) }
sub slow ($seconds) { {status => 429, json => {success => \0, message => ['slow down'], retryAfter => $seconds}} }
sub keys_of (@tries) { scalar keys %{{map { decode_json($_->{body})->{idempotencyKey} => 1 } @tries}} }


# Longer than a lease, which is 8 s: it is passed here with the other tests.
my %long = (key => key, message => message);
$other->fault(slow(9));
$long{owner}  = sends_later('long', @long{qw(message key)});
$other->wait_requests(1);
$long{waiter} = sends_later('long', @long{qw(message key)});

subtest 'a refusal after a try that may have been accepted' => sub {
    my %first = ('closed before' => {close => 'before'}, 'closed after' => {close => 'after'},
        '503' => {status => 503}, '503 after' => {status => 503, effect => \1}, 'timeout' => {hold => 'after'});
    for my $name (sort keys %first) {
        for my $refusal (@no) {
            my ($k, $m) = (key, message);
            my $case = "$name, then $refusal->{status}";
            my $code = $refusal->{status} == 400 ? 'invalid_request' : 'not_found';
            $api->fault($first{$name}, $refusal);
            is(told(sent($name eq 'timeout' ? 'hasty' : 'chatmaid', $m, $k)), "$refusal->{status} $code unknown", $case);
            is(told(sent('chatmaid', message, $k)), '422 idempotency_key_reused unknown', "$case: its record stays");
            my $later = sent('chatmaid', $m, $k);
            is(told($later), 201, "$case: a later send");
            is(scalar(my @made = messages_of($m)), 1, "$case: one message");
            is($later->{json}{id}, $made[0]{id}, "$case: its id");
            is(scalar(my @tries = sends_of($m)), 3, "$case: three tries");
            is(keys_of(@tries), 1, "$case: one key");
            $api->release;
        }
    }
    my ($k, $m) = (key, message);
    $api->fault({close => 'after'}, {status => 401, json => {success => \0, message => ['who?']}});
    is(told(sent('chatmaid', $m, $k)), '502 upstream_auth unknown', 'closed after, then 401');

    ($k, $m) = (key, message);
    $api->fault({close => 'after'}, slow(5));
    my $limited = sent('brief', $m, $k);
    is(told($limited), '429 rate_limited unknown', 'closed after, then a 429 with no time for its wait');
    is($limited->{headers}{'retry-after'}, 5, 'its Retry-After');
    is(told(sent('brief', message, $k)), '422 idempotency_key_reused unknown', 'the record stays');
    is(told(sent('unhurried', $m, $k)), 201, 'a later send');
    is(made($m), 1, 'one message');
};

subtest 'nothing but refusals' => sub {
    my ($k, $m) = (key, message);
    $api->fault((slow(1)) x 3);
    is(told(sent('pausing', $m, $k)), '429 rate_limited not_sent', '429, three times');
    is(told(sent('pausing', message, $k)), 201, 'the key is free for another message');

    ($k, $m) = (key, message);
    is(told(sent('refused', $m, $k)), '502 upstream_error not_sent', 'no connection, three times');
    is(told(sent('chatmaid', message, $k)), 201, 'the key is free for another message');

    ($k, $m) = (key, message);
    $api->fault(slow(1), $no[1]);
    is(told(sent('pausing', $m, $k)), '404 not_found not_sent', '429, then 404');
    is(scalar(sends_of($m)), 2, 'two tries');
};

subtest 'the deadline' => sub {
    my ($k, $m) = (key, message);
    my $start = time;
    $api->fault((slow(4)) x 3);
    my $answer = sent('three', $m, $k);
    my $took   = time - $start;
    is(told($answer), '429 rate_limited not_sent', 'a second wait would end too late');
    is($answer->{headers}{'retry-after'}, 4, 'its Retry-After');
    is(scalar(sends_of($m)), 2, 'two tries');
    cmp_ok($took, '>', 3.9, 'the first wait was whole');
    cmp_ok($took, '<', 6 + at_most(5), 'in time');
    $api->clear_faults;

    for my $case (['hasty_one', 3, {hold => 'before', times => 0}, qr/^504 upstream_timeout/], ['one', 3, {status => 503, times => 0}, qr/^50[24] upstream_/]) {
        my ($path, $limit, $fault, $want) = @$case;
        for my $what (qw(send phones)) {
            ($k, $m, $start) = (key, message, time);
            my $before = $api->count;
            $api->fault($fault);
            my $answer = $what eq 'send' ? sent($path, $m, $k) : get(at("$path/phones"));
            cmp_ok(time - $start, '<', $limit + at_most(5), "$path: in time: $what");
            like(told($answer), $what eq 'send' ? qr/$want\w* unknown$/ : $want, "$path: $what");
            cmp_ok($api->count - $before, '>=', 2, "$path: several tries: $what");
            $api->clear_faults;
            $api->release;
        }
    }
};

subtest 'a 503 that names its time' => sub {
    my $named = sub ($seconds) { {status => 503, json => {success => \0}, headers => {'Retry-After' => $seconds}} };
    my $m     = message;
    $api->fault($named->(1));
    is(told(sent('chatmaid', $m, key)), 201, 'then an answer');
    my @tries = sends_of($m);
    cmp_ok($tries[1]{time} - $tries[0]{ended}, '>', 0.9, 'after that time');

    $api->fault($named->(30));
    my ($start, $late) = (time, message);
    is(told(sent('chatmaid', $late, key)), '502 upstream_error unknown', 'too long');
    cmp_ok(time - $start, '<', 25, 'is answered at once');
    is(scalar(sends_of($late)), 1, 'after one try');
};

subtest 'in a pause' => sub {
    my ($k, $m) = (key, message);
    $api->fault(slow(2));
    my $owner = sends_later('pausing', $m, $k);
    wait_for(sub { sends_of($m) == 1 }, 'the first try');
    my $waiter = sends_later('pausing', $m, $k);
    is(told(sent('impatient', $m, $k)), '409 idempotency_in_flight unknown', 'a duplicate that does not wait');
    is(told(sent('impatient', message, $k)), '422 idempotency_key_reused unknown', 'another message');
    is($_->result->{status}, 201, 'the owner, and a duplicate that waits') for $owner, $waiter;
    is($waiter->result->{headers}{'idempotent-replayed'}, 'true', 'which is a replay');
    is(scalar(sends_of($m)), 2, 'two tries');
    is(made($m), 1, 'one message');

    for my $how (qw(close reset)) {
        my $m    = message;
        my $body = encode_json($m);
        $api->fault(slow(1));
        raw(["POST /leaves_$how/send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${\length $body}\r\n\r\n$body",
            sub { wait_for(sub { grep { $_->{ended} } sends_of($m) }, 'the first try') }], abort => $how);
        ok(wait_for(sub { made($m) == 1 }), "its caller leaves ($how): it is sent all the same");
        is(scalar(sends_of($m)), 2, "$how: two tries");

        $api->fault(slow(1));
        raw(["GET /leaves_$how/phones HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: read_$how\r\n\r\n",
            sub { wait_for(sub { grep { $_->{ended} } $api->requests(request_id => "read_$how") }, 'the first try') }], abort => $how);
        is(get(at("leaves_$how/phones"))->{status}, 200, "$how: a read that has to wait as long");
        is($api->count(request_id => "read_$how"), 1, "$how: the one that nobody waits for is not made again");
    }

    $m = message;
    $api->fault(slow(2));
    my $over = sends_later('leaves_reload', $m, key);
    wait_for(sub { grep { $_->{ended} } sends_of($m) }, 'the first try');
    $nginx->reload;
    is(told($over->result), 201, 'a reload');
    is(scalar(sends_of($m)), 2, 'two tries');
};

subtest 'a pause longer than a lease' => sub {
    is(told($long{$_}->result), 201, "the $_") for qw(owner waiter);
    is($long{waiter}->result->{headers}{'idempotent-replayed'}, 'true', 'one replay');
    is($other->count, 2, 'two tries: nobody took over');
};

# It is there again on its port, and remembers nothing.
subtest 'Chatmaid comes back' => sub {
    my ($k, $m) = (key, message);
    my $from  = length $nginx->error_log;
    $api->stop;
    my $send = sends_later('many', $m, $k);
    wait_for(sub { substr($nginx->error_log, $from) =~ /connect\(\) failed \(111/ }, 'the first try');
    $api->start;
    is(told($send->result), 201, 'sent');
    is(made($m), 1, 'one message');
    is(scalar(sends_of($m)), 1, 'in the first try that reached it');
};

done;
