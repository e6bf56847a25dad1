# An event leaves a note only where somebody may be waiting, at whatever gateway of one Redis.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Time::HiRes qw(time);

my $api   = sandbox;
my $redis = redis_server;

my ($edge, $gateway) = map {
    nginx(name => $_, gateway => 'chatmaid_sender +15550100001; chatmaid_wait_max 300s;',
        files  => {webhook_secret => webhook_secret . "\n"},
        http   => 'chatmaid_webhook_secret_file %DIR%/webhook_secret; chatmaid_redis ' . $redis->url . ';',
        server => 'location = /webhook { chatmaid_webhook on; proxy_pass http://127.0.0.1:%PORT%/done; } location = /done { return 204; }')
} qw(edge gateway);

# Of some events at once, how many left a note?
sub notes_of ($n) {
    state $count = 0;
    my @ids = map { 'inmsg_' . ++$count } 1 .. $n;
    for my $id (@ids) {
        my $body = event('message.received', {messageId => $id});
        is($edge->post($edge->url('/webhook'), $body, signed($body))->{status}, 204, "the event of $id");
    }
    return $redis->cli('EXISTS', map { note_of('', $_) } @ids);
}

# What Redis says of it holds for a moment: events that come slowly all leave one.
wait_for(sub { notes_of(5) < 5 }, 'events without notes');
is($redis->cli('EXISTS', 'chatmaid:waiting'), 0, 'nobody waits');

my $id   = sent_message($gateway);
my $wait = $gateway->later(GET => $gateway->url("/chatmaid/messages/$id?wait=300&until=read"));
$api->wait_requests(1, path => "/v1/messages/$id");
is($redis->cli('EXISTS', 'chatmaid:waiting'), 1, 'somebody waits, before the first read');
wait_for(sub { notes_of(5) == 5 }, 'notes of all events');

$api->move($id, 'read');
my $body = event('message.read', {messageId => $id});
is($edge->post($edge->url('/webhook'), $body, signed($body))->{status}, 204, 'the event');
is(waited($wait->result), '200 read', 'ends the wait');

# What Redis did not take, and nobody had noticed before, is told again once Redis
# counts as back, after five seconds, and not only when it would be told anyway.
my $next  = sent_message($gateway);
my $fresh = nginx(name => 'fresh', error_log => 'error', gateway => 'chatmaid_wait_max 300s;', http => 'chatmaid_redis ' . $redis->url . ';');
$redis->cli('CONFIG', 'SET', 'maxmemory', 1);
$redis->cli('DEL', 'chatmaid:waiting');
my $later = $fresh->later(GET => $fresh->url("/chatmaid/messages/$next?wait=300&until=read"));
wait_for(sub { $fresh->logged(qr/is away: it answers "OOM/) }, 'the line');
$redis->cli('CONFIG', 'SET', 'maxmemory', 0);
my $from = time;
wait_for(sub { $redis->cli('EXISTS', 'chatmaid:waiting') }, 'the key');
cmp_ok(time - $from, '<', 15, 'told again');
$api->move($next, 'read');
is(waited($later->result), '200 read', 'the wait ends');

done;
