# POST send?wait=: the message is sent and recorded, then its caller waits as those
# of GET messages/ID?wait= do, and is answered 201 whatever becomes of the wait.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api   = sandbox;
my $nginx = nginx(
    key    => live_key,
    access => 'for=$chatmaid_request_id:$chatmaid_idempotency,$chatmaid_code,$chatmaid_outcome,$chatmaid_attempts,$upstream_status',
    files  => {test_key => test_key},
    http   => 'chatmaid_sender +15550100001; chatmaid_wait_max 300s;',
    server => accounts(qw(log late both polls replay first held settled flight odd gone404 gone401 gone403), map { "far$_" } 0 .. 4) . <<'END_OF_SERVER',
        location ^~ /test/   { chatmaid_gateway /.chatmaid/; chatmaid_api_key_file %DIR%/test_key; }
        location ^~ /short/  { chatmaid_gateway /.chatmaid/; chatmaid_account times; chatmaid_wait_max 1s; }
        location ^~ /never/  { chatmaid_gateway /.chatmaid/; chatmaid_account times; chatmaid_wait_max 0; }
        location ^~ /hasty/  { chatmaid_gateway /.chatmaid/; chatmaid_account times; chatmaid_timeout 5s; }
        location ^~ /once/   { chatmaid_gateway /.chatmaid/; chatmaid_account errors; chatmaid_retries 0; }
        location ^~ /off/    { chatmaid_gateway /.chatmaid/; chatmaid_account off; chatmaid_idempotency off; }
        location ^~ /send/   { chatmaid_gateway /.chatmaid/; chatmaid_account scope; chatmaid_scope messages:send; }
        location ^~ /read/   { chatmaid_gateway /.chatmaid/; chatmaid_account scope; chatmaid_scope messages:read; }
END_OF_SERVER
);

sub sends ($account, $m, $query = 'wait=300', @headers) { later(POST => url("/$account/send?$query"), $m, @headers) }

# The ID of a message that is on its way, as soon as Chatmaid has it.
sub id_of ($m) {
    wait_for(sub { made($m) }, 'the message');
    return (messages_of($m))[0]{id};
}

sub timed ($pending) {
    my $since = time;
    return ($pending->result, time - $since);
}

sub refusal ($status, %more) { (status => $status, json => {success => \0, message => ['no'], %more}) }

# A message that was sent before: its ID, and what sends it again.
sub sent_before ($account) {
    my ($m, $k) = (message, key);
    my $first = post(url("/$account/send"), $m, 'Idempotency-Key' => $k);
    return ($first->{json}{id}, $m, 'Idempotency-Key' => $k);
}

# A caller that comes now has been seen once a later one was answered.
sub joined () { get('/account') }


subtest 'what is asked for' => sub {
    my $m = message;
    my %wrong = (
        'wait=' => 'wait', wait => 'wait', 'wait=x' => 'wait', 'wait=1.5' => 'wait', 'wait=-1' => 'wait', 'wait=1s' => 'wait',
        'wait=%201' => 'wait', 'wait=1&until=' => 'until', 'wait=1&until=pending' => 'until', 'wait=1&until=Sent' => 'until',
        'wait=0&until=x' => 'until', 'until=sent' => 'until', 'x=1&until=sent' => 'until', 'wait=1&wait=1' => 'wait', 'wait=0&w%61it=2' => 'wait',
        'wait=1&until=sent&until=read' => 'until',
    );
    for my $query (sort keys %wrong) {
        my $k      = key;
        my $answer = post("/send?$query", $m, 'Idempotency-Key' => $k);
        is(told($answer), '400 invalid_request not_sent', "$query: refused");
        is($answer->{headers}{'idempotency-key'}, $k, "$query: with its key");
        like($answer->{json}{detail}, qr/"$wrong{$query}"/, "$query: by name");
    }
    is(told(post(url('/read/send?wait=x'), $m)), '403 scope_denied not_sent', 'the scope comes first');
    is($api->count, 0, 'nothing was sent');

    for my $query ('wait=0', 'wait=00&until=read', 'x=1&wait=0&y=%2B', 'waits=9', '&') {
        my $answer = post("/send?$query", message);
        is(waited($answer), '201 pending', "$query: no wait");
        is($api->last->{target}, '/v1/messages/send', "$query: nothing of it goes on");
    }
    for my $query ('wait=300', 'wait=x', 'until=sent') {
        is(told(post("/v1/messages/send?$query", native_message)), 201, "Chatmaid's own face: $query means nothing");
        is($api->last->{target}, '/v1/messages/send', 'and does not go on');
    }
    is($api->count(method => 'GET'), 0, 'nobody asked for a message');
};

