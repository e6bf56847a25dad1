# POST send?wait= where gateways share a Redis: what is recorded while a caller
# waits, duplicates at another gateway, webhooks at any, and the account's polls.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api   = sandbox;
my $redis = redis_server;

sub gateway ($name, $workers, $store) {
    return nginx(name => $name, key => live_key, workers => $workers, files => {webhook_secret => webhook_secret . "\n"},
        http   => "chatmaid_sender +15550100001; chatmaid_wait_max 300s; chatmaid_webhook_secret_file %DIR%/webhook_secret; $store",
        server => join "\n", 'listen 127.0.0.1:%PORT:both% reuseport;', accounts(qw(twice flight busy)), 'location = /done { return 204; }',
            'location = /webhook { chatmaid_webhook on; chatmaid_account busy; proxy_pass http://127.0.0.1:%PORT%/done; }');
}

my $shared = 'chatmaid_redis ' . $redis->url . ' timeout=30s;';
my %at = (
    one   => gateway(one   => 1, $shared),
    two   => gateway(two   => 1, $shared),
    alone => gateway(alone => 2, ''),
    away  => gateway(away  => 1, 'chatmaid_redis redis://127.0.0.1:' . port('nobody') . ';'),
);

sub sends_at ($name, $account, $m, $k, $query = 'wait=300') {
    return $at{$name}->later(POST => 'http://127.0.0.1:' . $at{$name}->port('both') . "/$account/send?$query", $m, 'Idempotency-Key' => $k);
}

sub id_of ($m) {
    wait_for(sub { made($m) }, 'the message');
    return (messages_of($m))[0]{id};
}

sub hook ($name, $id, $event = 'message.delivered') {
    my $body = event($event, {messageId => $id});
    return $at{$name}->post($at{$name}->url('/webhook'), $body, signed($body))->{status};
}


subtest 'a duplicate at another gateway' => sub {
    my ($m, $k) = (message, key);
    my $first = sends_at('one', 'twice', $m, $k);
    my $id    = id_of($m);
    wait_for(sub { reads($id) }, 'a poll');
    is($redis->state_of(record_of($k, 'live:twice')), 'done', 'the record is settled while its caller waits');
    is(waited(sends_at('two', 'twice', $m, $k, 'wait=0')->result), '201 pending', 'so another gateway has the answer');
    my $second = sends_at('two', 'twice', $m, $k);
    my $before = reads($id);
    wait_for(sub { reads($id) > $before + 2 }, 'both to ask');
    ok(!$_->done, 'both wait') for $first, $second;
    $api->move($id, 'delivered');
    all_waited('both are answered', '201 delivered', $first, $second);
    is(join(' ', map { replayed($_->result) } $first, $second), 'new replayed', 'as what they are');
    is(made($m), 1, 'one message');
};

subtest 'one that is under way at another gateway' => sub {
    my ($m, $k) = (message, key);
    $api->fault({hold => 'before', match => {method => 'POST'}});
    my $first = sends_at('one', 'flight', $m, $k);
    $api->wait_held;
    my $second = sends_at('two', 'flight', $m, $k);
    $at{two}->get('/account');
    $api->release;
    my $id = id_of($m);
    wait_for(sub { reads($id) >= 2 }, 'both to ask');
    ok(!$_->done, 'both wait') for $first, $second;
    $api->move($id, 'delivered');
    all_waited('both are answered', '201 delivered', $first, $second);
    is(join(' ', map { replayed($_->result) } $first, $second), 'new replayed', 'as what they are');
    is(made($m), 1, 'one message');
};


# --- All polls by time are used up -------------------------------------------

# Twenty a minute there are; sends need none to begin with.  What is counted is
# so as long as the minute lasts.

my $begun = time;
my (%sent, %id);
for my $name (sort keys %at) {
    $sent{$name} = [map { my $m = message; [$m, sends_at($name, 'busy', $m, key)] } 1 .. 12];
}
$id{$_} = [map { id_of($_->[0]) } @{$sent{$_}}] for sort keys %at;

sub total ($name) { my $n = 0; $n += reads($_) for @{$id{$name}}; return $n }

sub counted ($count, $want, $name) { time - $begun < 55 ? is($count, $want, $name) : pass("$name, but the minute is over") }

# A webhook wakes those who wait for its message.
sub told_by ($hook, $name, $i) {
    my $id = $id{$name}[$i];
    $api->move($id, 'delivered');
    is(hook($hook, $id), 204, "at $hook");
    is(waited($sent{$name}[$i][1]->result), '201 delivered', "the send that waits at $name");
}

wait_for(sub { total($_) >= 20 }, "polls of $_") for sort keys %at;
counted(total($_), 20, "$_: twenty polls, and no first reads") for sort keys %at;

subtest 'webhooks' => sub {
    my $since = time;
    told_by(one => 'two', 0);
    told_by(two => 'one', 0);
    told_by(one => 'one', 1);
    told_by(alone => 'alone', 0);
    told_by(away => 'away', 0);
    cmp_ok(time - $since, '<', at_most(5), 'soon');
    counted(total($_), {one => 22, two => 21, alone => 21, away => 21}->{$_}, "$_: one call each") for sort keys %at;
};

subtest 'a webhook before the answer of the send' => sub {
    for my $name (qw(one alone)) {
        my $m = message;
        $api->fault({hold => 'after', match => {method => 'POST'}});
        my $send = sends_at($name, 'busy', $m, key);
        my $id   = id_of($m);
        $api->wait_held;
        is(hook($name, $id, 'message.sent'), 204, "$name: it comes");
        $api->release;
        wait_for(sub { reads($id) }, 'it to be asked for');
        ok(!$send->done, "$name: then the send is answered, and the message asked for");
        $api->move($id, 'delivered');
        is(hook($name, $id), 204, "$name: another one");
        is(waited($send->result), '201 delivered', "$name: ends the wait");
        counted(reads($id), 2, "$name: by one call each");
    }
};

subtest 'a replay has its read all the same' => sub {
    my ($m, $k) = (message, key);
    my $old = sends_at('one', 'busy', $m, $k, 'wait=0')->result;
    $api->move($old->{json}{id}, 'read');
    my $answer = sends_at('two', 'busy', $m, $k)->result;
    is(waited($answer) . ' ' . replayed($answer), '201 read replayed', 'at another gateway');
};

subtest 'Redis dies' => sub {
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
    told_by(one => 'one', 2);
    my ($m, $k) = (message, key);
    my $send = sends_at('one', 'busy', $m, $k);
    my $id   = id_of($m);
    $api->move($id, 'delivered');
    is(hook('one', $id), 204, 'a webhook');
    is(waited($send->result), '201 delivered', 'a new send that waits');
};

$_->abort for grep { !$_->done } map { map { $_->[1] } @$_ } values %sent;
done;
