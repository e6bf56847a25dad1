# A note in the store, which a webhook leaves, makes those who wait for its message
# ask at once: on each gateway of one Redis, or by the zone alone.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api   = sandbox;
my $redis = redis_server;
my $count = 0;

sub gateway ($name, $workers, $store) {
    return nginx(name => $name, workers => $workers, files => {webhook_secret => webhook_secret . "\n"},
        http   => "chatmaid_sender +15550100001; chatmaid_wait_max 300s; chatmaid_webhook_secret_file %DIR%/webhook_secret; $store",
        server => <<'END');
        listen 127.0.0.1:%PORT:both% reuseport;
        location ^~ /shop/        { chatmaid_gateway /.chatmaid/; chatmaid_account shop; }
        location ^~ /shop-too/    { chatmaid_gateway /.chatmaid/; chatmaid_account shop; }
        location = /webhook       { chatmaid_webhook on; chatmaid_account shop; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /webhook/other { chatmaid_webhook on; chatmaid_account other; proxy_pass http://127.0.0.1:%PORT%/done; }
        location = /done { return 204; }
END
}

my $shared = 'chatmaid_redis ' . $redis->url . ' prefix=waits:;';
my %at = (
    one   => gateway(one   => 1, $shared),
    two   => gateway(two   => 1, $shared),
    alone => gateway(alone => 2, ''),
    away  => gateway(away  => 1, 'chatmaid_redis redis://127.0.0.1:' . port('nobody') . ';'),
);

sub waits_at ($name, $id, $query = 'wait=300&until=read') { $at{$name}->later(GET => 'http://127.0.0.1:' . $at{$name}->port('both') . "/shop/messages/$id?$query") }

sub left_note ($id, $value = sprintf '%016x', 1e9 + ++$count) {
    $redis->cli('SET', note_of('shop', $id) =~ s/^chatmaid:/waits:/r, $value, 'PX', 60000);
}

sub hook ($name, $id, $event = 'message.read', $path = '/webhook') {
    my $body = event($event, {messageId => $id});
    return $at{$name}->post($at{$name}->url($path), $body, signed($body))->{status};
}

# What is asked from "$then" on: as often as it should be, and for so long no more.
sub asked_again ($id, $times, $seconds, $then) {
    my $before = reads($id);
    $then->();
    wait_for(sub { reads($id) - $before >= $times }, 'it to be asked for');
    pause($seconds);
    return reads($id) - $before;
}


# --- All polls by time are used up -------------------------------------------

# Twenty a minute there are, first reads among them: what is asked for afterwards
# has a note.  A worker of two may have all callers for a message, or none.

my %id = map { $_ => [map { sent_message($at{one}) } 1 .. ($_ eq 'alone' ? 2 : 4)] } sort keys %at;
my %waiting;
for my $name (sort keys %at) {
    $waiting{$name} = [map { my $id = $_; [map { waits_at($name, $id) } 1 .. ($name eq 'alone' ? 8 : 1)] } @{$id{$name}}];
}

sub total ($name) { my $n = 0; $n += reads($_) for @{$id{$name}}; return $n }

wait_for(sub { total($_) >= 20 }, "polls of $_") for sort keys %at;
is(total($_), 20, "$_: twenty with the first reads") for sort keys %at;


# --- News --------------------------------------------------------------------

subtest 'a note' => sub {
    my $id = $id{one}[0];
    $api->move($id, 'delivered');
    is(asked_again($id, 0, 1.5, sub { }), 0, 'without one nobody asks');
    is(asked_again($id, 1, 1, sub { left_note($id) }), 1, 'with one: once');
    my $since = time;
    $api->move($id, 'read');
    left_note($id);
    is(waited($waiting{one}[0][0]->result), '200 read', 'another one, and the wait is over');
    cmp_ok(time - $since, '<', at_most(5), 'soon');
    ok(!$waiting{one}[1][0]->done, 'that for another message is not');
};

subtest 'a webhook' => sub {
    my ($one, $two, $alone, $away) = map { $id{$_}[1] } qw(one two alone away);
    $api->move($_, 'read') for $one, $two, $alone, $away;
    my $since = time;
    is(hook('one', $two), 204, 'at one gateway');
    is(waited($waiting{two}[1][0]->result), '200 read', 'the wait at another');
    is(hook('one', $one), 204, 'at one gateway');
    is(waited($waiting{one}[1][0]->result), '200 read', 'the wait there');
    is(hook('alone', $alone), 204, 'without Redis');
    is(waited($_->result), '200 read', 'the wait in each worker') for @{$waiting{alone}[1]};
    is(hook('away', $away), 204, 'Redis is away');
    is(waited($waiting{away}[1][0]->result), '200 read', 'the wait there');
    cmp_ok(time - $since, '<', at_most(5), 'soon');
};

subtest 'no news' => sub {
    my $id = $id{two}[2];
    is(asked_again($id, 0, 1.5, sub { hook('one', $id, 'message.sent', '/webhook/other') }), 0, 'another account');
    is(asked_again($id, 0, 1.5, sub { hook('one', "x$id"); hook('one', '') }), 0, 'another message');
    is(asked_again($id, 0, 1.5, sub { left_note($id, $_) for '', 'x', '0' x 16, 'a' x 17 }), 0, 'what is no note');
    is(asked_again($id, 1, 1, sub { hook('two', $id, 'message.sent', '/webhook') }), 1, 'but this is');

    my $new = sent_message($at{one});
    left_note($new);
    is(hook('alone', $new), 204, 'a note from before');
    my @waits = map { waits_at($_, $new) } qw(two alone);
    $api->wait_requests(2, path => "/v1/messages/$new");
    is(asked_again($new, 0, 2, sub { }), 0, 'was there before the wait');
    $api->move($new, 'read');
    left_note($new);
    hook('alone', $new);
    is(waited($_->result), '200 read', 'what comes then is') for @waits;
};

subtest 'while a call is under way' => sub {
    my $id = sent_message($at{one});
    $api->fault({hold => 'after', match => {path => "/v1/messages/$id"}, json => {success => \1, data => {id => $id, status => 'sent'}}});
    my $wait = waits_at('two', $id);
    $api->wait_held;
    left_note($id);
    $api->move($id, 'read');
    $api->release;
    is(waited($wait->result), '200 read', 'it is asked for again');
    is(reads($id), 2, 'once');
};

subtest 'Redis hangs, and is killed' => sub {
    my ($hangs, $dead) = @{$id{one}}[2, 3];
    $api->move($_, 'read') for $hangs, $dead;
    $redis->kill('STOP');
    is(hook('one', $hangs), 204, 'a webhook while it hangs');
    is(waited($waiting{one}[2][0]->result), '200 read', 'the wait there');
    my $new = sent_message($at{one});
    is(waited(waits_at('one', $new, 'wait=5&until=sent')->result), '200 sent', 'a new one');
    $redis->kill('CONT');
    $redis->kill('KILL');
    wait_for(sub { !$redis->alive }, 'Redis to die');
    is(hook('one', $dead), 204, 'a webhook when it is dead');
    is(waited($waiting{one}[3][0]->result), '200 read', 'the wait there');
};

$_->abort for grep { !$_->done } map { map { @$_ } @$_ } values %waiting;
done;