subtest 'at once where it has got so far' => sub {
    my $m = message;
    my ($answer, $took) = timed(sends('test', $m, 'wait=300&until=sent'));
    is(waited($answer), '201 sent', 'a message that is sent at once');
    is($answer->{json}{content}, $m->{text}, 'is answered');
    cmp_ok($took, '<', at_most(30), 'long before its time');
    is(reads($answer->{json}{id}), 0, 'Chatmaid was not asked');
};

subtest 'when it gets so far' => sub {
    my @cases = (['until=sent', 'sent'], ['until=delivered', 'sent', 'delivered'], ['until=read', 'delivered', 'read'],
        ['', 'sent', 'delivered'], ['until=read', 'failed']);
    for my $i (0 .. $#cases) {
        my ($until, @path) = @{$cases[$i]};
        my $name = ($until || 'no until') . ": @path";
        my $m    = message;
        my $k    = key;
        my $wait = sends("far$i", $m, "wait=300&$until", 'Idempotency-Key' => $k, 'X-Request-Id' => "far-$k");
        my $id   = id_of($m);
        for my $status (@path) {
            my $before = reads($id);
            wait_for(sub { reads($id) > $before }, 'it to be asked for');
            ok(!$wait->done, "$name: not before $status");
            $api->move($id, $status);
        }
        my $answer = $wait->result;
        is(waited($answer), "201 $path[-1]", "$name: answered");
        is($answer->{headers}{'idempotency-key'}, $k, "$name: with its key");
        is($answer->{headers}{'x-request-id'}, "far-$k", "$name: its request ID");
        is(replayed($answer), 'new', "$name: as a new one");
        is($answer->{body}, get("/messages/$id")->{body}, "$name: and the message as a read has it");
        my ($send) = sends_of($m);
        my ($first) = $api->requests(of($id));
        cmp_ok($first->{time} - $send->{ended}, '>', 0.45, "$name: first asked for half a second after it was sent");
        is($first->{method}, 'GET', "$name: by a read");
        is($first->{body}, '', "$name: that has no body");
    }
};

subtest 'its time' => sub {
    for my $case (['times', 'short', 99, 1], ['chatmaid_timeout does not end it', 'hasty', 6, 6], ['it begins when the message is sent', 'late', 1, 2.5]) {
        my ($name, $account, $wait, $time) = @$case;
        my $m = message;
        $api->fault({delay_before => 1500, match => {method => 'POST'}}) if $account eq 'late';
        my ($answer, $took) = timed(sends($account, $m, "wait=$wait"));
        is(waited($answer), '201 pending timeout', "$name: as it is then");
        cmp_ok($took, '>=', $time - 0.02, "$name: not before");
        cmp_ok($took, '<', $time + at_most(10), "$name: nor long after");
    }
    my $m = message;
    is(waited(sends('never', $m)->result), '201 pending', 'with chatmaid_wait_max 0 there is no wait');
    is(reads(id_of($m)), 0, 'nor a read');
};

subtest 'one poll with those who wait for the message' => sub {
    my ($m, $k) = (message, key);
    my @sends = sends('both', $m, 'wait=300', 'Idempotency-Key' => $k);
    my $id = id_of($m);
    $api->fault({hold => 'before', match => {of($id)}});
    $api->wait_held;
    my $before = reads($id);
    push @sends, map { sends('both', $m, 'wait=300', 'Idempotency-Key' => $k) } 1 .. 3;
    my @waits = map { waits('both', $id) } 1 .. 3;
    my $hasty = waits('both', $id, 'wait=1');
    is(waited($hasty->result), '200 pending timeout', 'one of them has less time');
    joined;
    is(reads($id), $before, 'they begin with what is known');
    $api->move($id, 'delivered');
    $api->release;
    all_waited('all sends are answered', '201 delivered', @sends);
    is(join(' ', map { replayed($_->result) } @sends), 'new replayed replayed replayed', 'one of them is new');
    all_waited('and all who wait', '200 delivered', @waits);
    is(reads($id), $before, 'by one poll');
    is(made($m), 1, 'one message');
};

