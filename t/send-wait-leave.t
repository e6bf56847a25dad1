# Callers of POST send?wait= that leave, by HTTP/1 and HTTP/2, and workers that end:
# the send goes on and is recorded, the wait ends.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Wait;
use Chatmaid::Test::World qw(at_most);
use Mojo::JSON qw(encode_json);
use Time::HiRes qw(time);

my $api = sandbox;

sub start_nginx (%option) {
    return nginx(key => live_key, http => 'chatmaid_sender +15550100001; chatmaid_wait_max 300s;',
        server => "listen 127.0.0.1:%PORT:h2% http2;\nlocation = /status { stub_status; }\n" . accounts(map { "case$_" } 1 .. 40), %option);
}

# Polls are counted by account: each case has one of its own.
sub account () { state $cases = 0; 'case' . ++$cases }

my $nginx = start_nginx;
my ($worker) = $nginx->workers;

my @WAYS = (['h1', 'close'], ['h2', 'reset'], ['h2', 'close']);

# Connections at work, this question's left out.
sub active () { get(url('/status'))->{body} =~ /Writing: (\d+)/ ? $1 - 1 : die 'no status' }
sub alone ($name) { ok(wait_for(sub { !active }, "$name: nobody is left"), "$name: nobody is left") }

sub opened_h2 ($h2, $account, $m, $k, $query = 'wait=300') {
    my ($id, $head) = opened($h2, POST => "/$account/send?$query", 0, ['idempotency-key', $k]);
    put($h2, $head, data($id, encode_json($m)));
    return $id;
}

sub begin ($way, $account, $m, $k) {
    return {wait => later(POST => url("/$account/send?wait=300"), $m, 'Idempotency-Key' => $k)} if $way->[0] eq 'h1';
    my $h2 = connect_h2($nginx->port('h2'));
    return {h2 => $h2, id => opened_h2($h2, $account, $m, $k)};
}

sub leave ($wait, $way) {
    return $wait->{wait}->abort if $wait->{wait};
    $way->[1] eq 'reset' ? put($wait->{h2}, reset_($wait->{id})) : drop($wait->{h2}, $way->[1]);
}

# A caller that comes now has been seen once a later one was answered.
sub joined () { get('/account') }

sub id_of ($m) {
    wait_for(sub { made($m) }, 'the message');
    return (messages_of($m))[0]{id};
}

# While another message has been asked for twice, this one would have been too.
sub asked_no_more ($name, $id) {
    my $before = reads($id);
    my $other  = sent_message;
    get(url('/' . account . "/messages/$other?wait=2"));
    cmp_ok(reads($other), '>=', 2, "$name: another one is asked for");
    is(reads($id), $before, "$name: this one is not");
}

sub recorded ($name, $account, $m, $k) {
    my $again = post(url("/$account/send"), $m, 'Idempotency-Key' => $k);
    is(waited($again) . ' ' . replayed($again), '201 pending replayed', "$name: it is recorded");
    is(made($m), 1, "$name: as one message");
}


subtest 'while it is sent' => sub {
    for my $way (@WAYS) {
        my ($at, $m, $k) = (account, message, key);
        $api->fault({hold => 'before', match => {method => 'POST'}});
        my $wait = begin($way, $at, $m, $k);
        $api->wait_held;
        leave($wait, $way);
        joined;
        $api->release;
        my $id = id_of($m);
        alone("@$way");
        recorded("@$way", $at, $m, $k);
        asked_no_more("@$way", $id);
    }
};

subtest 'while nothing is under way' => sub {
    for my $way (@WAYS) {
        my ($at, $m, $k) = (account, message, key);
        my $wait = begin($way, $at, $m, $k);
        my $id   = id_of($m);
        wait_for(sub { grep { $_->{ended} } $api->requests(of($id)) }, 'a poll');
        joined;
        leave($wait, $way);
        alone("@$way");
        recorded("@$way", $at, $m, $k);
        asked_no_more("@$way", $id);
    }
};

subtest 'while it asks' => sub {
    for my $way (@WAYS) {
        my ($at, $m, $k) = (account, message, key);
        my $wait = begin($way, $at, $m, $k);
        my $id   = id_of($m);
        $api->fault({hold => 'before', match => {of($id)}});
        $api->wait_held;
        my $stays = later(POST => url("/$at/send?wait=300"), $m, 'Idempotency-Key' => $k);
        joined;
        my $before = reads($id);
        leave($wait, $way);
        joined;
        $api->move($id, 'delivered');
        $api->release;
        is(waited($stays->result), '201 delivered', "@$way: another one has the answer");
        is(reads($id), $before, "@$way: of that call");
        alone("@$way");
    }
};

subtest 'streams of one connection' => sub {
    my $at = account;
    my $h2 = connect_h2($nginx->port('h2'));
    my @m  = map { message } 1 .. 3;
    my @id = map { opened_h2($h2, $at, $_, key) } @m;
    my @message = map { id_of($_) } @m;
    joined;
    put($h2, reset_($id[1]));
    ok(wait_for(sub { active == 2 }, 'two to be left'), 'one has gone');
    $api->move($message[2], 'failed');
    is(answer($h2, $id[2])->{json}{status}, 'failed', 'another one is answered');
    $api->move($message[0], 'delivered');
    my $answer = answer($h2, $id[0]);
    is($answer->{status}, 201, 'and another one');
    is($answer->{json}{status}, 'delivered', 'with the message');
    alone('the end');
    is_deeply([$nginx->workers], [$worker], 'by one worker');
};