subtest 'an error of the send' => sub {
    my %fault = (
        '400 invalid_request not_sent'  => {refusal(400)},
        '404 not_found not_sent'        => {refusal(404)},
        '502 upstream_auth not_sent'    => {refusal(401)},
        '502 upstream_error unknown'    => {refusal(500)},
        '502 upstream_invalid_response unknown' => {status => 201, body => 'hello'},
    );
    for my $want (sort keys %fault) {
        $api->fault($fault{$want});
        my ($answer, $took) = timed(sends('once', message));
        is(told($answer), $want, "$want: is answered");
        cmp_ok($took, '<', at_most(30), "$want: at once");
    }
    is(told(sends('once', {text => 'x'})->result), '400 invalid_request not_sent', 'so is one of the message');
    is(told(sends('once', message, 'wait=300', 'Idempotency-Key' => 'a b')->result), '400 invalid_idempotency_key not_sent', 'and one of the key');
};

subtest 'polls that fail' => sub {
    my $m    = message;
    my $wait = sends('polls', $m);
    my $id   = id_of($m);
    $api->fault({%$_, match => {of($id)}}) for {refusal(503)}, {refusal(500)}, {close => 'after'}, {status => 200, body => 'x'};
    wait_for(sub { !$api->faults }, 'the faults to be met');
    ok(!$wait->done, 'end no wait');
    $api->move($id, 'delivered');
    is(waited($wait->result), '201 delivered', 'the next one will do');

    for my $status (404, 401, 403) {
        my $m     = message;
        my @sends = sends("gone$status", $m);
        my $id    = id_of($m);
        my $other = waits("gone$status", $id, 'wait=300&until=read');
        $api->move($id, 'sent');
        my $before = reads($id);
        wait_for(sub { grep { $_->{ended} } ($api->requests(of($id)))[$before .. reads($id) - 1] }, 'it to be seen');
        joined;
        $api->fault({refusal($status), match => {of($id)}});
        my $answer = $sends[0]->result;
        is(waited($answer), '201 pending', "status $status: the message is as the send answered it");
        is($answer->{json}{content}, $m->{text}, "status $status: all of it");
        is(waited($other->result), $status == 404 ? '404 not_found 404' : '502 upstream_auth 502', "status $status: who waits by GET is told");
    }
};

subtest 'a replay' => sub {
    my ($id, @again) = sent_before('replay');
    $api->move($id, 'delivered');
    my $answer = sends('replay', $again[0], 'wait=300', @again[1, 2])->result;
    is(waited($answer), '201 delivered', 'is answered with the message as it is now');
    is(replayed($answer), 'replayed', 'as a replay');
    is(reads($id), 1, 'by one read');

    my $wait = sends('replay', $again[0], 'wait=300&until=read', @again[1, 2]);
    known($id);
    wait_for(sub { reads($id) > 2 }, 'it to be asked for');
    ok(!$wait->done, 'or it waits');
    my $plain = post(url('/replay/send'), @again);
    is(waited($plain), '201 pending', 'without a wait it is the old answer');
    $api->move($id, 'read');
    is(waited($wait->result), '201 read', 'until the message has got so far');
    is(made($again[0]), 1, 'one message');
};

subtest 'the first read of a replay fails' => sub {
    my %fault = (404 => {refusal(404)}, 401 => {refusal(401)}, 500 => {refusal(500)}, text => {status => 200, body => 'hello'},
        503 => {refusal(503), times => 3});
    for my $name (sort keys %fault) {
        my ($id, @again) = sent_before('first');
        $api->move($id, 'sent');
        $api->fault({%{$fault{$name}}, match => {of($id)}});
        my ($answer, $took) = timed(sends('first', $again[0], 'wait=300', @again[1, 2]));
        is(waited($answer), '201 pending', "$name: the message is as the send answered it");
        is(replayed($answer), 'replayed', "$name: as a replay");
        cmp_ok($took, '<', at_most(30), "$name: at once");
    }

    my ($id, @again) = sent_before('first');
    $api->fault({refusal(503), match => {of($id)}, times => 2});
    $api->move($id, 'delivered');
    is(waited(sends('first', $again[0], 'wait=300', @again[1, 2])->result), '201 delivered', 'it is tried again');

    ($id, @again) = sent_before('first');
    $api->fault({hold => 'before', match => {of($id)}});
    my $answer = sends('first', $again[0], 'wait=1', @again[1, 2])->result;
    is(waited($answer), '201 pending timeout', 'nothing comes in its time');
    is($answer->{headers}{connection}, 'close', 'the read goes on');
    $api->release;
};

subtest 'an account that is held back' => sub {
    my ($id, @again) = sent_before('held');
    my $m    = message;
    my $wait = sends('held', $m, 'wait=4');
    my $new  = id_of($m);
    wait_for(sub { reads($new) }, 'a poll');
    $api->fault({refusal(429, retryAfter => 60), match => {path => '/v1/phone-numbers'}});
    my $limited = get(url('/held/phones'));
    is(told($limited), '429 rate_limited', 'a call is refused');
    known($new);
    my $since = $api->count + 1;
    my ($answer, $took) = timed(sends('held', $again[0], 'wait=20', @again[1, 2]));
    is(waited($answer), '201 pending', 'a replay whose read has no time is answered as it was');
    cmp_ok($took, '<', 15, 'at once');
    is(waited($wait->result), '201 pending timeout', 'one that waits is answered at its time');
    is($api->count(from => $since), 0, 'nothing was asked');
    my $fresh = sends('held', message, 'wait=300')->result;
    is(told($fresh), '429 rate_limited not_sent', 'a new one is refused');
};

subtest 'the record is settled before' => sub {
    my ($m, $k) = (message, key);
    my $wait = sends('settled', $m, 'wait=300', 'Idempotency-Key' => $k);
    my $id   = id_of($m);
    wait_for(sub { reads($id) }, 'a poll');
    my $plain = post(url('/settled/send'), $m, 'Idempotency-Key' => $k);
    is(waited($plain), '201 pending', 'a duplicate has its answer');
    is(replayed($plain), 'replayed', 'as a replay');
    is(told(post(url('/settled/send'), message, 'Idempotency-Key' => $k)), '422 idempotency_key_reused unknown', 'another message is refused');
    ok(!$wait->done, 'the first one waits on');
    $api->move($id, 'delivered');
    is(waited($wait->result), '201 delivered', 'and is answered');
};

subtest 'a duplicate of one under way' => sub {
    my ($m, $k) = (message, key);
    $api->fault({hold => 'before', match => {method => 'POST'}});
    my @sends = sends('flight', $m, 'wait=300', 'Idempotency-Key' => $k);
    $api->wait_held;
    push @sends, sends('flight', $m, 'wait=300', 'Idempotency-Key' => $k), sends('flight', $m, 'wait=0', 'Idempotency-Key' => $k);
    joined;
    ok(!grep({ $_->done } @sends), 'waits for it');
    $api->release;
    my $id = id_of($m);
    is(waited($sends[2]->result), '201 pending', 'then one is answered');
    ok(!grep({ $_->done } @sends[0, 1]), 'and those who want to wait for the message');
    $api->move($id, 'delivered');
    all_waited('are answered', '201 delivered', @sends[0, 1]);
    is(join(' ', map { replayed($_->result) } @sends), 'new replayed replayed', 'as what they are');
    is(made($m), 1, 'one message');
};

subtest 'without records' => sub {
    my $m    = message;
    my $wait = sends('off', $m, 'wait=300&until=read');
    my $id   = id_of($m);
    $api->move($id, 'read');
    is(waited($wait->result), '201 read', 'it waits as well');
    is(reads($id), 1, 'by one poll');
};