subtest 'the connection is kept' => sub {
    my $at     = account;
    my $client = client(keepalive => 1, base => url("/$at"));
    my $first  = $client->post('/send?wait=1', message);
    is(waited($first), '201 pending timeout', 'one that has waited');
    my $send = sub ($m, $query) {
        my $body = encode_json($m);
        return "POST /$at/send?$query HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    };
    my $together = raw($send->(message, 'wait=1') . $send->(message, 'wait=0') =~ s/\r\nHost/\r\nConnection: close\r\nHost/r, all => 1);
    is(scalar(() = $together->{raw} =~ m{HTTP/1\.1 201}g), 2, 'two sends in one piece');
    is(scalar(() = $together->{raw} =~ m{Chatmaid-Wait: timeout}g), 1, 'of which one waits');
};

subtest 'the worker shuts down' => sub {
    my $nginx = start_nginx;
    my @old   = $nginx->workers;
    my $at    = account;
    my @m     = map { message } 1 .. 4;
    my @k     = map { key } @m;
    my $under_way = sub ($i, $query = 'wait=300') { later(POST => url("/$at/send?$query"), $m[$i], 'Idempotency-Key' => $k[$i]) };

    my $known = $under_way->(0);
    my $id    = id_of($m[0]);
    wait_for(sub { grep { $_->{ended} } $api->requests(of($id)) }, 'a poll');
    my $h2     = connect_h2($nginx->port('h2'));
    my $stream = opened_h2($h2, $at, $m[1], $k[1]);
    id_of($m[1]);
    my $old = post(url("/$at/send"), $m[2], 'Idempotency-Key' => $k[2]);
    $api->fault({hold => 'before', match => {of($old->{json}{id})}}, {hold => 'before', match => {method => 'POST'}});
    my $replay = $under_way->(2);
    my $sent   = $under_way->(3);
    $api->wait_held(2);

    my $since = time;
    $nginx->reload;
    is(waited($known->result), '201 pending timeout', 'one that waits is answered');
    is(answer($h2, $stream)->{json}{status}, 'pending', 'by HTTP/2 as well');
    is(waited($replay->result), '201 pending timeout', 'so is a replay whose first read is under way');
    cmp_ok(time - $since, '<', at_most(5), 'within 5 s');
    ok(!$sent->done, 'one that is being sent is not yet');
    $api->release;
    is(waited($sent->result), '201 pending timeout', 'and does not wait when it is');
    ok(wait_for(sub { my %title = $nginx->children; !grep { exists $title{$_} } @old }, 'the old worker to end'), 'the old worker ends');
    recorded("send $_", $at, $m[$_], $k[$_]) for 0 .. 3;
};

subtest 'many come and go' => sub {
    my $at = account;
    my (@waits, @sent);
    for my $n (1 .. volume(1000, 40)) {
        my ($m, $k) = @{rand() < 0.8 || !@sent ? [message, key] : $sent[rand @sent]};
        my $query = (qw(wait=1 wait=300 wait=300&until=read wait=0))[rand 4];
        push @sent, [$m, $k];
        push @waits, [$n % 3 ? ({wait => later(POST => url("/$at/send?$query"), $m, 'Idempotency-Key' => $k)}, ['h1', 'close']) : do {
            my $h2 = connect_h2($nginx->port('h2'));
            ({h2 => $h2, id => opened_h2($h2, $at, $m, $k, $query)}, ['h2', (qw(reset close))[rand 2]]) }];
        $api->move(undef, (qw(sent delivered read failed))[rand 4]) if $n % 20 == 0;
        leave(@{splice @waits, rand @waits, 1}) if @waits > 20;
    }
    leave(@$_) for @waits;
    alone('the end');
    is_deeply([$nginx->workers], [$worker], 'by one worker');
    my @again = map { post(url("/$at/send"), $_->[0], 'Idempotency-Key' => $_->[1]) } @sent;
    is(join(' ', grep { told($_) ne '201' } @again), '', 'each is sent by now');
    is(join(' ', grep { made($_->[0]) != 1 } @sent), '', 'as one message');
    my $m    = message;
    my $last = later(POST => url('/' . account . '/send?wait=300'), $m);
    $api->move(id_of($m), 'delivered');
    is(waited($last->result), '201 delivered', 'another one waits');
};

subtest 'the worker is killed' => sub {
    my $nginx = start_nginx;
    my ($at, $m, $k) = (account, message, key);
    my $lost = later(POST => url("/$at/send?wait=300"), $m, 'Idempotency-Key' => $k);
    my $id   = id_of($m);
    wait_for(sub { reads($id) }, 'a poll');
    $nginx->kill_workers($nginx->workers);
    is(waited($lost->result), '0', 'its caller has no answer');
    my $again = later(POST => url("/$at/send?wait=300"), $m, 'Idempotency-Key' => $k);
    $api->move($id, 'delivered');
    is(waited($again->result), '201 delivered', 'and asks again');
    is(replayed($again->result), 'replayed', 'for what was recorded');
    is(made($m), 1, 'one message');
};

done;