subtest 'its scope' => sub {
    my $m    = message;
    my $wait = sends('send', $m);
    my $id   = id_of($m);
    $api->move($id, 'delivered');
    is(waited($wait->result), '201 delivered', 'is that of a send');
    is(told(get(url("/send/messages/$id"))), '403 scope_denied', 'a read has its own');
};

subtest 'a send that outlives its caller' => sub {
    my ($m, $k) = (message, key);
    $api->fault({hold => 'before', match => {method => 'POST'}});
    my $answer = sends('hasty', $m, 'wait=300', 'Idempotency-Key' => $k)->result;
    is(told($answer), '504 upstream_timeout unknown', 'chatmaid_timeout bounds the send');
    $api->release;
    my $id = id_of($m);
    is(waited(post(url('/hasty/send'), $m, 'Idempotency-Key' => $k)), '201 pending', 'which is recorded');
    is(replayed(post(url('/hasty/send'), $m, 'Idempotency-Key' => $k)), 'replayed', 'all the same');
    my $other = sent_message;
    get("/messages/$other?wait=2");
    cmp_ok(reads($other), '>=', 2, 'another message is asked for');
    is(reads($id), 0, 'nobody waits for this one');
};

subtest 'what the log says' => sub {
    my $line = sub ($case) { wait_for(sub { $nginx->access_log =~ / for=\Q$case\E:(.*)$/m ? $1 : '' }, "the line of $case") };
    my @id   = map { ('X-Request-Id' => $_) } qw(log-polls log-gone log-refused);
    my ($m, $k) = (message, key);
    my $wait = sends('log', $m, 'wait=300', 'Idempotency-Key' => $k, @id[0, 1]);
    my $id   = id_of($m);
    $api->move($id, 'delivered');
    is(waited($wait->result), '201 delivered', 'a send that waits');
    my ($said, $upstream) = $line->('log-polls') =~ /\A(new,-,-,\d+),(.*)/;
    my @status = split /, /, $upstream // '';
    is($said, 'new,-,-,' . @status, 'its calls are counted, the polls too');
    like($upstream, qr/\A201(?:, 200)+\z/, 'and shown in one list');
    $api->fault({refusal(404), match => {of($id)}});
    is(waited(sends('log', $m, 'wait=300&until=read', 'Idempotency-Key' => $k, @id[2, 3])->result), '201 pending', 'a wait that fails');
    is($line->('log-gone'), 'replayed,-,-,1,404', 'is no failure of the send');
    is(told(sends('log', message, 'wait=x', @id[4, 5])->result), '400 invalid_request not_sent', 'a wait that is refused');
    is($line->('log-refused'), '-,invalid_request,not_sent,-,-', 'is one');
};

subtest 'the ID of a message' => sub {
    my %path = ("a b+\x{fc}" => 'a%20b%2B%C3%BC', 'x%2Fy' => 'x%252Fy', 'back\\slash' => 'back%5Cslash', 'q?a=b&c' => 'q%3Fa%3Db%26c', '...' => '...');
    for my $id (sort keys %path) {
        $api->fault({status => 201, json => {success => \1, data => {id => $id, status => 'sent'}}, match => {method => 'POST'}},
            {status => 200, json => {success => \1, data => {id => $id, status => 'read'}}, match => {path => "/v1/messages/$path{$id}"}});
        is(waited(sends('odd', message)->result), '201 read', "$path{$id}: asked for");
        is($api->last->{target}, "/v1/messages/$path{$id}", "$path{$id}: byte for byte");
    }
    my $before = $api->count(method => 'GET');
    for my $id ('..', '.', '../account', 'a/b', "a\tb", "a\x{0}b") {
        $api->fault({status => 201, json => {success => \1, data => {id => $id, status => 'sent'}}, match => {method => 'POST'}});
        my $answer = sends('odd', message)->result;
        is(waited($answer), '201 sent', 'one that leads elsewhere is answered at once');
        is($answer->{json}{id}, $id, 'as it is');
    }
    is($api->count(method => 'GET'), $before, 'and not asked for');
};

done;
